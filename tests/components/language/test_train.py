import numpy as np
import pytest
import torch

from components.compatibility.distillation import DistillationParameters
from components.compatibility.flips import churn
from components.compatibility.networks import focal_pull
from components.data.texts.corpus import Corpus
from components.language.answer import answer, metrics_of
from components.language.encode import encode
from components.language.loss import congruent_losses, joint_losses, outputs_of
from components.language.model import BiLSTMParameters, TransformerParameters, new_model
from components.language.train import TrainingParameters, fit, shuffled, train

BILSTM = BiLSTMParameters(embedding=12, hidden=10, dropout=0.0)
TRANSFORMER = TransformerParameters(width=16, layers=2, heads=2, inner=24, dropout=0.0)
QUICK = TrainingParameters(epochs=25, batch=8, rate=1e-2, patience=25)


def trained(model, corpus, parameters=QUICK, **options):
    encoded = encode(corpus, model.vocabulary, model.labels)
    return train(model, encoded, corpus, parameters, seed=3, **options)


def test_every_model_learns_intents_and_slots(small_model, corpus):
    trained(small_model, corpus)
    figures = metrics_of(answer(small_model, corpus), corpus)
    assert figures.exact_match == 1
    assert figures.slot_f1 == 1


def test_the_seed_decides_all(labels, vocabulary, corpus):
    def one():
        model = new_model(BILSTM.model_copy(update={"dropout": 0.3}), labels, seed=1, vocabulary=vocabulary)
        trained(model, corpus, TrainingParameters(epochs=2))
        return model.trainable

    state = torch.get_rng_state()
    first, second = one(), one()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(state, torch.get_rng_state())


def test_training_stops_early_and_keeps_the_best_epoch(small_model, corpus):
    """A step that ruins the model from its third epoch on: the second epoch's weights stay."""
    model = small_model
    weight = next(iter(model.trainable.values()))
    marks, seen = iter(range(1, 100)), []

    def step(batch):
        with torch.no_grad():
            weight.fill_(next(marks))
        return 1.0

    scores = iter([0.1, 0.5, 0.3, 0.2, 0.4, 0.9])

    def validate():
        figures = metrics_of(answer(model, corpus), corpus)
        return type(figures)(figures.utterances, next(scores), 0.0, 0.0)

    history = fit(model, step, lambda: [None], validate, epochs=6, patience=3, on_epoch=seen.append)
    assert [epoch.number for epoch in history] == [1, 2, 3, 4, 5]
    assert tuple(seen) == history
    assert (weight == 2).all()


def test_an_epoch_is_every_utterance_once(corpus, labels, vocabulary):
    encoded = encode(corpus, vocabulary, labels)
    batches = list(shuffled(encoded, 10, np.random.default_rng(1)))
    assert sorted(np.concatenate([batch.rows for batch in batches])) == list(range(48))
    assert [len(batch.rows) for batch in batches] == [10, 10, 10, 10, 8]


def mislabelled(corpus: Corpus) -> Corpus:
    """A later corpus whose labels are partly others', so that a new model has reason to differ."""
    from dataclasses import replace

    changed = [
        replace(utterance, intent="hello") if number % 5 == 0 else utterance
        for number, utterance in enumerate(corpus.utterances)
    ]
    return Corpus(tuple(changed))


@pytest.mark.parametrize("kind", ["focal", "logit"])
def test_a_pull_to_the_old_model_keeps_its_answers(labels, vocabulary, corpus, kind):
    old = new_model(BILSTM, labels, seed=1, vocabulary=vocabulary)
    trained(old, corpus)
    before = answer(old, corpus)
    old_right = torch.tensor([told == u.intent for told, u in zip(before.intents, corpus.utterances, strict=True)])
    parameters = DistillationParameters(strength=5.0, kind=kind)
    few = TrainingParameters(epochs=8, batch=8, rate=1e-2, patience=8)

    def pull(new_logits, old_logits, right):
        return focal_pull(new_logits, old_logits, right, parameters)

    changed = {}
    for name, losses in {
        "plain": joint_losses,
        "congruent": congruent_losses(outputs_of(old.network), old_right, pull),
    }.items():
        new = new_model(BILSTM, labels, seed=2, vocabulary=vocabulary)
        trained(new, mislabelled(corpus), few, losses=losses)
        changed[name] = churn(np.array(before.intents), np.array(answer(new, corpus).intents))
    assert changed["congruent"] < changed["plain"] or changed["plain"] == changed["congruent"] == 0
    assert changed["congruent"] <= 0.1


def test_the_pull_is_nothing_where_old_and_new_are_one(labels, vocabulary, corpus):
    model = new_model(TRANSFORMER, labels, seed=1, vocabulary=vocabulary)
    model.network.eval()
    batch = encode(corpus, vocabulary, labels).batch(np.arange(6))
    old_right = torch.ones(48, dtype=torch.bool)
    losses = congruent_losses(
        outputs_of(model.network), old_right, lambda *given: focal_pull(*given, DistillationParameters())
    )
    outputs = model.network(batch.inputs, batch.mask)
    torch.testing.assert_close(losses(outputs, batch), joint_losses(outputs, batch))
