"""What the three kinds of evidence have in common: bounds and p-values agree, and growth brings what it promises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from components.gates.evidence import Gaps, PairedRises, Shares

LEVELS = st.sampled_from([0.05, 0.01, 0.05 / 300])
BUDGETS = st.floats(0.005, 0.5)


@st.composite
def evidence(draw):
    rows = draw(st.integers(1, 3000))
    events = draw(st.integers(0, rows))
    budget = draw(BUDGETS)
    match draw(st.sampled_from([Shares, PairedRises, Gaps])):
        case kind if kind is Shares:
            return kind(np.array([events]), np.array([rows]), budget)
        case kind if kind is PairedRises:
            return kind(np.array([events]), np.array([draw(st.integers(0, rows - events))]), np.array([rows]), budget)
        case kind:
            others = draw(st.integers(1, 9000))
            counts = (events, rows, draw(st.integers(0, others)), others)
            return kind(*(np.array([count]) for count in counts), budget)


@settings(max_examples=120, deadline=None)
@given(evidence(), LEVELS)
def test_bounds_and_p_values_decide_alike(found, level):
    p_within, p_beyond = found.p_within[0], found.p_beyond[0]
    if abs(p_within - level) > 1e-6 * level:
        assert (found.upper(np.array([level]))[0] <= found.budget + 1e-12) == (p_within <= level)
    if abs(p_beyond - level) > 1e-6 * level:
        assert (found.lower(np.array([level]))[0] >= found.budget - 1e-12) == (p_beyond <= level)


@settings(max_examples=120, deadline=None)
@given(evidence(), LEVELS)
def test_bounds_enclose_the_estimate(found, level):
    at = np.array([level])
    assert found.lower(at)[0] - 1e-9 <= found.value[0] <= found.upper(at)[0] + 1e-9


@settings(max_examples=120, deadline=None)
@given(evidence(), LEVELS)
def test_growth_is_just_enough(found, level):
    at = np.array([level])
    growth = found.growth_needed(at)[0]
    if np.isnan(growth):
        assert found.value[0] > found.budget - 1e-3
        return
    if growth < 1e-6:  # so far below the tolerance that a single row would do
        return
    parts = [getattr(found, name) for name in found.__dataclass_fields__ if name != "budget"]
    enough = type(found)(*(part * growth * (1 + 1e-6) for part in parts), found.budget)
    short = type(found)(*(part * growth * (1 - 1e-3) for part in parts), found.budget)
    assert enough.upper(at)[0] <= found.budget + 1e-9
    assert short.upper(at)[0] > found.budget - 1e-9


@pytest.mark.parametrize(
    "found", [Shares([0], [0], 0.1), PairedRises(*np.zeros((3, 1)), 0.1), Gaps(*np.zeros((4, 1)), 0.1)]
)
def test_no_rows_show_nothing(found):
    assert np.isnan(found.value[0])
    assert found.p_within[0] >= 0.5
    assert found.p_beyond[0] >= 0.5
    assert np.isnan(found.growth_needed(np.array([0.05]))[0])


@pytest.mark.parametrize(("negative", "positive"), [(0, 0), (5, 2), (50, 52), (1, 8)])
def test_a_share_of_flips_against_one_half_is_mcnemars_exact_test(negative, positive):
    flips = negative + positive
    asked = Shares(np.array([negative]), np.array([flips]), 0.5)
    assert asked.p_beyond[0] == pytest.approx(binom.sf(negative - 1, flips, 0.5))


def test_mcnemar_is_no_flip_gate():
    """One answer in twenty gets worse and McNemar sees nothing."""
    assert binomtest(50, 102).pvalue == pytest.approx(0.92, abs=0.005)
    assert Shares(np.array([50]), np.array([102]), 0.5).p_beyond[0] > 0.5


@pytest.mark.parametrize(("rows", "allowed"), [(299, 0), (500, 1), (1000, 4), (2000, 12), (5000, 38)])
def test_flips_a_one_percent_budget_allows(rows, allowed):
    within = Shares(np.array([allowed, allowed + 1]), np.array([rows, rows]), 0.01).p_within <= 0.05
    assert within.tolist() == [True, False]
    assert Shares(np.array([0]), np.array([298]), 0.01).p_within[0] > 0.05


@pytest.mark.parametrize(("rows", "is_enough"), [(223, False), (293, False), (294, True), (300, True)])
def test_rows_that_pass_a_gap_four_times_in_five(rows, is_enough):
    """Every outcome of a group that errs as often as everyone else, one row in ten, each with its probability."""
    events = np.arange(rows + 1)
    others = np.full(rows + 1, 100_000)
    passes = Gaps(events, np.full(rows + 1, rows), others, 10 * others, 0.05).p_within <= 0.05
    assert (binom.pmf(events, rows, 0.1)[passes].sum() >= 0.8) == is_enough
