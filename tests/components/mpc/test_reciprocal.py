import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.mpc.reciprocal import reciprocal, reciprocal_fraction

UNIT = 2.0**-20


@pytest.mark.parametrize("parties", [2, 3, 4])
@pytest.mark.parametrize("upper", [1.0, 3.0, 5.5, 2.0**13, 2.0**20])
def test_one_over_x_to_eighteen_bits(computed, upper, parties):
    powers = 4.0 ** np.arange(-5, 11)
    x = np.concatenate([np.geomspace(2.0**-10, upper, 5000), powers, powers - UNIT, powers + UNIT])
    words = np.rint(x[(x >= 2.0**-10) & (x <= upper)] / UNIT).astype(np.int64)
    found = computed(lambda a: reciprocal(a, upper), words, parties=parties)[0] * 2.0 ** -reciprocal_fraction(upper)
    assert np.abs(found * words * UNIT - 1).max() < 2.0**-18


@pytest.mark.parametrize("upper", [3.0, 2.0**20])
def test_outside_the_domain_nothing_wraps_around(computed, upper):
    outside = np.array([0, 1, -1, 2**9, 2**10 - 1, -(2**10), -(2**20), int(-upper * 2**20)])
    found, _ = computed(lambda a: reciprocal(a, upper, site="s"), outside)
    assert not found.any()


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(-(2**30), 2**30), min_size=1, max_size=50), st.floats(0.001, 1000))
def test_one_more_threshold_rides_along(computed, words, threshold):
    level = int(np.rint(threshold / UNIT))
    words = np.array(words + [level - 1, level, level + 1])
    _, bits = computed(lambda a: reciprocal(a, 1024.0, also_at_least=threshold), words)
    np.testing.assert_array_equal(bits, words >= level)


def test_another_lower_end(computed):
    x = np.linspace(0.5, 20.5, 400)
    words = np.rint(x / UNIT).astype(np.int64)
    found, _ = computed(lambda a: reciprocal(a, 20.5, lower_bits=1), words)
    assert np.abs(found * 2.0 ** -reciprocal_fraction(20.5, lower_bits=1) * words * UNIT - 1).max() < 2.0**-18


def test_seven_rounds(harness):
    def program(engine):
        return reciprocal(harness.hold(engine, np.full((2, 3), 2**20)), 8000.0, also_at_least=1.0)

    assert harness.run_recorded(program).engines[0].network.traffic.rounds == 7


@pytest.mark.parametrize("parties", [2, 3])
def test_nothing_is_seen(harness, parties):
    def protocol(_, x):
        reciprocal(x, 16.0, also_at_least=1.0)

    harness.assert_oblivious(protocol, [np.zeros(2**14, dtype=int)], [np.full(2**14, 3 * 2**20)], parties=parties)
