"""Reading a model: the same leaf and margin as XGBoost, whatever the row; what cannot be read is named."""

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from components.encryption.forest import predictions, read_forest
from components.errors import InvalidInput

NUMBERS = st.floats(width=32, allow_subnormal=True) | st.integers(0, 12).map(float)


def test_every_row_reaches_the_leaf_xgboost_names(cases):
    for case in cases.values():
        forest = read_forest(case.booster)
        for rows in (case.rows, case.edges):
            np.testing.assert_array_equal(forest.number[forest.leaves(rows)], case.leaves(rows))


def test_margins_are_those_of_xgboost(cases):
    for case in cases.values():
        forest = read_forest(case.booster)
        for rows in (case.rows, case.edges):
            np.testing.assert_allclose(forest.margins(rows), case.margins(rows), rtol=1e-6, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(arrays(np.float32, (20, 4), elements=NUMBERS))
def test_any_float32_reaches_the_leaf_xgboost_names(cases, rows):
    for kind in ("binary", "one-hot"):
        forest = read_forest(cases[kind].booster)
        np.testing.assert_array_equal(forest.number[forest.leaves(rows)], cases[kind].leaves(rows))


def test_predictions_are_those_of_xgboost(cases):
    for case in cases.values():
        forest = read_forest(case.booster)
        ours = predictions(forest.margins(case.rows), link=forest.link, softmax=forest.softmax)
        np.testing.assert_allclose(ours, case.booster.inplace_predict(case.rows), rtol=1e-5, atol=1e-6)


def test_no_row_exceeds_the_bound(cases):
    for case in cases.values():
        forest = read_forest(case.booster)
        assert np.abs(forest.margins(case.edges) - forest.intercept).max() <= forest.bound + 1e-9


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"booster": "gblinear"}, "gblinear"),
        ({"objective": "count:poisson"}, "count:poisson"),
        ({"objective": "reg:squarederror", "multi_strategy": "multi_output_tree"}, "vector leaves"),
    ],
)
def test_what_cannot_be_read_is_named(changes, named):
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(50, 2)), rng.integers(0, 2, (50, 2 if "multi_strategy" in changes else 1))
    booster = xgboost.train({"objective": "binary:logistic", "nthread": 1} | changes, xgboost.DMatrix(rows, labels), 2)
    with pytest.raises(InvalidInput, match=named):
        read_forest(booster)
