"""Real numbers in the ring: as precise as they say, and never wrapped."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from components.errors import InvalidInput
from components.federated.fixed_point import FixedPoint

REALS = st.floats(-1e6, 1e6, width=32)


@given(st.lists(arrays(np.float64, 7, elements=REALS), min_size=1, max_size=9), st.integers(0, 30))
def test_a_sum_is_right_to_half_a_step_a_member(vectors, fraction):
    point = FixedPoint(fraction=fraction, largest=1000.0, members=9)
    total = np.sum([point.encode(vector) for vector in vectors], axis=0, dtype=np.uint64)
    expected = np.sum([np.clip(vector, -1000, 1000) for vector in vectors], axis=0)
    assert np.abs(point.decode(total) - expected).max() <= len(vectors) * 2.0 ** -(fraction + 1) + 1e-9


def test_the_largest_values_of_all_members_do_not_wrap():
    point = FixedPoint(fraction=40, largest=2.0**20, members=7)
    words = point.encode(np.array([2.0**20, -(2.0**20), np.float64(1e300)]))
    np.testing.assert_array_equal(point.decode(words * np.uint64(7)), 7 * np.array([2.0**20, -(2.0**20), 2.0**20]))


@pytest.mark.parametrize(("fraction", "largest", "members"), [(40, 2.0**23, 1), (40, 2.0**20, 8), (62, 2.0, 1)])
def test_a_sum_that_could_wrap_is_refused(fraction, largest, members):
    with pytest.raises(InvalidInput, match="overflow"):
        FixedPoint(fraction=fraction, largest=largest, members=members)


@pytest.mark.parametrize(
    ("fraction", "largest", "members"), [(63, 1, 1), (-1, 1, 1), (1, 0, 1), (1, np.nan, 1), (1, np.inf, 1), (1, 1, 0)]
)
def test_settings_without_sense_are_refused(fraction, largest, members):
    with pytest.raises(InvalidInput):
        FixedPoint(fraction=fraction, largest=largest, members=members)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(InvalidInput, match="1 of 3"):
        FixedPoint(fraction=10, largest=1, members=3).encode(np.array([0.5, value, 0.1]))
