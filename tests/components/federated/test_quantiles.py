"""Cut points from sums of counts: as good as those of whoever has all values, whatever the values."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.federated.quantiles import MOST_ROUNDS, counts_in, edges, first_grid, refined, sorted_keys, too_heavy

VALUES = st.lists(st.floats(width=32, allow_infinity=False), min_size=1, max_size=200).map(
    lambda values: np.array(values, dtype=np.float32)
)


def together(owners: list[np.ndarray], max_bin: int):
    """What owners find: the edges, every round's counts, and the rounds it took."""
    keys = [sorted_keys(values) for values in owners]
    grid, seen = first_grid(), []
    while True:
        counts = np.sum([counts_in(grid, one) for one in keys], axis=0)
        seen.append(counts)
        if len(seen) == MOST_ROUNDS or not too_heavy(grid, counts, max_bin).any():
            return edges(grid, counts, max_bin), seen
        grid = refined(grid, counts, max_bin)


def bins(values: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    return np.bincount(np.searchsorted(cuts, values, side="right"), minlength=len(cuts) + 1)


@settings(deadline=None, max_examples=100)
@given(VALUES, st.integers(2, 64), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_however_rows_are_divided_no_bin_is_too_heavy_but_for_its_heaviest_value(values, max_bin, owners, seed):
    who = np.random.default_rng(seed).integers(0, owners, len(values))
    cuts, seen = together([values[who == owner] for owner in range(owners)], max_bin)
    present = values[~np.isnan(values)]

    assert all(counts.sum() == len(present) for counts in seen)
    assert len(cuts) < max_bin
    assert (np.diff(cuts) > 0).all()
    np.testing.assert_array_equal(cuts, together([values], max_bin)[0])
    if len(present):
        heaviest = np.unique(present, return_counts=True)[1].max()
        assert bins(present, cuts).max() <= 1.5 * len(present) / max_bin + heaviest


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(1).integers(-40, 60, 20_000),
        np.random.default_rng(2).poisson(3, 20_000),
        1e6 + np.random.default_rng(3).integers(0, 90, 20_000) / 16,
        np.random.default_rng(4).choice([-0.0, 0.0, 1e-30, -1e30], 20_000),
    ],
    ids=["integers", "counts", "narrow", "wide"],
)
def test_few_values_get_a_bin_each(values):
    values = values.astype(np.float32)
    filled = bins(values, together([values], 256)[0])
    np.testing.assert_array_equal(filled, np.unique(values, return_counts=True)[1])


@pytest.mark.parametrize("values", [[], [np.nan, np.nan], [3.5], [3.5] * 100])
def test_no_value_or_one_leaves_nothing_to_cut(values):
    assert len(together([np.array(values, dtype=np.float32)], 16)[0]) == 0


def test_many_values_come_close_to_equal_shares():
    values = np.exp(3 * np.random.default_rng(5).normal(size=100_000)).astype(np.float32)
    cuts, seen = together([values[:20_000], values[20_000:]], 256)
    assert len(cuts) == 255
    assert bins(values, cuts).max() <= 1.3 * len(values) / 256
    assert len(seen) <= 4
    assert max(map(len, seen)) <= 4096
