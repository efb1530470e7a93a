"""What a check of a table has to say, and the words it is said with.

A check returns every finding rather than raising at the first, so that a person with a broken file can repair it in one
go; whoever needs a clean table raises the first one (`components.data.check.checked`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.data.schema import Schema

_SHOWN = 3
"""Different wrong values of a column that a sentence names."""


@dataclass(frozen=True)
class Finding:
    """One thing wrong with a table: the column, the first row it shows in (as the file counts), and the sentence.

    An `error` keeps the table from being used; a `warning` is worth reading and no more.
    """

    column: str
    row: int | None
    sentence: str
    severity: Literal["error", "warning"] = "error"


@dataclass(frozen=True)
class Inspected:
    """The table under inspection: its columns, what they should be, the file's name and the number of its first row."""

    columns: pa.Table
    schema: Schema
    where: str
    first_row: int

    @cached_property
    def rows(self) -> int:
        return self.columns.num_rows

    def named(self, column: str, *, role: str = "column") -> str:
        return f"{role} '{column}' of {self.where}"

    def share(self, count: int) -> str:
        """'3 of 920 values'."""
        return f"{count} of {self.rows} {'value' if self.rows == 1 else 'values'}"

    def first(self, mask: pa.ChunkedArray) -> tuple[int, int]:
        """How many rows of `mask` are true, and where the first of them lies (0-based)."""
        hits = np.flatnonzero(pc.fill_null(mask, False).to_numpy())
        return len(hits), int(hits[0]) if len(hits) else -1

    def wrong(self, values: pa.ChunkedArray, mask: pa.ChunkedArray) -> tuple[int, int, str]:
        """`first`, and the different values where `mask` is true: "'n/a' in row 37, '?' in row 122 and 2 others"."""
        hits = np.flatnonzero(pc.fill_null(mask, False).to_numpy())
        if not len(hits):
            return 0, -1, ""
        # In order of appearance, so that each code's first place increases.
        encoded = values.take(pa.array(hits)).combine_chunks().dictionary_encode()
        places = hits[np.unique(encoded.indices.to_numpy(), return_index=True)[1]]
        different = list(zip(encoded.dictionary.to_pylist(), places, strict=True))
        shown = ", ".join(f"{value!r} in row {self.row(place)}" for value, place in different[:_SHOWN])
        others = len(different) - _SHOWN
        shown += f" and {others} other{'s' if others > 1 else ''}" if others > 0 else ""
        return len(hits), int(hits[0]), f"first: {shown}" if len(hits) > 1 else shown

    def row(self, index: int) -> int:
        """The number the file gives to the row at `index`."""
        return self.first_row + index


def suggestion(column: str, names: Iterable[str], *, taken: Iterable[str] = ()) -> str:
    """Of a column that is not there: which of `names`, `taken` ones apart, it may have been misspelt as; or all.

    Where no name is like one of `taken`, the names may be somebody's values under no header, and are not repeated.
    """
    names, taken = list(names), set(taken)
    known = {_folded(name) for name in taken}
    if taken and not any(_folded(name) in known for name in names):
        columns = "1 column is" if len(names) == 1 else f"{len(names)} columns are"
        return f"none of its {columns} known; its first line must name the columns"
    lower = {_folded(name): name for name in names if name not in taken}
    close = get_close_matches(column.lower(), lower, n=1, cutoff=0.6)
    return f"did you mean '{lower[close[0]]}'?" if close else f"it has {listed(names)}"


def _folded(name: str) -> str:
    return name.strip().lower()


def listed(names: Iterable[str], *, most: int = 8) -> str:
    """'a', 'b', 'c' and 4 more."""
    names = [f"'{name}'" for name in names]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
