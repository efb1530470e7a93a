"""Train, selection and gate parts, split by person and never by row.

A part is decided by the hash of the person alone, so that a person is in the same part in every later year, in every
run and at every owner, without anyone keeping a list: no gate row was ever trained on, by this model or an older one.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from components.data.independence import one_row_per_person
from components.data.table import UNKNOWN, Table
from components.errors import InvalidInput

PARTS = ("train", "selection", "gate")
SHARES = (0.55, 0.15, 0.30)
"""Of persons: to train on, to choose among candidates with, and to judge the chosen one by."""

SALT = "troth"
"""Public text that fixes who is where, unless another is given."""

_BLOCK = 1 << 14
"""Rows whose persons are hashed at a time, so that texts and hashes never lie in memory all at once."""


@dataclass(frozen=True)
class Split:
    """Row indices of each part, increasing; together every row once."""

    train: np.ndarray
    selection: np.ndarray
    gate: np.ndarray


def split_of(persons: np.ndarray, salt: str, shares: tuple[float, float, float] = SHARES) -> np.ndarray:
    """The part of each row, as (n,) int8 index into `PARTS`.

    Parameters
    ----------
    persons
        (n,) strings, one a row.
    salt
        Text mixed into the hash; another salt is another split.
    shares
        Expected shares of persons, which sum to 1.

    Raises
    ------
    InvalidInput
        The shares are not three positive numbers that sum to 1.
    """
    if len(shares) != 3 or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-9:
        raise InvalidInput(f"shares are {tuple(shares)}; they must be three positive numbers that sum to 1")
    # The first 64 bits of SHA-256 over salt and person: a standard hash, so that no library's update moves anybody.
    before, sha256 = f"{salt}\n".encode(), hashlib.sha256
    edges = np.cumsum(shares[:2]) * 2.0**64
    parts = np.empty(len(persons), dtype=np.int8)
    for start in range(0, len(persons), _BLOCK):
        some = persons[start : start + _BLOCK]
        # Rows of one person mostly stand together, so one hash serves them all.
        first = np.append(True, some[1:] != some[:-1])
        hashed = b"".join([sha256(before + person.encode()).digest() for person in some[first].tolist()])
        draws = np.frombuffer(hashed, dtype=">u8")[::4].astype(np.float64)
        parts[start : start + _BLOCK] = np.searchsorted(edges, draws, side="right")[np.cumsum(first) - 1]
    return parts


def split_table(table: Table, salt: str, shares: tuple[float, float, float] = SHARES) -> Split:
    """Split a table's rows by person, and refuse a split that could not be judged.

    Raises
    ------
    InvalidInput
        A part has rows of one class only or none at all, or a recorded group level has no row in the gate part.
    """
    codes = split_of(table.person, salt, shares)
    for code, part in enumerate(PARTS):
        _learnable(table, codes == code, part)
    gate = np.flatnonzero(codes == PARTS.index("gate"))
    _every_group_judged(table, gate[one_row_per_person(table.take(gate))])
    return Split(*(np.flatnonzero(codes == code) for code in range(len(PARTS))))


def _learnable(table: Table, rows: np.ndarray, part: str) -> None:
    labels = table.labels[rows]
    if len(np.unique(labels)) >= 2:
        return
    what = "no rows" if len(labels) == 0 else f"{len(labels)} rows, all with one value of the label"
    raise InvalidInput(
        f"the {part} part of {table.schema.name} has {what} ('{table.schema.label.column}'); "
        "give it a larger share, or bring more data"
    )


def _every_group_judged(table: Table, judged_rows: np.ndarray) -> None:
    for name, group in table.groups.items():
        everywhere = np.bincount(group.codes, minlength=len(group.levels))
        judged = np.bincount(group.codes[judged_rows], minlength=len(group.levels))
        for level, rows, rows_judged in zip(group.levels, everywhere, judged, strict=True):
            if rows and not rows_judged and level != UNKNOWN:
                raise InvalidInput(
                    f"group '{name}={level}' has {rows} rows, none of which the gate would judge, so nothing could be "
                    "said about it; merge the level with another, or bring more data"
                )
