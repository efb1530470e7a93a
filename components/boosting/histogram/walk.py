"""Rows on their way down a tree: dividing a node's rows between its children, and finding the leaf of a single row.

A split is a table over the slots of its feature that says who goes left, so numbers, categories and missing values are
all one look-up, and a row's way has no branch to guess. Rows that go to a child whose histogram is wanted are added to
it a few hundred at a time, while they are still in the cache.
"""

import numpy as np
from numba import njit

from components.boosting.histogram.sums import add_rows, fetch

FAR_AHEAD = 96
"""Rows between the one that is divided and the one that is fetched: more than for sums, since one byte takes less time
to look at than many slots to add to."""

TOGETHER = 512
"""Rows divided before those among them are added."""

LEFT, RIGHT, NEITHER = 0, 1, 2


@njit(cache=True, nogil=True)
def divide(bins, pairs, feature, goes_left, rows, spare, wanted, starts, sums):
    """Order the row indices `rows` in place, those that go left first, each side as before; returns how many do.

    goes_left (bins + 1,) uint8; spare: room for as many indices; `wanted`: the side whose rows are added to `sums`, see
    `add_rows`.
    """
    count, width = len(rows), np.uint64(bins.shape[1] * bins.itemsize)
    byte, feature = np.uint64(feature * bins.itemsize), np.uint64(feature)
    left, right = np.uint64(0), np.uint64(0)
    for begin in range(0, count, TOGETHER):
        left_before, right_before = left, right
        for place in range(begin, min(begin + TOGETHER, count)):
            fetch(bins, np.uint64(rows[min(place + FAR_AHEAD, count - 1)]) * width + byte)
            row = rows[place]
            goes = np.uint64(goes_left[bins[np.uint64(row), feature]])
            rows[left] = row
            spare[right] = row
            left += goes
            right += np.uint64(1) - goes
        if wanted == LEFT:
            add_rows(bins, pairs, rows[left_before:left], starts, sums)
        elif wanted == RIGHT:
            add_rows(bins, pairs, spare[right_before:right], starts, sums)
    rows[left:count] = spare[:right]
    return left


@njit(cache=True, nogil=True)
def add_divided(bins, feature, goes_left, rows, left, right, output, margins):
    """Add to the margins of `rows` the value of the leaf, left or right, that each goes to."""
    count, width = len(rows), np.uint64(bins.shape[1] * bins.itemsize)
    byte, feature = np.uint64(feature * bins.itemsize), np.uint64(feature)
    for place in range(count):
        fetch(bins, np.uint64(rows[min(place + FAR_AHEAD, count - 1)]) * width + byte)
        row = np.uint64(rows[place])
        margins[row, output] += left if goes_left[bins[row, feature]] else right


@njit(cache=True, nogil=True)
def add_value(rows, value, output, margins):
    """Add a leaf's value to the margins of its rows."""
    for row in rows:
        margins[np.uint64(row), output] += value


@njit(cache=True, nogil=True)
def add_leaves(bins, rows, feature, goes_left, left, right, values, output, margins):
    """Add to the margins of `rows` the value of the leaf that each reaches from the root.

    feature, left, right, values (nodes,), left -1 at leaves; goes_left (nodes, slots of the widest feature).
    """
    for row in rows:
        node = 0
        while left[node] >= 0:
            node = left[node] if goes_left[node, bins[row, feature[node]]] else right[node]
        margins[row, output] += values[node]
