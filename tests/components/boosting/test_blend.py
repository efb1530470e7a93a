"""The blend must be the weighted sum of margins, whatever the two models went through."""

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st

from components.boosting.blend import blend
from components.boosting.model import from_document, to_document
from components.boosting.pooled import predict, predict_margins, train_pooled
from components.boosting.warm_start import warm_start
from components.errors import InvalidInput

KINDS = ("binary", "multiclass", "regression")


def assert_margins(booster, table, expected):
    assert np.abs(predict_margins(booster, table) - expected).max() < 1e-5 * max(1, np.abs(expected).max())


def mixture(new, old, weight, table):
    return (1 - weight) * predict_margins(new, table).astype(float) + weight * predict_margins(old, table)


@pytest.fixture(scope="module", params=KINDS)
def pair(request, table_of, small):
    """Two models of one kind with other rows, base rates and numbers of rounds, and rows to compare them on."""
    new = train_pooled(table_of(request.param, seed=1), small)
    old = train_pooled(table_of(request.param, seed=2, cut=1.5), small.model_copy(update={"rounds": 5, "max_depth": 4}))
    return new, old, table_of(request.param, seed=3)


@given(weight=st.floats(0, 1))
@settings(max_examples=20, deadline=None)
def test_margins_are_the_weighted_sum(pair, weight):
    new, old, table = pair
    assert_margins(blend(new, old, old_weight=weight), table, mixture(new, old, weight, table))


@given(weights=st.lists(st.floats(0.05, 0.95), min_size=2, max_size=4))
@settings(max_examples=8, deadline=None)
def test_blends_of_blends(pair, weights):
    new, old, table = pair
    booster, expected = old, predict_margins(old, table)
    for weight in weights:
        booster = blend(new, booster, old_weight=weight)
        expected = (1 - weight) * predict_margins(new, table).astype(float) + weight * expected
    assert_margins(booster, table, expected)


@pytest.mark.parametrize("extension", ["json", "ubj"])
def test_survives_the_disk(pair, tmp_path, extension):
    new, old, table = pair
    booster = blend(new, old, old_weight=0.4)
    booster.save_model(tmp_path / f"model.{extension}")
    loaded = xgboost.Booster(model_file=tmp_path / f"model.{extension}")
    np.testing.assert_array_equal(predict_margins(loaded, table), predict_margins(booster, table))
    assert (loaded.feature_names, loaded.feature_types) == (list(table.schema.features), table.feature_types)


def test_inputs_are_left_alone(pair):
    new, old, _ = pair
    before = to_document(new), to_document(old)
    blend(new, old, old_weight=0.5)
    assert before == (to_document(new), to_document(old))


def test_explanations_add_up_to_the_margin(pair, matrix_of):
    new, old, table = pair
    booster = blend(new, old, old_weight=0.3)
    matrix = matrix_of(table)
    contributions = booster.predict(matrix, pred_contribs=True)
    assert_margins(booster, table, contributions.sum(axis=-1))
    expected = [model.predict(matrix, pred_contribs=True) for model in (new, old)]
    np.testing.assert_allclose(contributions, 0.7 * expected[0] + 0.3 * expected[1], atol=1e-4, rtol=1e-4)


def test_training_goes_on_from_a_blend(pair, small):
    new, old, table = pair
    booster = blend(new, old, old_weight=0.5)
    longer = warm_start(booster, table, small, rounds=2)
    assert longer.num_boosted_rounds() == booster.num_boosted_rounds() + 2
    assert_margins(longer[: booster.num_boosted_rounds()], table, predict_margins(booster, table))


@pytest.mark.parametrize("largest_one_hot", [1, 100])
@pytest.mark.parametrize("kind", KINDS)
def test_categorical_splits_of_both_sorts(table_of, small, kind, largest_one_hot, matrix_of):
    def train(table, depth):
        settings = small.to_xgboost(table.schema.label) | {"max_cat_to_onehot": largest_one_hot, "max_depth": depth}
        matrix = matrix_of(table)
        return xgboost.train(settings, matrix, 5)

    new, old = train(table_of(kind, seed=1), 3), train(table_of(kind, seed=2), 2)
    sizes = {size for tree in trees(new) for size in tree["categories_sizes"]}
    assert sizes == {1} if largest_one_hot == 100 else max(sizes) > 1
    table = table_of(kind, seed=3)
    assert_margins(blend(new, old, old_weight=0.5), table, mixture(new, old, 0.5, table))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.999, 1.0])
def test_extreme_base_rates(table_of, small, share):
    """`base_score` is a float32 probability, too coarse near 1 to hold a blended intercept."""
    table = table_of("binary")
    labels = (np.arange(len(table)) < round(share * len(table))).astype(str).tolist()
    odd = type(table)(
        table.schema.model_copy(update={"label": table.schema.label.model_copy(update={"positive": "True"})}),
        table.columns.set_column(table.columns.column_names.index("y"), "y", [labels]),
    )
    new, old = train_pooled(odd, small), train_pooled(table, small)
    old.set_attr(classes=None)
    assert_margins(blend(new, old, old_weight=0.5), table, mixture(new, old, 0.5, table))
    new.set_attr(classes=None)
    assert_margins(blend(old, new, old_weight=0.5), table, mixture(old, new, 0.5, table))


def test_rounds_after_the_best_one_are_left_out(table_of, small, matrix_of):
    """A champion of foreign make may still hold the rounds that early stopping found useless."""
    table, validation = table_of("binary", rows=200), table_of("binary", seed=1)
    matrices = [matrix_of(part) for part in (table, validation)]
    settings = small.to_xgboost(table.schema.label) | {"eta": 1.0}
    foreign = xgboost.train(
        settings, matrices[0], 60, evals=[(matrices[1], "v")], early_stopping_rounds=5, verbose_eval=False
    )
    assert foreign.num_boosted_rounds() > foreign.best_iteration + 1
    new = train_pooled(validation, small)
    booster = blend(new, foreign, old_weight=0.5)
    assert_margins(booster, table, mixture(new, foreign[: foreign.best_iteration + 1], 0.5, table))


def test_probabilities_come_out(pair):
    new, old, table = pair
    scores = predict(blend(new, old, old_weight=0.5), table)
    if table.schema.label.kind == "multiclass":
        np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)
    if table.schema.label.kind == "binary":
        assert 0 < scores.min() < scores.max() < 1


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan")])
def test_refuses_a_weight_outside_the_unit_interval(pair, weight):
    with pytest.raises(InvalidInput, match="old_weight"):
        blend(pair[0], pair[1], old_weight=weight)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"booster": "dart", "rate_drop": 0.5}, "dart"),
        ({"booster": "gblinear", "updater": "coord_descent"}, "gblinear"),
        ({"objective": "count:poisson"}, "count:poisson"),
        ({"objective": "reg:squarederror"}, "objective"),
        ({"num_parallel_tree": 2}, "parallel trees"),
    ],
)
def test_refuses_other_kinds_of_model(table_of, small, settings, named, matrix_of):
    table = table_of("binary")
    matrix = matrix_of(table)
    base = small.to_xgboost(table.schema.label)
    if settings.get("booster") == "gblinear":
        base, matrix = {"objective": "binary:logistic"}, xgboost.DMatrix(table.features[:, :3], table.labels)
    with pytest.raises(InvalidInput, match=named):
        blend(train_pooled(table, small), xgboost.train(base | settings, matrix, 2), old_weight=0.5)


@pytest.mark.parametrize(("key", "value"), [("feature_names", list("vwxyz")), ("feature_types", list("qqqqq"))])
def test_refuses_other_features(table_of, small, key, value):
    booster = train_pooled(table_of("binary"), small)
    other = train_pooled(table_of("binary"), small)
    setattr(other, key, value)
    with pytest.raises(InvalidInput, match=key.split("_")[0]):
        blend(booster, other, old_weight=0.5)


def test_refuses_another_order_of_classes(table_of, small):
    table = table_of("multiclass")
    turned = table.schema.label.model_copy(update={"classes": ("high", "middle", "low")})
    other = type(table)(table.schema.model_copy(update={"label": turned}), table.columns)
    with pytest.raises(InvalidInput, match="classes"):
        blend(train_pooled(table, small), train_pooled(other, small), old_weight=0.5)


def test_refuses_vector_leaves(table_of, small):
    table = table_of("multiclass")
    matrix = xgboost.DMatrix(table.features, table.labels)
    settings = small.to_xgboost(table.schema.label) | {"multi_strategy": "multi_output_tree"}
    with pytest.raises(InvalidInput, match="one_output_per_tree"):
        blend(train_pooled(table, small), xgboost.train(settings, matrix, 2), old_weight=0.5)


def trees(booster):
    return to_document(from_document(to_document(booster)))["learner"]["gradient_booster"]["model"]["trees"]
