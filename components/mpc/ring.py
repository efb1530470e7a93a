"""Arithmetic in the ring Z_2^64, where every secret of the engine lives.

Words are `uint64` and wrap around, which is what makes a sum of shares hide its terms perfectly. NumPy turns
`uint64 + int64` into float64 without a word, so the ring's edge asserts its type; and its matrix product has no fast
path for integers, so that one is compiled here.
"""

import math

import numpy as np
from numba import njit

from components.mpc.lanes import multiply_add_8

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


_TILE = 256
"""Columns worked on at once: four rows of the right matrix and some of the product stay in the first cache."""


@njit(cache=True, nogil=True)
def _multiply_into(left, right, product, blocks, rows, inner, columns):
    """Flat (blocks, rows, inner) times (blocks, inner, columns), added to the product."""
    for block in range(blocks):
        left_block, right_block = block * rows * inner, block * inner * columns
        for first in range(0, columns, _TILE):
            last = min(first + _TILE, columns)
            whole = last - (last - first) % 8
            # Four inner steps a pass: one load and one store of the product for four multiplications.
            for step in range(0, inner - 3, 4):
                source = right_block + step * columns
                for row in range(rows):
                    factors = left_block + row * inner + step
                    a, b, c, d = left[factors], left[factors + 1], left[factors + 2], left[factors + 3]
                    target = (block * rows + row) * columns
                    for column in range(first, whole, 8):
                        multiply_add_8(product, target + column, right, source + column, columns, a, b, c, d)
                    for column in range(whole, last):
                        at = source + column
                        product[target + column] += (
                            a * np.uint64(right[at])
                            + b * np.uint64(right[at + columns])
                            + c * np.uint64(right[at + 2 * columns])
                            + d * np.uint64(right[at + 3 * columns])
                        )
            for step in range(inner - inner % 4, inner):
                source = right_block + step * columns
                for row in range(rows):
                    factor = left[left_block + row * inner + step]
                    target = (block * rows + row) * columns
                    for column in range(first, last):
                        product[target + column] += factor * np.uint64(right[source + column])


def matmul(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(…, a, b) times (…, b, c) → (…, a, c), modulo 2^64, with at most one leading axis of blocks.

    The left factor is words; the right one may be of any integer type (a small signed integer stands for its residue),
    which saves memory where a matrix is small numbers. Forty times NumPy's `@` on these types.
    """
    if not np.issubdtype(right.dtype, np.integer):
        raise TypeError(f"ring elements are integers, these are {right.dtype}")
    *blocks, rows, inner = require_words(left).shape
    product = np.zeros((*blocks, rows, right.shape[-1]), dtype=WORD)
    flat = [np.ascontiguousarray(array).reshape(-1) for array in (left, right, product)]
    _multiply_into(*flat, math.prod(blocks), rows, inner, right.shape[-1])
    return product
