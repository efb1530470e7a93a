import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.mpc.multiply import multiply, multiply_truncated, truncate
from components.mpc.ring import WORD

EDGES = [0, 1, -1, 2**20, -(2**20), 2**61, -(2**61), 2**62 - 1, -(2**62) + 1]
words = st.lists(st.integers(-(2**62) + 1, 2**62 - 1), min_size=1, max_size=30).map(lambda some: [*some, *EDGES])


@pytest.mark.parametrize("parties", [2, 3, 4])
@settings(max_examples=10, deadline=None)
@given(values=words)
def test_products_modulo_the_ring(computed, parties, values):
    x, y = np.array(values), np.array(values[::-1])
    expected = (x.view(WORD) * y.view(WORD)).view(np.int64)
    np.testing.assert_array_equal(computed(lambda a, b: multiply(a, b), x, y, parties=parties), expected)


@pytest.mark.parametrize("parties", [2, 3, 4])
@pytest.mark.parametrize("shift", [1, 20, 45, 61])
@settings(max_examples=10, deadline=None)
@given(values=words)
def test_truncation_is_one_unit_off_at_most(computed, parties, shift, values):
    x = np.array(values)
    found = computed(lambda a: truncate(a.rescaled(shift), 0), x, parties=parties)
    # Exactly: floor(x / 2^f), or that and one more.
    assert set((found - (x >> shift)).tolist()) <= {0, 1}


@pytest.mark.parametrize("parties", [2, 3, 4])
@pytest.mark.parametrize("shifts", [(0, 0), (0, 30), (45, 33), (61, 1)])
@settings(max_examples=10, deadline=None)
@given(values=words)
def test_a_product_of_truncated_numbers(computed, parties, shifts, values):
    x, y = np.array([values, values[::-1]]), np.array(values)

    def both(a, b):
        return multiply_truncated(a.rescaled(shifts[0]), 0, b.rescaled(shifts[1]), 0)

    product, short = computed(both, x, y, parties=parties)
    assert set((short - (x >> shifts[0])).reshape(-1).tolist()) <= {0, 1}
    rounded = [(short.view(WORD) * ((y >> shifts[1]) + up).view(WORD)).view(np.int64) for up in (0, 1)]
    assert np.all((product == rounded[0]) | (product == rounded[1]))


def test_one_round(harness):
    def program(engine):
        x = harness.hold(engine, np.full((2, 3), 2**40))
        return multiply_truncated(x, 10, x, 5)

    assert harness.run_recorded(program).engines[0].network.traffic.rounds == 1


@pytest.mark.parametrize("parties", [2, 3])
@pytest.mark.parametrize(
    "protocol", [multiply, lambda x, y: truncate(x, 3), lambda x, y: multiply_truncated(x, 3, y, 9)]
)
def test_nothing_is_seen(harness, protocol, parties):
    zeros, large = np.zeros(2**13, dtype=int), np.full(2**13, 2**61)
    harness.assert_oblivious(lambda _, x, y: protocol(x, y), [zeros, zeros], [large, -large], parties=parties)
