import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.mpc.select import select

EDGES = [0, 1, -1, 2**61, -(2**61), 2**63 - 1, -(2**63)]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=30), st.integers(2, 4), st.integers(0, 2**32))
def test_a_bit_keeps_or_drops_a_number_exactly(computed, words, parties, seed):
    words = np.array(words + EDGES, dtype=np.int64)
    bits = np.random.default_rng(seed).integers(0, 2, len(words), dtype=np.uint8)
    np.testing.assert_array_equal(computed(lambda b, x: select(b, x), bits, words, parties=parties), words * bits)


@pytest.mark.parametrize(
    ("bits", "words"), [((5, 7), (7,)), ((7,), (5, 7)), ((4, 1), (4, 6)), ((2, 1, 3), (4, 1)), ((1,), (9,))]
)
def test_shapes_broadcast_and_each_number_is_opened_once(computed, harness, bits, words):
    rng = np.random.default_rng(0)
    b, x = rng.integers(0, 2, bits, dtype=np.uint8), rng.integers(-(2**40), 2**40, words)
    np.testing.assert_array_equal(computed(lambda b, x: select(b, x, site="s"), b, x), b * x)
    run = harness.run_recorded(lambda engine: select(harness.hold(engine, b), harness.hold(engine, x)))
    traffic = run.engines[0].network.traffic
    assert (traffic.rounds, traffic.sent) == (1, 8 * x.size + -(-b.size // 8))


@pytest.mark.parametrize("parties", [2, 3])
@pytest.mark.parametrize("shape", [(2**14,), (3, 2**14)])
def test_nothing_is_seen(harness, shape, parties):
    numbers, zeros = np.zeros(2**14, dtype=int), np.zeros(shape, dtype=np.uint8)
    harness.assert_oblivious(
        lambda _, b, x: select(b, x), (zeros, numbers), (zeros + np.uint8(1), numbers + 5), parties=parties
    )
