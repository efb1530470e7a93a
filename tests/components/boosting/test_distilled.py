import numpy as np
import pytest

from components.boosting.distilled import train_distilled
from components.boosting.model import to_document
from components.boosting.parameters import BoostingParameters
from components.boosting.pooled import predict, predict_margins, train_pooled
from components.compatibility.distillation import DistillationParameters

KINDS = ("binary", "multiclass", "regression")
DISTANCES = [
    DistillationParameters(strength=20),
    DistillationParameters(strength=20, temperature=4),
    DistillationParameters(strength=20, kind="logit"),
]


@pytest.fixture(scope="module", params=KINDS)
def update(request, table_of):
    parameters = BoostingParameters(rounds=30, max_depth=3, eta=0.3, threads=1, subsample=1, colsample_bytree=1)
    champion = train_pooled(table_of(request.param, seed=1, cut=1.0), parameters)
    return champion, table_of(request.param, seed=2), table_of(request.param, seed=3), parameters


@pytest.mark.parametrize("distillation", DISTANCES, ids=lambda d: f"{d.kind}-{d.temperature:g}")
def test_a_strong_pull_brings_the_margins_to_the_champion(update, distillation):
    champion, table, test, parameters = update
    everywhere = np.ones(len(table), dtype=bool)
    booster = train_distilled(champion, table, parameters, distillation, old_right=everywhere)
    goal = predict(champion, test)
    near = np.abs(predict(booster, test) - goal).mean()
    far = np.abs(predict(train_pooled(table, parameters), test) - goal).mean()
    assert near < 0.6 * far


@pytest.mark.parametrize("distillation", DISTANCES, ids=lambda d: f"{d.kind}-{d.temperature:g}")
def test_what_is_saved_declares_the_standard_objective(update, distillation):
    champion, table, test, parameters = update
    booster = train_distilled(champion, table, parameters, distillation, old_right=np.zeros(len(table), dtype=bool))
    objective = to_document(booster)["learner"]["objective"]["name"]
    assert objective == to_document(champion)["learner"]["objective"]["name"]
    scores, margins = predict(booster, test), predict_margins(booster, test)
    match table.schema.label.kind:
        case "binary":
            np.testing.assert_allclose(scores, 1 / (1 + np.exp(-margins)), rtol=1e-5)
        case "multiclass":
            exponential = np.exp(margins)
            np.testing.assert_allclose(scores, exponential / exponential.sum(axis=1, keepdims=True), rtol=1e-4)
        case _:
            np.testing.assert_array_equal(scores, margins)


def test_no_pull_is_a_plain_retrain(update):
    champion, table, test, parameters = update
    for distillation in (DistillationParameters(strength=0), DistillationParameters(strength=0, temperature=2)):
        booster = train_distilled(champion, table, parameters, distillation, old_right=np.ones(len(table), dtype=bool))
        plain = train_pooled(table, parameters)
        difference = np.abs(predict(booster, test) - predict(plain, test)).mean()
        assert difference < 0.03  # the two start from slightly different constants for several classes


def test_soft_labels_and_gradients_train_the_same_model(table_of):
    """A temperature a hair from 1 takes the road of the custom objective; the loss is the same."""
    parameters = BoostingParameters(rounds=20, max_depth=3, threads=1, subsample=1, colsample_bytree=1)
    champion, table = train_pooled(table_of("binary", seed=1), parameters), table_of("binary", seed=2)
    right = np.random.default_rng(0).random(len(table)) < 0.8
    scores = [
        predict(
            train_distilled(
                champion,
                table,
                parameters,
                DistillationParameters(strength=0.7, temperature=temperature),
                old_right=right,
            ),
            table,
        )
        for temperature in (1, 1 + 1e-9)
    ]
    assert np.abs(scores[0] - scores[1]).mean() < 0.01  # row weights move the histogram's bins a little


def test_the_mask_decides_where_the_pull_is(table_of):
    parameters = BoostingParameters(rounds=40, max_depth=4, eta=0.3, threads=1)
    champion, table = train_pooled(table_of("binary", seed=1, cut=2.0), parameters), table_of("binary", seed=2)
    right = (predict(champion, table) >= 0.5) == table.labels
    focused = DistillationParameters(strength=3, alpha=0, beta=1)
    booster = train_distilled(champion, table, parameters, focused, old_right=right)
    inverted = train_distilled(champion, table, parameters, focused, old_right=~right)

    def distance(model):
        return np.abs(predict_margins(model, table) - predict_margins(champion, table))

    assert distance(booster)[right].mean() < distance(inverted)[right].mean()
    assert distance(booster)[~right].mean() > distance(inverted)[~right].mean()
