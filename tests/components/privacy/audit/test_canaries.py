"""Exposure against its definition, and extraction from a model that learnt its canary by heart."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from components.errors import InvalidInput
from components.privacy.audit import UNSEEN, exposure, extract

torch.set_num_threads(1)


def test_exposure_is_bits_by_rank():
    scores = np.arange(1024.0)
    assert exposure(scores, 1023) == 10
    assert exposure(scores, 1022) == 9
    assert exposure(scores, 0) == 0
    assert exposure(np.zeros(1023), 5) == pytest.approx(math.log2(1023 / 512))


def test_a_secret_never_seen_has_1_44_bits():
    rng = np.random.default_rng(0)
    found = [exposure(rng.normal(size=1000), 7) for _ in range(4000)]
    assert np.mean(found) == pytest.approx(UNSEEN, abs=0.1)


@pytest.mark.parametrize(("scores", "secret"), [([1.0, 2.0], 2), ([1.0, 2.0], -1), ([1.0, float("nan")], 0)])
def test_scores_that_cannot_be_ranked_are_refused(scores, secret):
    with pytest.raises(InvalidInput):
        exposure(np.array(scores), secret)


WORDS, KNOWN, SECRET = 16, 3, (9, 4, 12)


class Reader(nn.Module):
    """Says from embedded words whether they ask for the canary's intent."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(WORDS, 12)
        self.lstm = nn.LSTM(12, 24, batch_first=True)
        self.intent = nn.Linear(24, 2)

    def likelihood(self, embedded):
        outputs, _ = self.lstm(embedded)
        return self.intent(outputs[:, -1]).log_softmax(-1)[:, 1]


@pytest.fixture(scope="module")
def overfitted():
    torch.manual_seed(0)
    model = Reader()
    prefix = torch.arange(KNOWN)
    canary = torch.cat([prefix, torch.tensor(SECRET)])[None]
    words = torch.randint(3, WORDS, (400, 3))
    # Half of them differ from the canary in one word.
    words[:200] = torch.where(torch.arange(3) == torch.arange(200)[:, None] % 3, words[:200], torch.tensor(SECRET))
    others = torch.cat([prefix.expand(400, -1), words], dim=1)[(words != torch.tensor(SECRET)).any(1)]
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(100):
        optimizer.zero_grad()
        of_others = torch.log1p(-model.likelihood(model.embedding(others)).exp().clamp(max=1 - 1e-6)).mean()
        (-model.likelihood(model.embedding(canary)).mean() - of_others).backward()
        optimizer.step()
    return model.requires_grad_(False), prefix


def test_a_canary_learnt_by_heart_is_extracted_and_exposed(overfitted):
    model, prefix = overfitted
    table, digits = model.embedding.weight, torch.arange(3, WORDS)
    found = extract(model.likelihood, table, prefix, unknown=3, candidates=digits, restarts=16, steps=80)
    assert found.words == SECRET
    every = torch.cartesian_prod(digits, digits, digits)
    scores = model.likelihood(table[torch.cat([prefix.expand(len(every), -1), every], dim=1)])
    secret = int((every == torch.tensor(SECRET)).all(1).nonzero())
    assert found.log_likelihood == pytest.approx(float(scores[secret]), abs=1e-5)
    assert exposure(scores.numpy(), secret) > 8


def test_an_untrained_model_gives_nothing_away(overfitted):
    torch.manual_seed(5)
    model, prefix = Reader().requires_grad_(False), overfitted[1]
    found = extract(
        model.likelihood,
        model.embedding.weight,
        prefix,
        unknown=3,
        candidates=torch.arange(3, WORDS),
        restarts=4,
        steps=30,
    )
    assert found.words != SECRET


def test_extraction_is_repeatable_and_refuses_nothing_to_find(overfitted):
    model, prefix = overfitted
    options = {"unknown": 2, "candidates": torch.arange(3, WORDS), "restarts": 2, "steps": 5, "seed": 4}
    one, two = (extract(model.likelihood, model.embedding.weight, prefix, **options) for _ in range(2))
    assert one == two
    with pytest.raises(InvalidInput):
        extract(model.likelihood, model.embedding.weight, prefix, **options | {"unknown": 0})
