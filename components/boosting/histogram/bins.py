"""Rows as bins: what an owner keeps of its features, one byte a value wherever 256 codes are enough.

Rows lie one after another, because a histogram reads all features of a row at once. Columns are read one at a time, so
no matrix of numbers is ever made.
Source: XGBoost 3.2, `HistogramCuts::SearchBin` (the first edge above the value; the last bin has no end).
"""

from collections.abc import Iterable

import numpy as np
from numba import njit

from components.boosting.histogram.cuts import Cuts
from components.data.table import Table, encode
from components.errors import InvalidInput

TOGETHER = 128
"""Values whose bins are searched side by side."""


def bin_table(table: Table, cuts: Cuts, rows: np.ndarray | None = None) -> np.ndarray:
    """(n, F) bins of a table's features, of its `rows` (indices) or all; see `bin_columns`.

    Raises
    ------
    InvalidInput
        The cuts are of other features.
    """
    if cuts.names != tuple(table.schema.features):
        odd = sorted(set(cuts.names) ^ set(table.schema.features))
        raise InvalidInput(
            f"the cuts are not of the features of table '{table.schema.name}' "
            f"({'they differ in ' + repr(odd[0]) if odd else 'their order differs'}); cut the table's own features"
        )
    columns = (encode(table.columns[name], feature) for name, feature in table.schema.features.items())
    if rows is None:
        return bin_columns(columns, cuts, len(table))
    return bin_columns((column[rows] for column in columns), cuts, len(rows))


def bin_columns(columns: Iterable[np.ndarray], cuts: Cuts, rows: int) -> np.ndarray:
    """(n, F) uint8 or uint16 bins of F columns (n,) of numbers or category codes, NaN where missing.

    A missing value, or a category that has no bin, has the number of its feature's bins as its code. uint16 is used
    where a feature has more than 256 bins, or 256 and a missing value.
    """
    bins = np.empty((rows, len(cuts)), dtype=np.uint8 if cuts.widest <= 256 else np.uint16)
    for feature, column in enumerate(columns):
        edges = cuts.edges[feature]
        values = np.ascontiguousarray(column, dtype=np.float32)
        search = _code_bins if cuts.categorical[feature] else _search_bins
        missing = search(values, edges, bins[:, feature])
        if missing and len(edges) == 256 and bins.dtype == np.uint8:
            bins = bins.astype(np.uint16)
            search(values, edges, bins[:, feature])
    return bins


@njit(cache=True, nogil=True)
def _search_bins(values, edges, bins):
    """The number of edges at or below each value; returns whether a value is missing.

    Many searches go side by side: their steps are the same, none depends on another, and none is a branch.
    """
    count, missing = len(edges), False
    found = np.empty(TOGETHER, np.int64)
    for begin in range(0, len(values), TOGETHER):
        some = values[begin : begin + TOGETHER]
        found[:] = 0
        length = count
        while length > 1:
            half = length >> 1
            for place in range(len(some)):
                found[place] += half if edges[np.uint64(found[place] + half - 1)] <= some[place] else 0
            length -= half
        for place in range(len(some)):
            value = some[place]
            known = value == value
            missing |= not known
            bins[begin + place] = min(found[place] + (edges[found[place]] <= value), count - 1) if known else count
    return missing


@njit(cache=True, nogil=True)
def _code_bins(values, edges, bins):
    count, missing = len(edges), False
    for row in range(len(values)):
        known = values[row] >= 0 and values[row] < count
        bins[row] = np.int64(values[row]) if known else count
        missing |= not known
    return missing
