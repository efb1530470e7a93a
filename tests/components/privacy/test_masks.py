"""Dropout in private training: masks nobody can repeat, alike for a unit whoever else is in the batch."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from components.errors import InvalidInput
from components.privacy.engines import BookKeeping, OneByOne
from components.privacy.masks import masked_in_secret
from components.privacy.opacus_engine import OpacusGradients
from components.privacy.plan import Plan
from components.privacy.randomness import SecureRandomness, SeededRandomness
from components.privacy.training import PrivateTraining
from components.privacy.units import Utterances

torch.set_num_threads(1)
UNITS, WIDTH, STEPS, DROPPED = 6, 16, 400, 0.3
PLAN = Plan((1.0,), rate=1.0, steps_an_epoch=STEPS, delta=1e-3)


def masks_of(units: int, *, steps: int = STEPS, engine=None, randomness=None, seed: int | None = None) -> np.ndarray:
    """(steps, units, WIDTH) bool: what each unit kept in training mode, under the caller's `seed` in each step."""
    model, seen = nn.Sequential(nn.Dropout(DROPPED), nn.Linear(WIDTH, 2)).train(), []

    def watch(layer, _, output) -> None:
        if layer.training:
            seen.append(output.detach() > 0)

    model[0].register_forward_hook(watch)
    private = PrivateTraining(
        model,
        torch.optim.SGD(model.parameters(), 0.1),
        lambda model, rows: model(torch.ones(len(rows), WIDTH)).sum(1),
        units=Utterances(units),
        plan=PLAN,
        engine=engine or BookKeeping(),
        randomness=randomness or SecureRandomness(),
    )
    samples = private.epoch()
    for _ in range(steps):
        if seed is not None:
            torch.manual_seed(seed)
        private.step(next(samples))
    return torch.cat(seen).view(steps, units, WIDTH).numpy()


@pytest.mark.parametrize("engine", [BookKeeping(), OneByOne()])
def test_no_seed_of_the_caller_s_brings_a_mask_back(engine):
    masks = masks_of(UNITS, steps=20, engine=engine, seed=7).reshape(20, -1)
    assert len(np.unique(masks, axis=0)) == 20


def test_the_caller_s_own_randomness_is_left_as_it_was():
    masks_of(UNITS, steps=2, seed=7)
    after = torch.randn(4)
    torch.manual_seed(7)
    torch.testing.assert_close(torch.randn(4), after, rtol=0, atol=0)


def test_a_unit_s_masks_are_the_same_whoever_is_in_the_batch_and_tell_nothing_of_another_s():
    """With the same seed of the caller's, where masks by place in a batch would be the same ones, moved by a unit."""
    everyone, without = masks_of(UNITS, seed=7), masks_of(UNITS - 1, seed=7)
    for masks in (everyone, without):
        kept = masks.mean((0, 2))
        deviation = (DROPPED * (1 - DROPPED) / (STEPS * WIDTH)) ** 0.5
        assert (np.abs(kept - (1 - DROPPED)) < 5 * deviation).all()
        alike = DROPPED**2 + (1 - DROPPED) ** 2
        bound = 5 * (alike * (1 - alike) / (STEPS * WIDTH)) ** 0.5
        for one in range(masks.shape[1]):
            for other in range(one):
                assert abs((masks[:, one] == masks[:, other]).mean() - alike) < bound
    # In the neighbouring world no unit has the mask it has here, nor that of the place it has moved to.
    alike = DROPPED**2 + (1 - DROPPED) ** 2
    for shift in (0, 1):
        found = (everyone[:, shift : UNITS - 1 + shift] == without).mean()
        assert abs(found - alike) < 5 * (alike * (1 - alike) / without.size) ** 0.5


@pytest.mark.parametrize("engine", [BookKeeping(), OneByOne(), OpacusGradients()])
def test_masks_owe_nothing_to_torch_s_generator(engine, monkeypatch):
    """Whatever secret it may be seeded with, it has 32 bits that can be tried."""
    monkeypatch.setattr(torch, "manual_seed", lambda _: torch.default_generator.manual_seed(0))
    masks = masks_of(UNITS, steps=20, engine=engine, seed=7).reshape(20, -1)
    assert len(np.unique(masks, axis=0)) == 20


@pytest.mark.parametrize(
    "layer", [nn.AlphaDropout(0.5), nn.Dropout1d(0.5), nn.LSTM(WIDTH, WIDTH, num_layers=2, dropout=0.5)]
)
def test_what_draws_in_another_way_is_refused(layer):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.out = layer.train(), nn.Linear(WIDTH, 1)

        def forward(self, inputs):
            found = self.layer(inputs)
            return self.out(found[0] if isinstance(found, tuple) else found)

    model = Model()
    private = PrivateTraining(
        model,
        torch.optim.SGD(model.parameters(), 0.1),
        lambda model, rows: torch.stack([model(torch.ones(3, WIDTH)).sum() for _ in rows]),
        units=Utterances(UNITS),
        plan=PLAN,
        engine=OneByOne(),
    )
    with pytest.raises(InvalidInput, match="generator"):
        private.step(next(private.epoch()))


@pytest.mark.parametrize("dropped", [0.1, 0.3, 0.9])
def test_dropout_keeps_expectations(dropped):
    given = torch.rand(400_000) + 1
    with masked_in_secret(SecureRandomness()):
        found = functional.dropout(given, dropped)
        torch.testing.assert_close(functional.dropout(given, dropped, False), given, rtol=0, atol=0)
        assert not functional.dropout(given, 1.0).any()
    kept = found != 0
    torch.testing.assert_close(found[kept], given[kept] / (1 - dropped), rtol=2e-4, atol=0)
    deviation = (dropped * (1 - dropped) / len(given)) ** 0.5
    assert abs(float(kept.float().mean()) - (1 - dropped)) < 5 * deviation + 2**-17


def test_repeatable_randomness_leaves_masks_to_the_caller():
    masks = masks_of(UNITS, steps=5, randomness=SeededRandomness(0), seed=7)
    assert (masks == masks[0]).all()
