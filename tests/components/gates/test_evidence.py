"""What the three kinds of evidence have in common: bounds and p-values agree, and growth brings what it promises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
