"""Holm's procedure against statsmodels and against its own definition."""

import gc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from components.gates.holm import holm_levels

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


@pytest.fixture(autouse=True)
def _little_to_collect():
    """The oracle collects garbage at every call, which takes the longer the more modules a worker has imported."""
    gc.freeze()
    yield
    gc.unfreeze()


@settings(max_examples=40, deadline=None)
@given(P_VALUES, st.sampled_from([0.05, 0.01, 0.2]))
def test_a_p_value_is_within_its_level_exactly_when_statsmodels_rejects(p_values, level):
    rejected, adjusted, *_ = multipletests(p_values, alpha=level, method="holm")
    clear = np.abs(adjusted - level) > 1e-9
    assert (rejected == (np.array(p_values) <= holm_levels(p_values, level)))[clear].all()


def test_levels_step_up_until_the_first_miss():
    levels = holm_levels([0.03, 0.001, 0.9, 0.014], 0.05)
    np.testing.assert_allclose(levels, [0.05 / 2, 0.05 / 4, 0.05 / 2, 0.05 / 3])


@given(P_VALUES, st.data())
def test_weighted_levels_follow_the_stepwise_definition(p_values, data):
    weights = data.draw(st.lists(st.sampled_from([0.25, 1.0, 2.0]), min_size=len(p_values), max_size=len(p_values)))
    left, expected = set(range(len(p_values))), set()
    while left:
        first = min(left, key=lambda index: (p_values[index] / weights[index], index))
        if p_values[first] > 0.05 * weights[first] / sum(weights[index] for index in left):
            break
        expected.add(first)
        left.remove(first)

    levels = holm_levels(p_values, 0.05, weights=weights)

    assert {index for index, p in enumerate(p_values) if p <= levels[index]} == expected
