"""Cells, counted against masks."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.data.table import GroupColumn
from components.errors import InvalidInput
from components.fairness import Cell, cells
from components.fairness.intersections import count_cells


def column(codes, *levels) -> GroupColumn:
    return GroupColumn(np.asarray(codes, dtype=np.int32), levels)


@st.composite
def grouped(draw):
    rows = draw(st.integers(0, 60))
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    codes = [draw(st.lists(st.integers(0, size - 1), min_size=rows, max_size=rows)) for size in sizes]
    groups = {f"c{n}": column(c, *"wxyz"[:size]) for n, (c, size) in enumerate(zip(codes, sizes, strict=True))}
    kind = np.array(draw(st.lists(st.integers(0, 2), min_size=rows, max_size=rows)), dtype=int)
    return groups, kind


def mask(cell, groups):
    rows = np.ones(len(next(iter(groups.values())).codes), dtype=bool)
    for name, level in cell.levels:
        rows &= groups[name].codes == groups[name].levels.index(level)
    return rows


@given(grouped(), st.integers(1, 3))
def test_counts_are_those_of_masks(case, depth):
    groups, kind = case
    found, counts = count_cells(groups, depth=depth, kind=kind, kinds=3)
    for cell, row in zip(found, counts, strict=True):
        np.testing.assert_array_equal(row, np.bincount(kind[mask(cell, groups)], minlength=3))


@given(grouped(), st.integers(1, 3))
def test_only_intersections_that_repeat_a_parent_are_left_out(case, depth):
    groups, kind = case
    found = {cell.levels for cell in count_cells(groups, depth=depth, kind=kind, kinds=3)[0]}
    for cell in cells(groups, depth):
        parents = [Cell(levels) for levels in combinations(cell.levels, len(cell.levels) - 1) if levels]
        repeats = any((mask(cell, groups) == mask(parent, groups)).all() for parent in parents)
        assert (cell.levels in found) != repeats


def test_cells_are_named_by_column_and_level():
    groups = {"sex": column([0], "female", "male"), "race": column([0], "black", "white")}
    names = [cell.name for cell in cells(groups, 2)]
    assert names[:4] == ["sex=female", "sex=male", "race=black", "race=white"]
    assert "sex=female & race=black" in names
    assert len(names) == 8


def test_counts_over_many_blocks_of_rows():
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 5, 100_001)
    _, counts = count_cells({"c": column(codes, *"abcde")}, depth=1, kind=np.zeros(100_001), kinds=1)
    np.testing.assert_array_equal(counts[:, 0], np.bincount(codes))


def test_more_cells_than_anyone_can_read_are_refused():
    wide = column([0], *(f"{n}" for n in range(700)))
    with pytest.raises(InvalidInput, match="street x door"):
        cells({"street": wide, "door": wide}, 2)
