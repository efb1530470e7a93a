import numpy as np
import pytest
import xgboost

from components.boosting.model import model_digest
from components.boosting.pooled import predict, predict_margins, train_pooled
from components.errors import InvalidInput

KINDS = ("binary", "multiclass", "regression")


def plain(table, parameters, **options):
    matrix = xgboost.DMatrix(
        table.features, table.labels, feature_types=table.feature_types, enable_categorical=True, **options
    )
    return xgboost.train(parameters.to_xgboost(table.schema.label), matrix, parameters.rounds).inplace_predict(
        table.features
    )


@pytest.mark.parametrize("kind", KINDS)
def test_equals_plain_xgboost(table_of, small, kind):
    table = table_of(kind)
    np.testing.assert_allclose(predict(train_pooled(table, small), table), plain(table, small), rtol=1e-5)


def test_weights_reach_xgboost(table_of, small):
    table = table_of("binary")
    weights = np.random.default_rng(0).uniform(0.1, 5, len(table))
    ours = predict(train_pooled(table, small, weights=weights), table)
    assert np.abs(ours - plain(table, small, weight=weights)).max() < 0.05  # weighted bins of the two matrices differ
    assert np.abs(ours - predict(train_pooled(table, small), table)).max() > 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_saved_model_needs_nothing_of_ours_to_predict(table_of, matrix_of, small, kind, tmp_path):
    table = table_of(kind)
    booster = train_pooled(table, small)
    booster.save_model(tmp_path / "model.json")
    matrix = matrix_of(table)
    scores = xgboost.Booster(model_file=tmp_path / "model.json").predict(matrix)
    np.testing.assert_array_equal(scores, predict(booster, table))
    if kind == "multiclass":
        np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)
    if kind == "binary":
        np.testing.assert_allclose(scores, 1 / (1 + np.exp(-predict_margins(booster, table))), rtol=1e-5)


def test_seed_alone_decides(table_of, small):
    table = table_of("binary")
    again, other = train_pooled(table, small), train_pooled(table, small.model_copy(update={"seed": 1}))
    assert model_digest(train_pooled(table, small)) == model_digest(again) != model_digest(other)


def test_early_stopping_leaves_only_the_best_rounds(table_of, small):
    train, validation = table_of("binary", rows=200), table_of("binary", seed=1)
    eager = small.model_copy(update={"rounds": 80, "eta": 1.0, "early_stopping_rounds": 5})
    losses = []
    booster = train_pooled(train, eager, validation=validation, progress=lambda _, __, loss: losses.append(loss))
    assert booster.num_boosted_rounds() == np.argmin(losses) + 1 < len(losses) < 80
    assert booster.attr("best_iteration") is None
    scores = predict(booster, validation)
    y = validation.labels
    assert -np.mean(y * np.log(scores) + (1 - y) * np.log(1 - scores)) == pytest.approx(min(losses), rel=1e-5)


def test_progress_counts_every_round(table_of, small):
    steps = []
    train_pooled(table_of("binary"), small, progress=lambda *step: steps.append(step))
    assert [step[:2] for step in steps] == [(done, 8) for done in range(1, 9)]
    assert all(np.isnan(step[2]) for step in steps)


def test_refuses_to_stop_early_on_no_rows(table_of, small):
    with pytest.raises(InvalidInput, match="early_stopping_rounds is 5"):
        train_pooled(table_of("binary"), small.model_copy(update={"early_stopping_rounds": 5}))


def test_refuses_an_empty_table(table_of, small):
    with pytest.raises(InvalidInput, match="'drawn' has no rows"):
        train_pooled(table_of("binary").take(np.array([], dtype=int)), small)


def test_refuses_features_the_model_does_not_know(table_of, small):
    table = table_of("binary")
    booster = train_pooled(table, small)
    fewer = {name: feature for name, feature in table.schema.features.items() if name != "town"}
    narrow = type(table)(table.schema.model_copy(update={"features": fewer}), table.columns)
    with pytest.raises(InvalidInput, match="town"):
        predict(booster, narrow)
    turned = type(table)(
        table.schema.model_copy(update={"features": dict(reversed(table.schema.features.items()))}), table.columns
    )
    with pytest.raises(InvalidInput, match="order"):
        predict(booster, turned)
