"""Cut points that owners find together from sums of counts, when nobody may say what values there are.

Every round the owners count their values in the cells of a public grid, the counts are added under masks, and cells
that hold too many rows are divided further, until each that still does is one single number. The cells are ranges of
float32 in the order of their bit patterns, which is that of the numbers, so a grid needs to know neither unit nor range
beforehand; four to six rounds are enough for any values.

What it gives away: how many rows of all owners together lie in each cell of each round's grid.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MOST_ROUNDS = 8
CELLS = 2048
"""Cells of the first grid, and cells that each later round adds at most, a feature."""

_SPAN = 1 << 32
_PARTS_OF_A_BIN = 4
"""A cell is light enough when it holds less than this part of a bin's rows."""


@dataclass(frozen=True)
class Grid:
    """Ascending boundaries (cells + 1,) of one feature's cells; a cell is [boundary, next boundary) in keys."""

    boundaries: np.ndarray

    @property
    def cells(self) -> int:
        return len(self.boundaries) - 1


def first_grid() -> Grid:
    """The grid of the first round, the same for every feature: `CELLS` ranges of sign, exponent, leading digits."""
    return Grid(np.arange(CELLS + 1, dtype=np.int64) * (_SPAN // CELLS))


def sorted_keys(values: np.ndarray) -> np.ndarray:
    """An owner's values of one feature, float32 (n,) with NaN for missing, as ascending keys (m,) without those."""
    present = values[~np.isnan(values)].astype(np.float32) + np.float32(0)
    return np.sort(_keys(present))


def counts_in(grid: Grid, keys: np.ndarray) -> np.ndarray:
    """An owner's counts (cells,), int64, from `sorted_keys`: what it adds to the masked sum."""
    return np.diff(np.searchsorted(keys, grid.boundaries.astype(np.uint64).clip(0, _SPAN), side="left"))


def too_heavy(grid: Grid, counts: np.ndarray, max_bin: int) -> np.ndarray:
    """Which cells (cells,) hold too many of the rows that `counts` sums up for `max_bin` bins, and can be divided."""
    return (counts * max_bin * _PARTS_OF_A_BIN > counts.sum()) & (np.diff(grid.boundaries) > 1)


def refined(grid: Grid, counts: np.ndarray, max_bin: int) -> Grid:
    """The next round's grid: cells of many rows divided, the more the heavier; neighbours without any joined.

    Parameters
    ----------
    counts
        Sums over owners, (cells,).
    max_bin
        Bins the feature shall have at most.
    """
    widths = np.diff(grid.boundaries)
    heavy = too_heavy(grid, counts, max_bin)
    share = np.where(heavy, counts, 0)
    # Powers of two, since round numbers end in zero bits.
    wanted = np.maximum(share * CELLS // max(1, share.sum()), 2)
    parts = np.where(heavy, np.minimum(1 << (np.frexp(wanted)[1] - 1).astype(np.int64), widths), 1)
    starts = grid.boundaries[:-1]
    within = np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
    divided = np.repeat(starts, parts) + within * np.repeat(widths // parts, parts)
    empty = counts == 0
    needless = np.repeat(empty & np.roll(empty, 1), parts)
    needless[0] = False
    return Grid(np.append(divided[~needless], grid.boundaries[-1]))


def edges(grid: Grid, counts: np.ndarray, max_bin: int) -> np.ndarray:
    """Cut points (at most max_bin - 1,), float32, ascending; a value lies below the first cut greater than it.

    Each bin ends at the boundary whose rank is nearest to an equal share of the rows; where there are no more cells
    with rows than bins, each such cell is a bin of its own.
    """
    total = counts.sum()
    filled = np.flatnonzero(counts)
    if len(filled) <= 1:
        return np.empty(0, dtype=np.float32)
    ranks = np.cumsum(counts)[filled[:-1]]
    # A cut between two cells with rows may lie anywhere in the gap; the start of the upper cell is in it.
    places = grid.boundaries[filled[1:]]
    if len(places) >= max_bin:
        targets = total * np.arange(1, max_bin) / max_bin
        above = np.searchsorted(ranks, targets).clip(1, len(ranks) - 1)
        nearest = np.where(targets - ranks[above - 1] <= ranks[above] - targets, above - 1, above)
        places = places[np.unique(nearest)]
    return _numbers(places)


def _keys(numbers: np.ndarray) -> np.ndarray:
    """float32 → uint32 in the same order."""
    bits = numbers.view(np.uint32)
    return np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))


def _numbers(keys: Sequence[int] | np.ndarray) -> np.ndarray:
    """Keys below 2^32 → float32."""
    keys = np.asarray(keys).astype(np.uint32)
    return np.where(keys >> 31, keys ^ np.uint32(1 << 31), ~keys).astype(np.uint32).view(np.float32)
