"""Bounds and p-values against SciPy, statsmodels and brute force."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import binom, binomtest, norm
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

from components.gates.statistics import (
    binomial_at_least,
    binomial_at_most,
    clopper_pearson_lower,
    clopper_pearson_upper,
    newcombe_lower,
    newcombe_upper,
    tango_lower,
    tango_score,
    tango_upper,
    wilson_bounds,
)

COUNTS = [(0, 1), (1, 1), (0, 50), (3, 50), (25, 50), (50, 50), (7, 3000), (2999, 3000)]
LEVELS = [0.05, 0.01, 0.05 / 800]
Z95 = norm.isf(0.05)


@pytest.mark.parametrize(("events", "trials"), COUNTS)
@pytest.mark.parametrize("level", LEVELS)
def test_clopper_pearson_is_scipys_exact_interval(events, trials, level):
    lower = binomtest(events, trials, alternative="greater").proportion_ci(1 - level, method="exact").low
    upper = binomtest(events, trials, alternative="less").proportion_ci(1 - level, method="exact").high

    assert clopper_pearson_lower(events, trials, level) == pytest.approx(lower, rel=1e-6)
    assert clopper_pearson_upper(events, trials, level) == pytest.approx(upper, rel=1e-6)


@pytest.mark.parametrize("rate", [0.01, 0.3, 0.97])
def test_binomial_tails_are_scipys(rate):
    for trials in (0, 1, 17, 400):
        events = np.arange(trials + 1)
        np.testing.assert_allclose(binomial_at_most(events, trials, rate), binom.cdf(events, trials, rate), rtol=1e-9)
        np.testing.assert_allclose(
            binomial_at_least(events, trials, rate), binom.sf(events - 1, trials, rate), rtol=1e-9
        )


@given(st.integers(0, 400), st.integers(0, 400), st.floats(0.001, 0.999), st.floats(0.0001, 0.4))
def test_a_clopper_pearson_bound_is_within_a_budget_exactly_when_its_p_value_is_within_the_level(
    k, extra, budget, level
):
    p_value = binomial_at_most(k, k + extra, budget)
    if abs(p_value - level) > 1e-9:
        assert (clopper_pearson_upper(k, k + extra, level) <= budget) == (p_value <= level)


def test_no_trials_say_nothing():
    assert clopper_pearson_lower(0, 0, 0.05) == 0
    assert clopper_pearson_upper(0, 0, 0.05) == 1
    assert wilson_bounds(0, 0, 1.6) == (0, 1)
    assert newcombe_upper(0, 0, 5, 10, 1.6) == 1
    assert newcombe_lower(0, 0, 5, 10, 1.6) == -1
    assert tango_upper(0, 0, 0, 1.6) == 1
    assert binomial_at_most(0, 0, 0.1) == 1


@pytest.mark.parametrize(("events", "trials"), COUNTS)
def test_wilson_is_statsmodels(events, trials):
    expected = proportion_confint(events, trials, alpha=0.10, method="wilson")
    np.testing.assert_allclose(wilson_bounds(events, trials, Z95), expected, atol=1e-12)


@pytest.mark.parametrize(
    "counts", [(3, 100, 9, 100), (0, 50, 4, 80), (30, 300, 600, 9000), (8, 8, 1, 20), (5, 5, 0, 5)]
)
def test_newcombe_is_statsmodels(counts):
    expected = confint_proportions_2indep(*counts, method="newcomb", compare="diff", alpha=0.10)
    assert (newcombe_lower(*counts, Z95), newcombe_upper(*counts, Z95)) == pytest.approx(expected, abs=1e-12)


def constrained_score(negative, positive, rows, rise):
    """The score of Tango's test, its nuisance parameter found by maximising the multinomial likelihood numerically."""

    def loss(share):
        parts = [(negative, share + rise), (positive, share), (rows - negative - positive, 1 - 2 * share - rise)]
        return -sum(count * np.log(probability) for count, probability in parts if count)

    low, high = max(0.0, -rise) + 1e-12, (1 - rise) / 2 - 1e-12
    share = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
    return (negative - positive - rows * rise) / np.sqrt(rows * (2 * share + rise - rise**2))


@pytest.mark.parametrize("counts", [(5, 2, 100), (0, 3, 80), (12, 12, 60), (1, 0, 400), (30, 5, 35)])
@pytest.mark.parametrize("rise", [-0.1, 0.01, 0.05, 0.3])
def test_tango_is_the_score_at_the_constrained_maximum(counts, rise):
    assert tango_score(*counts, rise) == pytest.approx(constrained_score(*counts, rise), rel=1e-4, abs=1e-4)


def test_tango_without_a_flip():
    """T = -sqrt(n D / (1 - D)) when nothing flipped."""
    assert tango_score(0, 0, 100, 0.05) == pytest.approx(-np.sqrt(100 * 0.05 / 0.95))
    assert tango_score(0, 0, 100, 0.0) == 0


def test_tango_bounds_are_where_the_score_meets_the_quantile():
    counts = np.array([(5, 2, 100), (0, 0, 200), (3, 40, 500), (0, 9, 300)]).T
    for z in (1.2, Z95, 3.1):
        np.testing.assert_allclose(tango_score(*counts, tango_upper(*counts, z)), -z, rtol=1e-6)
        np.testing.assert_allclose(tango_score(*counts, tango_lower(*counts, z)), z, rtol=1e-6)


def test_tango_at_no_rise_is_mcnemars_score():
    assert tango_score(14, 5, 200, 0.0) == pytest.approx((14 - 5) / np.sqrt(14 + 5))


def exact_size(rows, share, rise, level):
    """Probability, over every outcome of `rows` pairs, that Tango calls a true `rise` smaller than it is."""
    size = 0.0
    for negative, positive in product(range(rows + 1), repeat=2):
        if negative + positive <= rows and tango_score(negative, positive, rows, rise) <= -norm.isf(level):
            size += binom.pmf(negative, rows, share + rise) * binom.pmf(
                positive, rows - negative, share / (1 - share - rise)
            )
    return size


@pytest.mark.parametrize(("share", "rise"), [(0.02, 0.05), (0.05, 0.1), (0.0, 0.08)])
def test_tango_seldom_shows_what_is_not_so(share, rise):
    assert exact_size(40, share, rise, 0.05) <= 0.055
