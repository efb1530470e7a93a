"""Arithmetic in the ring Z_2^64, where every secret of the engine lives.

Words are `uint64` and wrap around, which is what makes a sum of shares hide its terms perfectly. NumPy turns
`uint64 + int64` into float64 without a word, so the ring's edge asserts its type; and its matrix product has no fast
path for integers, so that one is compiled here.
"""

import numpy as np
from numba import njit

WORD = np.dtype(np.uint64)

BITS = 64


def require_words(array: np.ndarray) -> np.ndarray:
    """`array`, after seeing that it holds ring elements: a float here would mean a silent promotion before."""
    if array.dtype != WORD:
        raise TypeError(f"ring elements are uint64, these are {array.dtype}")
    return array


def signed(words: np.ndarray) -> np.ndarray:
    """Ring elements read as two's complement, int64."""
    return require_words(words).view(np.int64)


def word(value: int) -> np.uint64:
    """A Python integer of any size and sign as a ring element."""
    return np.uint64(value % (1 << BITS))


@njit(cache=True, nogil=True)
def _multiply_into(left, right, product):
    for row in range(left.shape[0]):
        for inner in range(left.shape[1]):
            factor = left[row, inner]
            if factor != 0:
                for column in range(right.shape[1]):
                    product[row, column] += factor * right[inner, column]


def matmul(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(a, b) times (b, c) → (a, c), modulo 2^64; about twenty times NumPy's `@` on these types."""
    product = np.zeros((left.shape[0], right.shape[1]), dtype=WORD)
    _multiply_into(np.ascontiguousarray(require_words(left)), np.ascontiguousarray(require_words(right)), product)
    return product
