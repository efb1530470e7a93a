"""What a check of a table has to say, and the words it is said with.

A check returns every finding rather than raising at the first, so that a person with a broken file can repair it in one
go; whoever needs a clean table raises the first one (`components.data.check.checked`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.data.schema import Schema


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

    def row(self, index: int) -> int:
        """The number the file gives to the row at `index`."""
        return self.first_row + index


def listed(names: Iterable[str], *, most: int = 8) -> str:
    """'a', 'b', 'c' and 4 more."""
    names = [f"'{name}'" for name in names]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
