"""The ring Z_2^64 and fixed-point numbers in it, against Python's integers, which do not wrap around."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.mpc.fixed_point import FRACTION, decode, encode
from components.mpc.ring import WORD, matmul, require_words, signed, word

EXTREMES = (0, 1, -1, 3, 2**61, -(2**61), 2**63 - 1, -(2**63))
SIZE = st.integers(1, 11)


@given(st.integers(-(2**70), 2**70))
def test_a_word_is_a_residue(value):
    assert int(word(value)) == value % 2**64
    assert int(signed(np.array([word(value)]))[0]) == (value + 2**63) % 2**64 - 2**63


@settings(deadline=None)
@given(st.integers(0, 2**32), SIZE, SIZE, SIZE, st.sampled_from([(), (1,), (3,)]), st.sampled_from(["u8", "i8", "i1"]))
def test_matrix_products_are_exact(seed, rows, inner, columns, blocks, kind):
    """Sizes on both sides of the four steps and eight lanes that are done at once."""
    random = np.random.default_rng(seed)
    left = random.choice(EXTREMES, (*blocks, rows, inner)).astype(object)
    right = random.choice([-128, -1, 0, 1, 127] if kind == "i1" else EXTREMES, (*blocks, inner, columns)).astype(object)
    words, stored = (left % 2**64).astype(WORD), (right % 2**64 if kind == "u8" else right).astype(kind)
    product = matmul(words, stored)
    assert product.dtype == WORD
    assert np.array_equal(product.astype(object), (left @ right) % 2**64)


def test_floats_are_never_taken_for_ring_elements():
    promoted = np.zeros(1, dtype=np.uint64) + np.zeros(1, dtype=np.int64)
    assert promoted.dtype == np.float64
    for use in (require_words, signed, lambda words: matmul(words.reshape(1, 1), np.zeros((1, 1), dtype=np.uint64))):
        with pytest.raises(TypeError, match="float64"):
            use(promoted)
    with pytest.raises(TypeError, match="float64"):
        matmul(np.zeros((1, 1), dtype=np.uint64), promoted.reshape(1, 1))


@given(st.floats(-(2.0**41), 2.0**41), st.sampled_from([0, 8, FRACTION]))
def test_numbers_come_back_within_half_a_unit(value, fraction):
    assert abs(float(decode(encode(value, fraction), fraction)) - value) <= 2.0**-fraction / 2


@pytest.mark.parametrize("fraction", [0, FRACTION, 40])
def test_what_does_not_fit_is_refused(fraction):
    bound = 2.0 ** (62 - fraction)
    largest = np.nextafter(bound, 0)
    assert signed(encode([largest, -largest], fraction)).tolist() == [
        int(largest * 2**fraction),
        -int(largest * 2**fraction),
    ]
    for value in (bound, -bound, np.inf, np.nan):
        with pytest.raises(OverflowError, match=f"{fraction} fraction bits"):
            encode(value, fraction)
