"""What a model reads of texts: the same whether they were read before, together with others, or alone."""

import gc

import numpy as np
import pytest
from prefect.context import FlowRunContext

from components.data.texts.corpus import Corpus, Labels, Utterance
from components.language.encode import encode
from components.language.frozen import with_features
from components.language.model import FrozenParameters, new_model
from tasks.language import holdings
from tasks.language.holdings import read_by

LABELS = Labels(("on", "off"), ("room",), public=True)
TEXTS = ("turn it on", "off please", "is the light in the kitchen on", "on")


def corpus_of(*texts: str) -> Corpus:
    return Corpus(tuple(Utterance(str(row), text, "on") for row, text in enumerate(texts)))


@pytest.fixture(scope="module")
def model():
    return new_model(FrozenParameters(layers=(1,), width=8), LABELS, seed=0)


@pytest.fixture
def run():
    """A run that is under way."""
    with FlowRunContext.model_construct():
        yield


@pytest.fixture
def read(model, monkeypatch):
    """How many texts the encoder read, call by call."""
    counts = []
    monkeypatch.setattr(
        holdings,
        "with_features",
        lambda part, *_, **__: counts.append(len(part)) or with_features(part, model.network.features),
    )
    return counts


def test_texts_read_before_are_read_alike(model, run):
    first, again, mixed = (
        read_by(model, corpus_of(*texts)) for texts in (TEXTS[:2], TEXTS[:2], (TEXTS[3], TEXTS[1], TEXTS[2], TEXTS[1]))
    )
    np.testing.assert_array_equal(first.inputs, again.inputs)
    whole = encode(corpus_of(TEXTS[3], TEXTS[1], TEXTS[2], TEXTS[1]), model.vocabulary, LABELS)
    alone = with_features(whole, model.network.features)
    np.testing.assert_array_equal(mixed.offsets, alone.offsets)
    np.testing.assert_array_equal(mixed.intents, alone.intents)
    np.testing.assert_allclose(mixed.inputs.astype(float), alone.inputs.astype(float), atol=5e-2)


def test_each_text_is_read_once_in_a_run(model, run, read):
    for texts in (TEXTS, TEXTS[:2], (*TEXTS, "something else", "something else")):
        read_by(model, corpus_of(*texts))
    assert read == [4, 1]


def test_a_run_takes_what_it_read_with_it(model, read):
    for _ in range(2):
        with FlowRunContext.model_construct():
            read_by(model, corpus_of(*TEXTS))
            assert len(holdings._features) == 1
        gc.collect()
        assert holdings._features == {}
    assert read == [4, 4]


def test_outside_of_a_run_nothing_is_kept(model, read):
    for _ in range(2):
        read_by(model, corpus_of(*TEXTS))
        assert holdings._features == {}
    assert read == [4, 4]
