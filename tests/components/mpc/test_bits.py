import functools
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.mpc.bits import arithmetic, conjunction, conjunction_of


@pytest.mark.parametrize("parties", [2, 3, 4])
@pytest.mark.parametrize("factors", [2, 3, 4, 5, 7])
def test_conjunction_is_the_and_of_every_combination(computed, factors, parties):
    rows = np.array(list(itertools.product([0, 1], repeat=factors)), dtype=np.uint8).T
    found = computed(lambda *bits: conjunction_of(bits), *rows, parties=parties)
    np.testing.assert_array_equal(found, functools.reduce(np.bitwise_and, rows))


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 40), st.integers(0, 2**32))
def test_conjunction_broadcasts(computed, size, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 2, (3, size), dtype=np.uint8), rng.integers(0, 2, (size,), dtype=np.uint8)
    np.testing.assert_array_equal(computed(lambda x, y: conjunction(x, y, site="s"), a, b), a & b)


@pytest.mark.parametrize("parties", [2, 3, 4])
@pytest.mark.parametrize("size", [1, 7, 8, 9, 1000])
def test_bits_become_zeros_and_ones(computed, size, parties):
    bits = np.random.default_rng(size).integers(0, 2, size, dtype=np.uint8)
    np.testing.assert_array_equal(computed(lambda b: arithmetic(b), bits, parties=parties), bits)


def test_one_round_each(harness):
    bits = np.ones(9, dtype=np.uint8)

    def program(engine):
        shared = harness.hold(engine, bits)
        arithmetic(conjunction_of([shared] * 4))

    assert harness.run_recorded(program).engines[0].network.traffic.rounds == 2


@pytest.mark.parametrize("parties", [2, 3])
@pytest.mark.parametrize(
    "protocol",
    [
        lambda _, a, b: conjunction(a, b),
        lambda _, a, b: conjunction_of([a, b, a]),
        lambda _, a, b: arithmetic(a),
    ],
    ids=["conjunction", "of three", "arithmetic"],
)
def test_nothing_is_seen(harness, protocol, parties):
    zeros, ones = np.zeros(2**15, dtype=np.uint8), np.ones(2**15, dtype=np.uint8)
    harness.assert_oblivious(protocol, (zeros, ones), (ones, ones), parties=parties)
