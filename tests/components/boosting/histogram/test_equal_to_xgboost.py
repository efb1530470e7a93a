"""On the same edges the trees are those of `xgboost.train` with `hist`, for any table and any parameters."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

OBJECTIVES = ("binary:logistic", "multi:softprob", "reg:squarederror")


def compare(histogram, drawn, **parameters) -> float:
    """The share of trees that are the same; what comes after two splits that gain the same is another model."""
    terms = drawn.terms(**parameters)
    ours = histogram.train(terms, [drawn.rows(terms)])
    theirs = histogram.train_xgboost(drawn, terms, ours)
    same = histogram.assert_same_trees(ours, theirs, terms.parameters.reg_lambda)
    if same == 1:
        everything = drawn.quantised()
        margins = [booster.predict(everything, output_margin=True) for booster in (ours, theirs)]
        np.testing.assert_allclose(*margins, rtol=1e-5, atol=1e-5)
    return same


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("categories", [(), (3,), (12, 80)])
@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_trees_are_the_same(histogram, objective, categories, missing):
    """Numbers; one category against the rest (fewer than four); runs of categories, some longer than 64."""
    drawn = histogram.draw_rows(1500, objective=objective, categories=categories, missing=missing, max_bin=32)
    assert compare(histogram, drawn) == 1


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize(
    "parameters",
    [
        {"reg_lambda": 0.0, "reg_alpha": 0.5, "min_child_weight": 0.0},
        {"gamma": 3.0, "reg_lambda": 5.0},
        {"min_child_weight": 20.0, "max_depth": 8},
        {"max_depth": 1, "eta": 1.0},
    ],
    ids=lambda parameters: next(iter(parameters)),
)
def test_they_are_with_every_penalty(histogram, objective, parameters):
    drawn = histogram.draw_rows(600, objective=objective, categories=(3, 9), missing=0.1)
    assert compare(histogram, drawn, **parameters) == 1


TABLES = given(
    rows=st.integers(20, 300),
    objective=st.sampled_from(OBJECTIVES),
    categories=st.lists(st.integers(2, 20), max_size=2).map(tuple),
    missing=st.sampled_from([0.0, 0.1, 0.6]),
    max_bin=st.integers(2, 40),
    seed=st.integers(0, 10_000),
    parameters=st.fixed_dictionaries(
        {
            "rounds": st.integers(1, 3),
            "max_depth": st.integers(1, 5),
            "eta": st.sampled_from([0.1, 0.3, 1.0]),
            "reg_lambda": st.sampled_from([0.0, 0.1, 1.0, 20.0]),
            "reg_alpha": st.sampled_from([0.0, 0.0, 0.3]),
            "gamma": st.sampled_from([0.0, 0.0, 0.5]),
            "min_child_weight": st.sampled_from([0.0, 1.0, 5.0]),
        }
    ),
)


def test_they_are_for_any_table(histogram):
    compared = []

    @settings(max_examples=40, deadline=None)
    @TABLES
    def examine(parameters, **table):
        compared.append(compare(histogram, histogram.draw_rows(**table), **parameters))

    examine()
    assert np.mean(compared) > 0.9


def test_a_feature_without_a_value_changes_nothing(histogram):
    drawn = histogram.draw_rows(300)
    drawn.matrix[:, 2] = np.nan
    assert compare(histogram, drawn) == 1


def test_more_than_256_bins(histogram):
    drawn = histogram.draw_rows(900, missing=0.1, max_bin=299)
    assert drawn.bins.dtype == np.uint16
    assert compare(histogram, drawn) == 1


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_intercept_is_what_xgboost_estimates(histogram, objective):
    for seed in range(8):
        drawn = histogram.draw_rows(200 + 37 * seed, objective=objective, seed=seed)
        terms = drawn.terms(rounds=1)
        ours = histogram.train(terms, [drawn.rows(terms)])
        theirs = histogram.train_xgboost(drawn, terms, ours, estimated=True)
        np.testing.assert_allclose(histogram.scores_of(ours), histogram.scores_of(theirs), rtol=3e-7)


@pytest.mark.slow
def test_they_are_for_many_rows(histogram):
    """A quarter of a million rows and 256 bins, as deep as anybody goes."""
    drawn = histogram.draw_rows(250_000, categories=(30,), missing=0.05, max_bin=256)
    assert compare(histogram, drawn, max_depth=8, rounds=10) >= 0.9
