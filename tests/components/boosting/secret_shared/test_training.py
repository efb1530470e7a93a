"""Trees grown on shares are those XGBoost grows on the same bins, however rows and columns are split among owners."""

import hashlib

import numpy as np
import pytest
import xgboost
from scipy.stats import binomtest
from sklearn.metrics import log_loss, roc_auc_score

from components.boosting.model import to_document
from components.boosting.secret_shared.train import drawn

OBJECTIVES = ("binary:logistic", "reg:squarederror", "multi:softprob")
CLOSE = 2e-4
HALF_WIDTH = {"reg:squarederror": 95.0}
"""Regression margins are in the label's units, which are so many times those of the others."""


def assert_as_xgboost(boosting, trained, data):
    ours, theirs = boosting.opened_margins(trained, data), boosting.xgboost_margins(trained, data)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=CLOSE * HALF_WIDTH.get(data.objective, 1))
    assert np.ptp(theirs) > 0.1


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("kind", [{}, {"categorical": 2, "missing": 0.15}], ids=["numeric", "categories and gaps"])
def test_margins_are_those_of_xgboost(boosting, trained_once, objective, kind):
    described = {"objective": objective, **kind}
    assert_as_xgboost(boosting, trained_once(data=described), boosting.draw_bins(**described))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_one_call_of_xgboost_gives_the_same_model(boosting, trained_once, objective):
    """Without drawing rows, `xgboost.train` itself is the oracle, its estimate of the intercept included."""
    trained, data = trained_once(data={"objective": objective}), boosting.draw_bins(objective=objective)
    options = boosting.options_of(trained.agreement)
    whole = xgboost.train(options, data.matrix(), trained.agreement.parameters.rounds)
    theirs = whole.predict(data.matrix(), output_margin=True)
    scale = HALF_WIDTH.get(objective, 1)
    np.testing.assert_allclose(boosting.opened_margins(trained, data), theirs, rtol=0, atol=CLOSE * scale)


@pytest.mark.parametrize(
    ("objective", "parameters"),
    [
        ("binary:logistic", {"max_depth": 4, "rounds": 2}),
        ("binary:logistic", {"eta": 1.0, "reg_lambda": 0.0, "min_child_weight": 5.0}),
        ("binary:logistic", {"reg_lambda": 300.0}),
        ("binary:logistic", {"gamma": 12.0}),
        ("binary:logistic", {"min_child_weight": 60.0}),
        ("binary:logistic", {"min_child_weight": 0.0}),
        ("reg:squarederror", {"gamma": 12_000.0}),
        ("reg:squarederror", {"min_child_weight": 300.0, "reg_lambda": 20.0, "eta": 0.1}),
        ("multi:softprob", {"gamma": 6.0, "min_child_weight": 40.0}),
    ],
)
def test_every_parameter_means_what_it_means_in_xgboost(boosting, trained_once, objective, parameters):
    data = {"objective": objective, "missing": 0.1}
    assert_as_xgboost(boosting, trained_once(data=data, **parameters), boosting.draw_bins(**data))


@pytest.mark.parametrize("parameter", ["gamma", "min_child_weight"])
def test_a_bound_that_nothing_reaches_leaves_no_split(boosting, trained_once, parameter):
    """A root lighter than min_child_weight adds nothing, as in XGBoost; one that may not be split is one leaf."""
    trained, data = trained_once(**{parameter: 5000.0}), boosting.draw_bins()
    assert (trained.opened.splits == trained.opened.splits.max()).all()
    np.testing.assert_allclose(
        boosting.opened_margins(trained, data), boosting.xgboost_margins(trained, data), atol=CLOSE
    )
    np.testing.assert_allclose(boosting.shared_margins(trained), boosting.opened_margins(trained, data), atol=CLOSE)


@pytest.mark.parametrize("parameter", ["gamma", "min_child_weight"])
def test_the_largest_bounds_fit_few_rows(boosting, trained_once, parameter):
    described = {"rows": 40}
    trained = trained_once(data=described, rounds=1, max_depth=1, **{parameter: 1e6})
    data = boosting.draw_bins(**described)
    np.testing.assert_allclose(
        boosting.opened_margins(trained, data), boosting.xgboost_margins(trained, data), atol=CLOSE
    )


def test_all_parties_draw_the_same_whatever_they_have_installed(boosting):
    """The draws of a seed are fixed for good: parties that drew other rows would compute nonsense."""
    data = boosting.draw_bins(4000, 10)
    agreement = boosting.agree(data, "vertical", 2, boosting.settings(subsample=0.7, colsample_bytree=0.5, seed=3))
    draws = [drawn(agreement, number) for number in range(20)]
    octets = b"".join(rows.astype(np.uint8).tobytes() + features.astype(np.uint8).tobytes() for rows, features in draws)
    assert hashlib.sha256(octets).hexdigest() == "155bb47ac78296f96a61a6d4fffeb79c2cd695c1dfd08e245b8ada589194da0e"
    assert binomtest(sum(int(rows.sum()) for rows, _ in draws), 80_000, 0.7).pvalue > 1e-6
    assert {len(set(features)) for _, features in draws} == {5}
    assert len({rows.tobytes() for rows, _ in draws}) == len(draws)
    assert set(np.concatenate([features for _, features in draws])) == set(range(10))


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_rows_and_columns_are_drawn_by_the_public_seed(boosting, trained_once, objective):
    described = {"rows": 3000, "objective": objective, "missing": 0.1, "categorical": 1}
    drawn = {"subsample": 0.7, "colsample_bytree": 0.5, "seed": 3}
    trained = trained_once(data=described, **drawn)
    assert_as_xgboost(boosting, trained, boosting.draw_bins(**described))
    used = [{split["split_indices"][node] for node in np.flatnonzero(np.array(split["left_children"]) >= 0)}
            for split in to_document(trained.booster)["learner"]["gradient_booster"]["model"]["trees"]]  # fmt: skip
    rounds = [set.union(*used[start : start + trained.agreement.outputs])
              for start in range(0, len(used), trained.agreement.outputs)]  # fmt: skip
    assert all(len(features) <= 3 for features in rounds)
    assert len(set.union(*rounds)) > 3


def structure(trained) -> list[tuple]:
    trees = to_document(trained.booster)["learner"]["gradient_booster"]["model"]["trees"]
    inner = [np.array(tree["left_children"]) >= 0 for tree in trees]
    return [
        (
            tree["left_children"],
            np.array(tree["split_indices"])[splits].tolist(),
            np.array(tree["split_conditions"])[splits].tolist(),
            np.array(tree["default_left"])[splits].tolist(),
            tree["categories"],
        )
        for tree, splits in zip(trees, inner, strict=True)
    ]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_layout_gives_the_same_model(boosting, trained_once, objective):
    described = {"objective": objective, "categorical": 2}
    first = trained_once(data=described)
    for layout, parties in [("horizontal", 2), ("vertical", 3), ("mixed", 4)]:
        other = trained_once(layout, parties, data=described)
        assert structure(other) == structure(first), (layout, parties)
        np.testing.assert_allclose(other.opened.leaves, first.opened.leaves, rtol=0, atol=1e-5)
        np.testing.assert_allclose(other.opened.sums, first.opened.sums, rtol=1e-5, atol=0.02)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_every_layout_gives_the_same_margins_with_gaps(boosting, trained_once, objective):
    """Splits that send the same rows left tie where a node has no gaps; which one is taken is decided by noise."""
    described = {"objective": objective, "missing": 0.15, "categorical": 2}
    data = boosting.draw_bins(**described)
    first = boosting.opened_margins(trained_once(data=described), data)
    for layout, parties in [("horizontal", 3), ("mixed", 3)]:
        other = boosting.opened_margins(trained_once(layout, parties, data=described), data)
        np.testing.assert_allclose(other, first, rtol=0, atol=CLOSE * HALF_WIDTH.get(objective, 1))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("objective", "layout", "parties"),
    [
        (objective, layout, 3 + (row + column) % 2)
        for row, objective in enumerate(OBJECTIVES)
        for column, layout in enumerate(["vertical", "horizontal", "mixed"])
    ],
)
def test_more_parties_more_rows_and_ten_rounds(boosting, trained_once, objective, layout, parties):
    described = {"rows": 6000, "objective": objective, "missing": 0.1, "categorical": 2, "seed": parties}
    parameters = {"rounds": 10, "subsample": 0.8, "colsample_bytree": 0.8, "max_depth": 4, "min_child_weight": 20.0}
    trained = trained_once(layout, parties, data=described, **parameters)
    assert_as_xgboost(boosting, trained, boosting.draw_bins(**described))


def test_deep_trees_predict_as_well_as_those_of_xgboost(boosting, trained_once):
    """Where nodes are small a near tie may fall otherwise, so it is not each margin that is compared."""
    described = {"rows": 4000, "missing": 0.1, "categorical": 1}
    trained = trained_once(data=described, max_depth=6, min_child_weight=5.0)
    fresh = boosting.draw_bins(**described | {"seed": 1})
    whole = xgboost.train(boosting.options_of(trained.agreement), boosting.draw_bins(**described).matrix(), 3)
    ours, theirs = (
        boosting.opened_margins(trained, fresh),
        whole.predict(fresh.matrix(labels=False), output_margin=True),
    )
    assert abs(roc_auc_score(fresh.labels, ours) - roc_auc_score(fresh.labels, theirs)) < 0.002
    losses = [log_loss(fresh.labels, 1 / (1 + np.exp(-margins))) for margins in (ours, theirs)]
    assert abs(losses[0] - losses[1]) < 0.002
