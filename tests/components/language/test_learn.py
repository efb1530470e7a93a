"""One loop for all trainings: what it learns, what it spends, and that it goes on where it was cut off."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from components.data.texts.corpus import Corpus, Utterance
from components.errors import InvalidInput
from components.language.answer import answer, metrics_of
from components.language.encode import encode
from components.language.learn import LearningParameters, learn
from components.language.model import BiLSTMParameters, new_model
from components.language.protection import PrivacyParameters, protection_of, units_of

PARAMETERS = LearningParameters(epochs=4, batch=16, rate=2e-2)


def weights(model) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in model.trainable.items()}


def protected(parameters: PrivacyParameters, corpus, encoded, *, learning=PARAMETERS):
    return protection_of(
        parameters,
        units_of(parameters, corpus),
        batch=learning.batch,
        epochs=learning.epochs,
        lengths=encoded.lengths,
        trainings=1,
    )


@pytest.fixture
def encoded(corpus, small_model):
    return encode(corpus, small_model.vocabulary, small_model.labels)


@pytest.fixture
def small(labels, vocabulary):
    return new_model(BiLSTMParameters(embedding=6, hidden=5, dropout=0.0), labels, seed=1, vocabulary=vocabulary)


@pytest.fixture
def read(corpus, small):
    return encode(corpus, small.vocabulary, small.labels)


def again(model):
    return new_model(model.parameters, model.labels, seed=1, vocabulary=model.vocabulary)


def test_plain_learning_learns(corpus, small_model, encoded):
    learn(small_model, encoded, LearningParameters(epochs=30, batch=8, rate=1e-2), None, seed=0)
    assert metrics_of(answer(small_model, corpus), corpus).exact_match > 0.9


class Cut(Exception):
    pass


@pytest.mark.parametrize("after", [1, 3])
def test_plain_learning_that_was_cut_off_ends_as_if_it_had_not_been(small_model, encoded, tmp_path, after):
    whole = again(small_model)
    learn(whole, encoded, PARAMETERS, None, seed=3)

    def cut(epoch):
        if epoch == after:
            raise Cut

    with pytest.raises(Cut):
        learn(small_model, encoded, PARAMETERS, None, seed=3, folder=tmp_path, on_epoch=cut)
    later, told = again(small_model), []
    learn(later, encoded, PARAMETERS, None, seed=3, folder=tmp_path, on_epoch=told.append)
    assert told == list(range(after + 1, 5))
    for name, weight in weights(whole).items():
        torch.testing.assert_close(weights(later)[name], weight, rtol=0, atol=0)


@pytest.mark.parametrize("torn", ["weights gone", "weights torn", "state torn", "another model's"])
def test_a_state_that_cannot_be_read_is_not_begun_anew_for_free(small, small_model, read, tmp_path, torn):
    once = LearningParameters(epochs=1, batch=16)
    folder = tmp_path / "course" / "retrain"
    learn(small, read, once, None, seed=0, folder=folder)
    (kept,) = folder.glob("*.safetensors")
    match torn:
        case "weights gone":
            kept.unlink()
        case "weights torn":
            kept.write_bytes(kept.read_bytes()[:-100])
        case "state torn":
            (folder / "state.json").write_text('{"epochs": 1, "wei')
    model = small_model if torn == "another model's" else again(small)
    with pytest.raises(InvalidInput, match=re.escape(str(folder))):
        learn(model, read, once, None, seed=0, folder=folder)


def test_weights_are_on_the_disk_before_the_state_names_them_and_that_before_the_old_ones_go(
    small, read, tmp_path, monkeypatch
):
    happened, sync, unlink = [], os.fsync, Path.unlink

    def synced(descriptor):
        happened.append(("synced", Path(os.readlink(f"/proc/self/fd/{descriptor}")).name))
        sync(descriptor)

    def unlinked(path, **options):
        happened.append(("deleted", path.name))
        unlink(path, **options)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "unlink", unlinked)
    learn(small, read, LearningParameters(epochs=2, batch=16), None, seed=0, folder=tmp_path / "course" / "kept")
    first, second = "1.state.safetensors", "2.state.safetensors"
    state = [("synced", "state.new"), ("synced", "kept")]
    begun = [("synced", "course"), ("synced", first), *state]
    assert happened == [*begun, ("synced", second), *state, ("deleted", first)]


@pytest.mark.parametrize(
    ("clipping", "unit"), [("automatic", "utterance"), ("flat", "user"), ("quantile", "utterance")]
)
def test_private_learning_takes_the_steps_of_its_plan(corpus, small, read, tmp_path, clipping, unit):
    parameters = PrivacyParameters(epsilon=20, delta=1e-3, clipping=clipping, unit=unit)
    learning = LearningParameters(epochs=3, batch=5, rate=1e-2)
    protection = protected(parameters, corpus, read, learning=learning)

    def cut(epoch):
        if epoch == 2:
            raise Cut

    with pytest.raises(Cut):
        learn(small, read, learning, protection, seed=0, folder=tmp_path, on_epoch=cut)
    kept = weights(small)
    later, told = again(small), []
    learnt = learn(later, read, learning, protection, seed=0, folder=tmp_path, on_epoch=told.append)
    assert told == [3]
    assert learnt.steps == 3 * protection.plan.steps_an_epoch
    assert any(not torch.equal(weights(later)[name], weight) for name, weight in kept.items())
    if clipping == "quantile":
        assert learnt.clipping.bound != parameters.bound


def test_noise_differs_from_run_to_run_although_the_seed_is_the_same(corpus, small, read):
    protection = protected(PrivacyParameters(epsilon=20, delta=1e-3), corpus, read)
    other = again(small)
    for model in (small, other):
        learn(model, read, PARAMETERS, protection, seed=0)
    assert any(not torch.equal(weights(other)[name], weight) for name, weight in weights(small).items())


def test_trainings_of_one_budget_have_more_noise_each(corpus, read):
    parameters = PrivacyParameters(epsilon=3, delta=1e-3)
    one, three = (
        protection_of(
            parameters, units_of(parameters, corpus), batch=16, epochs=4, lengths=read.lengths, trainings=trainings
        ).plan
        for trainings in (1, 3)
    )
    assert three.noise[0] > one.noise[0]
    assert three.spent.epsilon < one.spent.epsilon <= 3


@pytest.mark.parametrize(
    ("changes", "batch", "named"),
    [({}, 49, "49"), ({"delta": 0.03}, 16, "0.03"), ({"unit": "user", "delta": 1e-3}, 11, "11 of 10 users")],
)
def test_what_no_plan_can_keep_is_refused(corpus, read, changes, batch, named):
    parameters = PrivacyParameters(**{"epsilon": 3, "delta": 1e-3} | changes)
    with pytest.raises(InvalidInput, match=named):
        protected(parameters, corpus, read, learning=LearningParameters(epochs=2, batch=batch))


@pytest.mark.parametrize("engine", ["one_by_one", "opacus_hooks", "micro_batches"])
def test_every_engine_can_be_chosen(corpus, small, read, engine):
    parameters, once = PrivacyParameters(epsilon=20, delta=1e-3, engine=engine), LearningParameters(epochs=1, batch=16)
    learn(small, read, once, protected(parameters, corpus, read, learning=once), seed=0)
    assert all(torch.isfinite(weight).all() for weight in weights(small).values())


def test_an_utterance_out_of_vocabulary_is_read(small_model):
    corpus = Corpus((Utterance("1", "zzz qqq", "fly"), Utterance("2", "good morning", "hello")))
    encoded = encode(corpus, small_model.vocabulary, small_model.labels)
    learn(small_model, encoded, LearningParameters(epochs=1, batch=2), None, seed=0)
    assert np.isfinite(answer(small_model, corpus).scores).all()


def test_masks_of_private_learning_are_not_the_seed_s(corpus, labels, vocabulary):
    """The same seed twice: plain masks come again, private ones do not."""
    parameters = BiLSTMParameters(embedding=6, hidden=5, dropout=0.5)
    fresh = new_model(parameters, labels, seed=1, vocabulary=vocabulary)
    read = encode(corpus, fresh.vocabulary, fresh.labels)
    once = LearningParameters(epochs=1, batch=len(corpus))

    def masks(protection):
        model, seen = again(fresh), []

        def watch(layer, _, output) -> None:
            if layer.training:
                seen.append((output == 0).float().mean())

        for layer in model.network.modules():
            if isinstance(layer, torch.nn.Dropout):
                layer.register_forward_hook(watch)
        learn(model, read, once, protection, seed=3)
        return torch.stack(seen)

    assert torch.equal(masks(None), masks(None))
    protection = protected(PrivacyParameters(epsilon=20, delta=1e-3), corpus, read, learning=once)
    assert not torch.equal(masks(protection), masks(protection))


@pytest.mark.parametrize(("units", "batch"), [(24_000, 1024), (656, 131), (12, 2), (3, 1)])
def test_the_batch_follows_the_number_of_units_unless_it_is_given(units, batch):
    assert LearningParameters().batch_of(units) == batch
    assert LearningParameters(batch=7).batch_of(units) == 7


@pytest.mark.parametrize(("epsilon", "batch"), [(0.5, 40), (0.3, 48), (20, 16)])
def test_a_quantile_s_count_leaves_the_gradients_their_share_however_much_noise_there_is(corpus, read, epsilon, batch):
    learning = LearningParameters(epochs=3, batch=batch)
    parameters = PrivacyParameters(epsilon=epsilon, delta=1e-3, clipping="quantile", noise_falls_to=0.5)
    protection = protected(parameters, corpus, read, learning=learning)
    for noise in protection.plan.noise:
        assert noise < protection.clipping.gradient_noise(noise) < 1.2 * noise


def test_steps_are_those_that_were_taken(corpus, small, read):
    protection = protected(PrivacyParameters(epsilon=20, delta=1e-3), corpus, read)
    learnt = learn(small, read, PARAMETERS, protection, seed=0)
    assert learnt.steps == sum(part.count for part in protection.plan.steps)
