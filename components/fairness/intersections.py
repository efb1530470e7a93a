"""Cells: every level of every group column, and every intersection of levels of several columns.

Rows are counted by one `bincount` of combined codes per set of columns, so no cell ever needs a mask and a million rows
with a thousand cells take a second. Every level is a cell, also one without rows: what is absent is listed, not lost
(Kearns et al., ICML 2018, on why intersections are looked at and not columns alone).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product
from math import prod

import numpy as np

from components.data.table import Groups
from components.errors import InvalidInput

MOST_CELLS = 200_000
"""More cells than this cannot be read by anyone, and are refused before they are counted."""

_ROWS_AT_ONCE = 1 << 15


@dataclass(frozen=True)
class Cell:
    """Rows that share one level in each of some columns; `levels` holds (column, level) pairs in column order."""

    levels: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        """`sex=female & race=black`."""
        return " & ".join(f"{column}={level}" for column, level in self.levels)

    @property
    def parents(self) -> Iterator["Cell"]:
        """The cells that leave out one of the columns; none of a single level."""
        if len(self.levels) > 1:
            yield from (Cell(levels) for levels in combinations(self.levels, len(self.levels) - 1))


def cells(groups: Groups, depth: int) -> list[Cell]:
    """Every cell of up to `depth` columns: single columns first, then pairs, then triples.

    Raises
    ------
    InvalidInput
        There are more than `MOST_CELLS`.
    """
    sets = _column_sets(groups, depth)
    sizes = {columns: prod(len(groups[column].levels) for column in columns) for columns in sets}
    if sum(sizes.values()) > MOST_CELLS:
        widest = max(sizes, key=sizes.get)
        raise InvalidInput(
            f"group columns make {sum(sizes.values())} cells ({sizes[widest]} of {' x '.join(widest)}), more than "
            f"{MOST_CELLS}; name fewer columns, intersect fewer of them or merge their levels"
        )
    return [
        Cell(tuple(zip(columns, levels, strict=True)))
        for columns in sets
        for levels in product(*(groups[column].levels for column in columns))
    ]


def count_cells(groups: Groups, *, depth: int, kind: np.ndarray, kinds: int) -> tuple[list[Cell], np.ndarray]:
    """Count the rows of each kind in each cell.

    An intersection with exactly the rows of one of its parents says nothing new and is left out.

    Parameters
    ----------
    kind
        (n,) integers below `kinds`: what happened in the row.

    Returns
    -------
    The cells and their counts (C, kinds), int64.
    """
    listed = cells(groups, depth)
    if not listed:
        return [], np.empty((0, kinds), dtype=np.int64)
    kind = np.asarray(kind, dtype=np.int64)
    counts = sum(_counts(groups, depth, kind, kinds, rows) for rows in _blocks(len(kind)))
    rows = dict(zip(listed, counts.sum(axis=1).tolist(), strict=True))
    new = [all(rows[parent] != rows[cell] for parent in cell.parents) for cell in listed]
    return [cell for cell, is_new in zip(listed, new, strict=True) if is_new], counts[new]


def cell_codes(groups: Groups, depth: int) -> Iterator[tuple[np.ndarray, int]]:
    """For each set of columns, in the order of `cells`: the row's cell in the set (n,), and how many cells it has."""
    for columns in _column_sets(groups, depth):
        code, size = groups[columns[0]].codes.astype(np.int64), len(groups[columns[0]].levels)
        for column in columns[1:]:
            levels = len(groups[column].levels)
            code, size = code * levels + groups[column].codes, size * levels
        yield code, size


def _counts(groups: Groups, depth: int, kind: np.ndarray, kinds: int, rows: slice) -> np.ndarray:
    here = {name: column.take(rows) for name, column in groups.items()}
    codes = cell_codes(here, depth)
    counts = [np.bincount(code * kinds + kind[rows], minlength=size * kinds) for code, size in codes]
    return np.concatenate(counts).reshape(-1, kinds)


def _blocks(rows: int) -> list[slice]:
    """Blocks of rows small enough that their codes stay in the processor's cache; at least one, if empty."""
    return [slice(start, start + _ROWS_AT_ONCE) for start in range(0, max(rows, 1), _ROWS_AT_ONCE)]


def _column_sets(groups: Groups, depth: int) -> list[tuple[str, ...]]:
    return [columns for size in range(1, depth + 1) for columns in combinations(groups, size)]
