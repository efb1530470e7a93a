"""The encoder against transformers' own BERT on the same weights; heads and adapters over it."""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from components.data.texts.home_assistant import home_labels, sample_home_commands
from components.language import projection
from components.language.answer import answer, metrics_of
from components.language.encode import encode
from components.language.frozen import load_encoder, with_features
from components.language.learn import LearningParameters, learn
from components.language.model import AdaptedParameters, FrozenParameters, blank_model, new_model
from components.language.vocabulary import encoder_folder, encoder_pieces


@pytest.fixture(scope="module")
def encoder():
    return load_encoder()


@pytest.fixture(scope="module")
def batch(corpus, labels):
    return encode(corpus, encoder_pieces(), labels).batch(np.array([0, 1, 2]))


def test_features_are_those_of_transformers_bert(encoder, batch, monkeypatch):
    monkeypatch.setitem(os.environ, "HF_HUB_OFFLINE", "1")
    monkeypatch.setitem(os.environ, "TRANSFORMERS_OFFLINE", "1")
    from transformers import BertModel

    bert = BertModel.from_pretrained(encoder_folder(), local_files_only=True).eval()
    with torch.no_grad():
        theirs = bert(batch.inputs, batch.mask.long(), output_hidden_states=True).hidden_states
        ours = encoder(batch.inputs, batch.mask, tuple(range(7))).chunk(7, dim=2)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one[batch.mask], other[batch.mask], atol=2e-5, rtol=1e-4)


def test_the_encoder_is_frozen_and_layers_may_be_counted_from_the_end(encoder, batch):
    assert not any(weight.requires_grad for weight in encoder.parameters())
    with torch.no_grad():
        assert torch.equal(encoder(batch.inputs, batch.mask), encoder(batch.inputs, batch.mask, (6,)))
        assert torch.equal(encoder(batch.inputs, batch.mask, (-4,)), encoder(batch.inputs, batch.mask, (3,)))


@pytest.mark.parametrize("width", [0, 40])
def test_cached_features_answer_as_the_whole_model(corpus, labels, width):
    model = blank_model(FrozenParameters(width=width), labels, encoder_pieces(), seed=1)
    part = corpus.take(np.arange(6))
    encoded = encode(part, model.vocabulary, labels)
    told = []
    cached = with_features(encoded, model.network.features, on_batch=lambda *done: told.append(done))
    assert told == [(6, 6)]
    assert cached.inputs.shape == (len(encoded.inputs), width or 4 * 384)
    whole, quick = answer(model, part), answer(model, part, encoded=cached)
    np.testing.assert_allclose(whole.scores, quick.scores, atol=2e-3)
    assert whole.tags == quick.tags


def test_heads_alone_learn(corpus, labels):
    model = new_model(FrozenParameters(layers=(2,), width=0), labels, seed=1)
    assert set(model.trainable) == {name for name, _ in model.network.named_parameters() if name.startswith("heads.")}
    encoded = with_features(encode(corpus, model.vocabulary, labels), model.network.features)
    learn(model, encoded, LearningParameters(epochs=12, batch=8, rate=1e-2), None, seed=1)
    figures = metrics_of(answer(model, corpus), corpus)
    assert figures.intent_accuracy == figures.slot_f1 == figures.exact_match == 1


def test_adapters_begin_as_the_frozen_model_and_move_in_few_weights(corpus, labels):
    adapted = new_model(AdaptedParameters(rank=2, blocks=2, neighbours=0), labels, seed=1)
    few = corpus.take(np.arange(12))
    encoded = encode(few, adapted.vocabulary, labels)
    plain = load_encoder()
    batch = encoded.batch(np.arange(3))
    with torch.no_grad():
        torch.testing.assert_close(
            adapted.network.encoder(batch.inputs, batch.mask), plain(batch.inputs, batch.mask), atol=1e-5, rtol=1e-4
        )
    names = set(adapted.trainable)
    assert len(names) == 5 + 2 * 2 * 2
    before = {name: weight.detach().clone() for name, weight in adapted.trainable.items()}
    frozen = {name: w.clone() for name, w in adapted.network.state_dict().items() if name not in names}
    learn(adapted, encoded, LearningParameters(epochs=2, batch=6, rate=1e-3), None, seed=1)
    after = adapted.network.state_dict()
    assert all(not torch.equal(before[name], after[name]) for name in names)
    assert all(torch.equal(weight, after[name]) for name, weight in frozen.items())


def test_an_unknown_script_still_has_a_feature_for_each_word(corpus, labels, encoder):
    strange = replace(corpus.utterances[0], text="\u2c00\u2c01 \U0001f642 ok", slots=())
    encoded = encode(replace(corpus, utterances=(strange,)), encoder_pieces(), labels)
    assert np.isfinite(with_features(encoded, encoder).inputs).all()


@pytest.mark.parametrize("languages", [("en",), ("de", "fr"), ("ja",)])
def test_the_projection_is_on_principal_directions_of_public_commands(monkeypatch, labels, languages):
    """Against scikit-learn's PCA on the same features."""
    monkeypatch.setattr(projection, "COMMANDS", 60)
    network = new_model(FrozenParameters(layers=(1,), width=5), labels, seed=3, languages=languages).network
    spoken = languages if languages != ("ja",) else ("en",)
    encoded = encode(sample_home_commands(60, seed=3, languages=spoken), encoder_pieces(), home_labels(spoken))
    features = with_features(encoded, lambda ids, mask: network.encoder(ids, mask, (1,))).inputs.astype(np.float64)
    analysis = PCA(5, svd_solver="full").fit(features)
    ours = network.projection(torch.from_numpy(features).float()).detach().numpy()
    alone = analysis.transform(features) / np.sqrt(analysis.explained_variance_)
    length = np.linalg.norm(analysis.explained_variance_**0.25)
    expected = alone * projection.LENGTH * analysis.explained_variance_**0.25 / length
    np.testing.assert_allclose(np.abs(ours), np.abs(expected), atol=2e-4)
    assert np.isclose(np.sqrt((ours**2).sum(axis=1).mean()), projection.LENGTH, rtol=1e-2)
    assert not network.projection.weight.requires_grad
