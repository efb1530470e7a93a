import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.mpc.argmax import first_maximum, maximum


def one_hot(values):
    return np.arange(values.shape[1]) == values.argmax(axis=1)[:, None]


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4), st.integers(1, 90), st.integers(1, 4), st.integers(2, 4), st.integers(0, 2**32))
def test_the_first_of_the_largest_is_marked(computed, nodes, size, spread, parties, seed):
    values = np.random.default_rng(seed).integers(-spread, spread, (nodes, size))
    marked, largest = computed(lambda x: (first_maximum(x, site="s", bits=8), maximum(x)), values, parties=parties)
    np.testing.assert_array_equal(marked, one_hot(values))
    np.testing.assert_array_equal(largest, values.max(axis=1))


@pytest.mark.parametrize("size", [2, 3, 16, 17, 25, 64, 65, 129, 1000, 5003])
@pytest.mark.parametrize("bits", [24, 33, 64])
def test_sizes_and_ranges(computed, size, bits):
    values = np.random.default_rng(size).integers(-(2 ** min(bits - 2, 61)), 2 ** min(bits - 2, 61), (3, size))
    values[1, :] = values[1, 0]
    values[2, -1] = values[2].max()
    np.testing.assert_array_equal(computed(lambda x: first_maximum(x, site="s", bits=bits), values), one_hot(values))


@pytest.mark.parametrize("winner", [0, 1, 255, 1023, 1024])
def test_a_lonely_winner_anywhere(computed, winner):
    values = np.zeros((1, 1025), dtype=np.int64)
    values[0, winner] = 1
    np.testing.assert_array_equal(computed(lambda x: first_maximum(x, site="s"), values), one_hot(values))


@pytest.mark.parametrize("parties", [2, 3])
@pytest.mark.parametrize("shape", [(1024, 17), (2048, 9), (256, 257)])
def test_nothing_is_seen(harness, shape, parties):
    flat, steep = np.zeros(shape, dtype=int), np.cumsum(np.ones(shape, dtype=int), axis=1)
    # The last stage of few candidates sends little; it runs the same protocols on other shapes.
    harness.assert_oblivious(
        lambda _, x: first_maximum(x, site="s", bits=33), [flat], [steep], parties=parties, repeats=2
    )
