"""The bootstrap over persons: against SciPy's, and by how often it covers the truth."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.stats import binom, bootstrap

from components.fairness.bootstrap import bootstrap_means


def everyone(rows):
    return csr_array(np.ones((rows, 1)))


def test_independent_rows_get_scipys_interval():
    values = np.random.default_rng(0).exponential(size=800)
    expected = bootstrap((values,), np.mean, method="percentile", n_resamples=4000, rng=1).confidence_interval
    lower, upper = bootstrap_means(values, everyone(800), replicates=4000)
    width = expected.high - expected.low
    assert lower[0] == pytest.approx(expected.low, abs=0.06 * width)
    assert upper[0] == pytest.approx(expected.high, abs=0.06 * width)


def test_persons_cover_the_truth_where_rows_do_not():
    """Thirty speakers with twenty recordings each, who differ: 95 % by persons, far fewer by rows."""
    rng, worlds = np.random.default_rng(2), 300
    persons = np.repeat(np.arange(40), 20)
    covered = {"persons": 0, "rows": 0}
    for _ in range(worlds):
        values = rng.normal(size=40)[persons] + rng.normal(size=800)
        for name, who in (("persons", persons), ("rows", None)):
            lower, upper = bootstrap_means(values, everyone(800), persons=who, replicates=300)
            covered[name] += lower[0] <= 0 <= upper[0]
    assert covered["persons"] >= binom.ppf(0.001, worlds, 0.92)
    assert covered["rows"] < 0.6 * worlds


def test_a_seed_gives_the_same_bounds_and_persons_may_have_any_names():
    values = np.random.default_rng(3).normal(size=60)
    persons = np.arange(60) // 3
    first = bootstrap_means(values, everyone(60), persons=persons, seed=4)
    again = bootstrap_means(
        values, everyone(60), persons=np.char.add("speaker ", persons.astype(str).astype("U9")), seed=4
    )
    other = bootstrap_means(values, everyone(60), persons=persons, seed=5)
    assert first[0] != other[0]
    assert first[0] == pytest.approx(again[0], abs=0.05)


def test_small_cells_stay_in_every_replicate():
    """Two persons among a thousand have bounds between their values; one person has none."""
    members = np.zeros((1000, 3))
    members[:, 0], members[:2, 1], members[5, 2] = 1, 1, 1
    values = np.arange(1000.0)
    lower, upper = bootstrap_means(values, csr_array(members))
    assert 0 < lower[1] < 0.1
    assert 0.9 < upper[1] < 1
    assert np.isnan([lower[2], upper[2]]).all()


def test_more_persons_than_fit_one_block():
    values = np.random.default_rng(6).normal(size=9000)
    lower, upper = bootstrap_means(values, everyone(9000), replicates=500)
    assert upper[0] - lower[0] == pytest.approx(2 * 1.96 * values.std() / np.sqrt(9000), rel=0.15)
