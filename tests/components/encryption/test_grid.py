"""A client's grid holds every threshold, and decoys enough that it is no list of them."""

import numpy as np
import pytest
import xgboost

from components.encryption.forest import read_forest
from components.encryption.grid import DILUTION, EDGES, grid_with_decoys, public_grid, thresholds
from components.errors import InvalidInput

KEY = bytes(32)


@pytest.fixture(scope="module")
def forest(cases):
    return read_forest(cases["binary"].booster)


def test_every_feature_has_as_many_edges_and_few_are_thresholds(forest):
    grid = grid_with_decoys(forest, KEY)
    assert grid.edges.shape[1] >= EDGES
    assert np.isfinite(grid.edges).all()
    for edges, needed in zip(grid.edges, thresholds(forest), strict=True):
        assert (np.diff(edges) > 0).all()
        assert np.isin(needed, edges).all()
        assert len(edges) >= DILUTION * len(needed)


def test_decoys_have_as_many_decimals_as_thresholds(forest):
    grid = grid_with_decoys(forest, KEY)
    visits = forest.features.index("visits")
    assert (thresholds(forest)[visits] % 1 == 0).all()
    assert (grid.edges[visits] % 1 == 0).all()
    assert not (grid.edges[forest.features.index("dose")] % 1 == 0).all()


def test_the_next_grid_holds_the_former_one_and_enough_decoys_for_what_is_new(trained):
    """A user with two champions' bundles learns no more than one bundle says: of the edges that came one in four."""
    first = trained("binary", rounds=4)
    settings = {"objective": "binary:logistic", "max_depth": 4, "max_cat_to_onehot": 2, "nthread": 1}
    types = {"feature_types": ["q", "q", "q", "c"], "enable_categorical": True}
    rows, label = first.rows[100:], (first.rows[100:, 0] > 0.3).astype(int)
    matrix = xgboost.DMatrix(rows, label, feature_names=first.booster.feature_names, **types)
    forests = [read_forest(first.booster)]
    forests.append(read_forest(xgboost.train(settings, matrix, 3, xgb_model=first.booster)))
    old = grid_with_decoys(forests[0], KEY)
    new = grid_with_decoys(forests[1], KEY, dict(zip(forests[0].features, old.edges.tolist(), strict=True)))
    needed = [thresholds(forest) for forest in forests]
    assert sum(np.isin(*pair).sum() for pair in zip(*needed, strict=True)) > 10
    for before, after, were, are in zip(old.edges, new.edges, *needed, strict=True):
        assert np.isin(before, after).all()
        assert np.isin(are, after).all()
        came = np.setdiff1d(after, before)
        assert np.isin(came, are).sum() <= len(came) / DILUTION
        assert np.isin(before, were).sum() <= len(before) / DILUTION
    kept = dict(zip(forests[1].features, new.edges.tolist(), strict=True))
    np.testing.assert_array_equal(grid_with_decoys(forests[0], KEY, kept).edges, new.edges)


def test_decoys_are_the_models_and_not_the_users(forest, published):
    own, others = (published("binary", user=user).client.columns.grid for user in ("ada", "bob"))
    np.testing.assert_array_equal(own.edges, others.edges)
    assert not np.array_equal(grid_with_decoys(forest, KEY).edges, own.edges)


def test_ranks_count_the_edges_that_are_not_above(forest, cases):
    grid, rows = grid_with_decoys(forest, KEY), np.nan_to_num(cases["binary"].edges)
    expected = (grid.edges[None, :, :] <= rows[:, :, None]).sum(axis=2)
    np.testing.assert_array_equal(grid.ranks(rows), expected)
    np.testing.assert_array_equal(grid.ranks(rows[:3]), expected[:3])


def test_a_public_grid_must_hold_all_thresholds_and_the_error_shows_none(forest):
    needed = dict(zip(forest.features, thresholds(forest), strict=True))
    assert public_grid(forest, {name: [*edges, 99.0] for name, edges in needed.items()}).edges.shape[0] == 4
    lacking = needed | {"dose": needed["dose"][1:]}
    with pytest.raises(InvalidInput, match=f"1 of {len(needed['dose'])} thresholds of feature 'dose'") as caught:
        public_grid(forest, lacking)
    assert f"{needed['dose'][0]:.3f}"[:5] not in str(caught.value)
