import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.mpc.multiply import truncate
from components.mpc.quotient import quotient

UNIT = 2.0**-20


def divided(y, x, **limits):
    ratio, reached = quotient(y, x, **limits)
    return truncate(ratio, 20), reached


@pytest.mark.parametrize("parties", [2, 3, 4])
@pytest.mark.parametrize(("lower", "upper"), [(0.01, 1.0), (1.0, 3.0), (0.5, 5.5), (2.0, 2.0**13), (1.0, 2.0**18)])
def test_a_quotient_of_any_size(computed, lower, upper, parties):
    powers = 4.0 ** np.arange(-5, 11)
    x = np.concatenate([np.geomspace(lower, upper, 3000), powers, powers - UNIT, powers + UNIT, [lower, upper]])
    x = np.rint(x[(x >= lower) & (x <= upper)] / UNIT).astype(np.int64)
    ratios = np.tile([0, 1.0, -1.0, 1e-3, -3.7, 100.0, -1000.0], len(x))[: len(x)]
    y = np.rint(ratios * x).astype(np.int64)
    found, reached = computed(lambda a, b: divided(a, b, lower=lower, upper=upper, bound=1000.0), y, x, parties=parties)
    assert np.all(np.abs(found * UNIT - y / x) < 2.0**-18 * np.abs(y / x) + 2 * UNIT)
    np.testing.assert_array_equal(reached, x >= np.rint(lower / UNIT))


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.integers(-(2**30), 2**30), min_size=1, max_size=50),
    st.floats(0.01, 1000),
    st.integers(-(2**40), 2**40),
)
def test_what_is_too_small_gives_nothing(computed, words, lower, numerator):
    level = int(np.rint(lower / UNIT))
    x = np.array([*words, level - 1, level, level + 1, 0])
    y = np.full(len(x), numerator)
    found, reached = computed(lambda a, b: divided(a, b, lower=lower, upper=1024.0, bound=2.0**27), y, x)
    np.testing.assert_array_equal(reached, x >= level)
    # Rounding leaves a unit of the numerator, and the series off its interval is bounded.
    assert np.all(np.abs(found[x < level] * UNIT) <= 32)


def test_a_lower_end_beyond_the_upper_one(computed):
    x = np.array([0, 2**20, 2**24, 2**31])
    _, reached = computed(lambda a, b: divided(a, b, lower=1500.0, upper=16.0, bound=2.0), x, x)
    np.testing.assert_array_equal(reached, [0, 0, 0, 1])


def test_several_numerators_of_one_denominator(computed):
    x = np.linspace(1, 20, 400)
    y = np.stack([x, x**2 / 20, 1 - x])
    words = [np.rint(array / UNIT).astype(np.int64) for array in (y, x)]
    found, _ = computed(lambda a, b: divided(a, b, lower=1.0, upper=20.0, bound=1.0), *words)
    assert np.abs(found * UNIT - y / x).max() < 1e-5


def test_six_rounds(harness):
    def program(engine):
        x = harness.hold(engine, np.full((2, 3), 2**20))
        return quotient(x, x, lower=1.0, upper=8000.0, bound=1.0)

    assert harness.run_recorded(program).engines[0].network.traffic.rounds == 6


@pytest.mark.parametrize("parties", [2, 3])
def test_nothing_is_seen(harness, parties):
    def protocol(_, y, x):
        quotient(y, x, lower=1.0, upper=16.0, bound=100.0)

    zeros, threes = np.zeros(2**14, dtype=int), np.full(2**14, 3 * 2**20)
    harness.assert_oblivious(protocol, [zeros, zeros], [-threes, threes], parties=parties)
