"""A table in memory: Arrow columns and the schema that gives them meaning.

Arrow keeps a million rows compact, writes Parquet without a copy, and is never pickled. What algorithms need (a float32
feature matrix, encoded labels, group codes) is derived here, once and in one way, so that every training mode, every
gate and the loader agree on it to the bit.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.data.schema import BinaryLabel, Feature, Group, MulticlassLabel, Schema

UNKNOWN = "unknown"
"""The level shown for a row whose group is not recorded; it is a group like any other and is never left out."""

BOOLEANS = {"false": ("false", "0", "False", "FALSE"), "true": ("true", "1", "True", "TRUE")}
"""A boolean, and the ways files and schemas write it; tables hold the first."""

_BLOCK, _CACHE_LINE = 4096, 16
"""Rows and float32 columns that are turned from columns into rows at a time, so that they fit the processor's cache."""


@dataclass(frozen=True)
class GroupColumn:
    """One group column: `codes` (n,) int32 index into `levels`, every level a shown name."""

    codes: np.ndarray
    levels: tuple[str, ...]

    def take(self, rows: np.ndarray) -> "GroupColumn":
        return GroupColumn(self.codes[rows], self.levels)


Groups = Mapping[str, GroupColumn]
"""Group name → its column; all of one length."""


@dataclass(frozen=True)
class Table:
    """Rows with a meaning. `columns` holds at least the columns that were asked of it when it was checked."""

    schema: Schema
    columns: pa.Table

    def __len__(self) -> int:
        return self.columns.num_rows

    def take(self, rows: np.ndarray) -> "Table":
        """The rows at `rows` (indices, or a boolean mask of length n), in that order."""
        rows = np.asarray(rows)
        indices = np.flatnonzero(rows) if rows.dtype == bool else rows
        taken = Table(self.schema, self.columns.take(pa.array(indices, type=pa.int64())))
        # A level without a row among those taken stays a level: a group that is absent must not vanish from a report.
        taken.__dict__["groups"] = {name: group.take(indices) for name, group in self.groups.items()}
        return taken

    @cached_property
    def features(self) -> np.ndarray:
        """(n, F) float32 in the schema's feature order; NaN where missing; categories as their position."""
        if not self.schema.features:
            return np.empty((len(self), 0), dtype=np.float32)
        matrix = np.empty((len(self), len(self.schema.features)), dtype=np.float32)
        features = list(self.schema.features.items())
        for start in range(0, len(features), _CACHE_LINE):
            encoded = [encode(self.columns[name], feature) for name, feature in features[start : start + _CACHE_LINE]]
            for rows in (slice(first, first + _BLOCK) for first in range(0, len(self), _BLOCK)):
                matrix[rows, start : start + _CACHE_LINE] = np.stack([column[rows] for column in encoded], axis=1)
        return matrix

    @property
    def feature_types(self) -> list[str]:
        """XGBoost's feature types: 'c' for categorical, 'q' for the rest."""
        return ["c" if feature.kind == "categorical" else "q" for feature in self.schema.features.values()]

    @cached_property
    def labels(self) -> np.ndarray:
        """(n,) int32 class index (binary: 1 is positive), or float64 for regression."""
        column, label = self.columns[self.schema.label.column], self.schema.label
        match label:
            case BinaryLabel():
                positive = pa.array(list(spellings((label.positive,))))
                return pc.is_in(as_text(column), value_set=positive).to_numpy().astype(np.int32)
            case MulticlassLabel():
                return encode(column, Feature(kind="categorical", categories=label.classes)).astype(np.int32)
            case _:
                return pc.cast(column, pa.float64()).to_numpy()

    @cached_property
    def groups(self) -> dict[str, GroupColumn]:
        """Every declared group whose column is here (an owner's part may lack some), decoded to its shown levels."""
        return {
            name: group_column(self.columns[group.column], group)
            for name, group in self.schema.groups.items()
            if group.column in self.columns.column_names
        }

    @property
    def person(self) -> np.ndarray:
        """(n,) strings naming the person of each row."""
        return _as_strings(self.columns[self.schema.person])

    @property
    def time(self) -> np.ndarray | None:
        """(n,) the time column as it is, or None where the schema declares none."""
        return self.columns[self.schema.time].to_numpy() if self.schema.time else None

    @property
    def row_ids(self) -> np.ndarray:
        """(n,) strings that identify a row: the person, and '@' the time where there is one."""
        if self.schema.time is None:
            return self.person
        return _as_strings(
            pc.binary_join_element_wise(
                as_text(self.columns[self.schema.person]), as_text(self.columns[self.schema.time]), "@"
            )
        )

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) over schema, column names and values; the same rows in the same order give the same.

        A number is the same number whatever type a file keeps it in.
        """
        sha = hashlib.sha256(self.schema.model_dump_json().encode())
        for name in sorted(self.columns.column_names):
            kind, values = _kind_and_values(self.columns[name])
            sha.update(f"{name}:{kind}:{len(self)}\n".encode())
            sha.update(values)
        return sha.hexdigest()


def encode(column: pa.ChunkedArray, feature: Feature) -> np.ndarray:
    """A feature column as (n,) float32: the number itself, or the position of the category; NaN where missing.

    A category outside the declared ones (however spelt, see `spellings`) counts as missing, which is what a model
    trained on the declared ones can say about it.
    """
    if feature.kind == "numeric":
        return pc.cast(column, pa.float32(), safe=False).to_numpy()
    spelt = spellings(feature.categories)
    found = pc.index_in(as_text(column), value_set=pa.array(list(spelt), type=pa.string()))
    return pc.take(pa.array(list(spelt.values()), type=pa.float32()), found).to_numpy()


def group_column(column: pa.ChunkedArray, group: Group) -> GroupColumn:
    """The levels a group column shows: bands where `edges` are given, names where `names` are, values elsewhere."""
    if group.edges is not None:
        return _bands(pc.cast(column, pa.float64(), safe=False).to_numpy(), group.edges)
    encoded = as_text(column).combine_chunks().dictionary_encode()
    values = encoded.dictionary.to_pylist()
    names = tuple(group.names.values())
    named = {spelling: names[position] for spelling, position in spellings(tuple(group.names)).items()}
    shown = [named.get(value, value) for value in values]
    levels = tuple(sorted({*shown, *([UNKNOWN] if encoded.null_count else [])}))
    position = {level: code for code, level in enumerate(levels)}
    lookup = np.array([*(position[name] for name in shown), position.get(UNKNOWN, -1)], dtype=np.int32)
    codes = pc.fill_null(encoded.indices, len(values)).to_numpy(zero_copy_only=False)
    return GroupColumn(lookup[codes], levels)


def _bands(values: np.ndarray, edges: tuple[float, ...]) -> GroupColumn:
    text = [f"{edge:g}" for edge in edges]
    between = [f"{low} to < {high}" for low, high in zip(text, text[1:], strict=False)]
    levels = [f"< {text[0]}", *between, f">= {text[-1]}"]
    codes = np.searchsorted(np.asarray(edges), values, side="right").astype(np.int32)
    missing = np.isnan(values)
    if missing.any():
        codes[missing] = len(levels)
        levels.append(UNKNOWN)
    return GroupColumn(codes, tuple(levels))


def as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Values as text: 'true' and 'false'; whole floats without '.0', so that 1 and 1.0 name the same level."""
    return pc.cast(_without_fractions(column), pa.string())


def spellings(declared: Sequence[str]) -> dict[str, int]:
    """Every spelling of the `declared` values, with their position.

    Each is spelt as it is written, but booleans, which files write in many ways: '1' stands for true, 'False' for 0.
    """
    meant = [next((meaning for meaning, words in BOOLEANS.items() if value in words), None) for value in declared]
    if None in meant or len(set(meant)) < len(meant):
        return {value: position for position, value in enumerate(declared)}
    return {word: position for position, meaning in enumerate(meant) for word in BOOLEANS[meaning]}


def _without_fractions(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Floats that are all whole numbers as integers; anything else as it is."""
    if pa.types.is_floating(column.type):
        whole = pc.and_(pc.equal(column, pc.floor(column)), pc.less(pc.abs(column), 2.0**53))
        return pc.cast(column, pa.int64()) if pc.all(whole).as_py() else column
    return column


def _as_strings(column: pa.ChunkedArray) -> np.ndarray:
    text = as_text(column)
    longest = max(pc.max(pc.utf8_length(text)).as_py() or 1, len("None") if text.null_count else 1)
    strings = np.empty(len(text), dtype=f"<U{longest}")
    for start in range(0, len(text), _BLOCK):
        # Python's own strings on the way are many times as large.
        strings[start : start + _BLOCK] = text.slice(start, _BLOCK).to_numpy()
    return strings


def _kind_and_values(column: pa.ChunkedArray) -> tuple[str, bytes]:
    """The values alone: what lies under a null, in a slice's neighbours or in padding must not reach the digest."""
    known = np.packbits(pc.is_valid(column).to_numpy()).tobytes()
    values = _without_fractions(pc.drop_null(column))
    if pa.types.is_integer(values.type) or pa.types.is_boolean(values.type):
        return "whole", known + values.to_numpy().astype(np.int64).tobytes()
    if pa.types.is_floating(values.type):
        numbers = values.to_numpy() + 0.0  # -0.0 and 0.0 are one value
        with np.errstate(over="ignore"):
            narrow = numbers.astype(np.float32)
        if np.array_equal(narrow, numbers):
            return "single", known + narrow.tobytes()
        return "number", known + numbers.astype(np.float64).tobytes()
    kind = str(values.type) if pa.types.is_temporal(values.type) else "text"
    text = pa.concat_arrays(pc.cast(values, pa.large_string()).chunks or [pa.array([], pa.large_string())])
    if not len(text):
        return kind, known
    _, offsets, characters = text.buffers()
    ends = np.frombuffer(offsets, dtype=np.int64)[text.offset : text.offset + len(text) + 1]
    used = characters.slice(ends[0], ends[-1] - ends[0]).to_pybytes() if ends[-1] > ends[0] else b""
    return kind, known + (ends - ends[0]).tobytes() + used
