"""What a pull to an older model does to a model that learns from texts labelled otherwise."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from components.compatibility.distillation import DistillationParameters
from components.compatibility.flips import churn
from components.compatibility.networks import focal_pull
from components.data.texts.corpus import Corpus
from components.language.answer import answer
from components.language.encode import encode
from components.language.learn import LearningParameters, learn
from components.language.loss import congruent_losses, joint_losses, outputs_of
from components.language.model import BiLSTMParameters, TransformerParameters, new_model

BILSTM = BiLSTMParameters(embedding=12, hidden=10, dropout=0.0)
TRANSFORMER = TransformerParameters(width=16, layers=2, heads=2, inner=24, dropout=0.0)


def learnt(model, corpus, epochs, **options):
    encoded = encode(corpus, model.vocabulary, model.labels)
    learn(model, encoded, LearningParameters(epochs=epochs, batch=8, rate=1e-2), None, seed=3, **options)
    return model


def mislabelled(corpus: Corpus) -> Corpus:
    """A later corpus that knows one city by another intent, so that a new model has reason to differ."""
    changed = [
        replace(utterance, intent="hello") if "oslo" in utterance.text else utterance for utterance in corpus.utterances
    ]
    return Corpus(tuple(changed))


@pytest.mark.parametrize("kind", ["focal", "logit"])
def test_a_pull_to_the_old_model_keeps_its_answers(labels, vocabulary, corpus, kind):
    old = learnt(new_model(BILSTM, labels, seed=1, vocabulary=vocabulary), corpus, 25)
    before = answer(old, corpus)
    old_right = torch.tensor([told == u.intent for told, u in zip(before.intents, corpus.utterances, strict=True)])
    parameters = DistillationParameters(strength=5.0, kind=kind)
    changed = {}
    for name, losses in {
        "plain": joint_losses,
        "congruent": congruent_losses(
            outputs_of(old.network), old_right, lambda *given: focal_pull(*given, parameters)
        ),
    }.items():
        new = new_model(BILSTM, labels, seed=2, vocabulary=vocabulary)
        learnt(new, mislabelled(corpus), 25, losses=losses)
        changed[name] = churn(np.array(before.intents), np.array(answer(new, corpus).intents))
    assert changed["congruent"] <= 0.05 < 0.1 < changed["plain"]


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
