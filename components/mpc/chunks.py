"""Rows in chunks of equal size, and the loops that add vectors by row, slot, chunk or bin.

The vectors of one call lie beside each other, (…, vectors), so that one look at a map serves them all and several are
added in one instruction.
"""

from math import isqrt

import numpy as np
from numba import njit

from components.mpc.lanes import add_2, add_4, add_8


def chunk_capacity(rows: int) -> int:
    """Places in a chunk: the more, the more slots stay empty; the fewer, the more chunks are multiplied."""
    return max(1, isqrt(rows * 7 // 100))


def one_hot(bins: np.ndarray, bin_count: int) -> np.ndarray:
    """Indicators int8 (…, bin_count) of bins (…); what lies in bin `bin_count` lies in none."""
    return (bins[..., None] == np.arange(bin_count, dtype=bins.dtype)).view(np.int8)


@njit(cache=True, nogil=True)
def fill_chunks(bins, bin_count, capacity, chunks):
    """The chunk of each row and, after them, of each empty slot; the bin of each chunk, `bin_count` for a spare one."""
    room = np.zeros(bin_count, dtype=np.int64)
    current = np.zeros(bin_count, dtype=np.int64)
    filled = np.zeros(chunks, dtype=np.int64)
    bin_of_chunk = np.full(chunks, bin_count, dtype=np.uint32)
    chunk_of_place = np.empty(chunks * capacity, dtype=np.uint32)
    used = 0
    for row in range(len(bins)):
        bin_ = bins[row]
        if room[bin_] == 0:
            room[bin_], current[bin_] = capacity, used
            bin_of_chunk[used] = bin_
            used += 1
        room[bin_] -= 1
        filled[current[bin_]] += 1
        chunk_of_place[row] = current[bin_]
    place = len(bins)
    for chunk in range(chunks):
        for _ in range(capacity - filled[chunk]):
            chunk_of_place[place] = chunk
            place += 1
    return chunk_of_place, bin_of_chunk


@njit(inline="always")
def _add_row(target, to, source, at, width):
    done = 0
    while done + 8 <= width:
        add_8(target, to + done, source, at + done)
        done += 8
    if width & 4:
        add_4(target, to + done, source, at + done)
        done += 4
    if width & 2:
        add_2(target, to + done, source, at + done)
        done += 2
    if width & 1:
        target[to + done] += source[at + done]


@njit(cache=True, nogil=True)
def lay(fresh, laid, rows, vectors):
    """Add what is laid for its row to each slot, in place: fresh flat (slots, vectors), laid flat (rows, vectors)."""
    if vectors == 1:
        for slot in range(len(rows)):
            fresh[slot] += laid[rows[slot]]
    else:
        for slot in range(len(rows)):
            _add_row(fresh, slot * vectors, laid, np.intp(rows[slot]) * vectors, vectors)
    return fresh


@njit(cache=True, nogil=True)
def sum_by(index, values, totals, vectors):
    """totals[index[k]] += values[k]: flat (…, vectors)."""
    if vectors == 1:
        for k in range(len(index)):
            totals[index[k]] += values[k]
    else:
        for k in range(len(index)):
            _add_row(totals, np.intp(index[k]) * vectors, values, k * vectors, vectors)
