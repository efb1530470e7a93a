"""The owners' parts put back together, which pooled training (the baseline) and the tests need.

Owners with the same columns are one side: their rows are appended. Sides are joined on the keys, and rows a side lacks
are counted, not passed over in silence. Rows come out sorted by key and columns in the schema's order, so that the same
records give the same table, digest included, however they were split.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from components.data.schema import Schema
from components.data.table import Table
from components.errors import InvalidInput
from components.partition.store import HoldingRecord, read_holding


@dataclass(frozen=True)
class JoinCount:
    """Rows in the joined table, rows known to any side, and how many of those each side (its owners by '+') lacks."""

    joined: int
    known: int
    lacking: Mapping[str, int]


def join_holdings(
    records: Iterable[HoldingRecord], schema: Schema, *, missing: Literal["drop", "keep"] = "drop"
) -> tuple[Table, JoinCount]:
    """Join the parts; `missing` says whether rows that a side lacks are dropped or kept with gaps.

    Rows whose label is unknown are dropped either way.

    Raises
    ------
    InvalidInput
        A store is missing or damaged, a row is held twice by one side, or a column is held by two sides or none.
    """
    sides = _sides(records, schema)
    keys = list(schema.keys)
    _each_column_once(sides, schema)
    if len(sides) == 1:
        [(name, joined)] = sides.items()
        known, lacking = joined, {name: 0}
    else:
        known = pa.concat_tables([side.select(keys) for side in sides.values()]).group_by(keys).aggregate([])
        lacking = {name: known.num_rows - side.num_rows for name, side in sides.items()}
        joined = known
        for side in sides.values():
            joined = joined.join(side, keys=keys, join_type="inner" if missing == "drop" else "left outer")
    if joined[schema.label.column].null_count:
        joined = joined.filter(pc.is_valid(joined[schema.label.column]))
    if not in_key_order(joined, keys):
        joined = joined.sort_by([(key, "ascending") for key in keys])
    joined = joined.select(list(schema.columns)).combine_chunks()
    if joined.num_rows == 0:
        raise InvalidInput(f"no row of {schema.name} is held by every one of {', '.join(sides)}; check the keys")
    return Table(schema, joined), JoinCount(joined.num_rows, known.num_rows, lacking)


def in_key_order(columns: pa.Table, keys: Sequence[str]) -> bool:
    """Whether every row's key is above that of the row before, so that rows are sorted and none is there twice."""
    before, after = columns.slice(0, max(columns.num_rows - 1, 0)), columns.slice(1)
    above = pa.scalar(False)
    for key in reversed(keys):
        above = pc.or_(pc.less(before[key], after[key]), pc.and_(pc.equal(before[key], after[key]), above))
    return pc.all(above, skip_nulls=False, min_count=0).as_py() is True


def _sides(records: Iterable[HoldingRecord], schema: Schema) -> dict[str, pa.Table]:
    """Rows of all owners with the same columns, one below the other."""
    by_columns: dict[frozenset[str], list[HoldingRecord]] = {}
    for record in records:
        by_columns.setdefault(frozenset(record.columns), []).append(record)
    sides = {}
    for owners in by_columns.values():
        name = "+".join(record.owner for record in owners)
        parts = [read_holding(record, schema).columns for record in owners]
        sides[name] = pa.concat_tables([part.select(parts[0].column_names) for part in parts])
        if in_key_order(sides[name], schema.keys):
            continue
        distinct = sides[name].group_by(list(schema.keys)).aggregate([]).num_rows
        if distinct < sides[name].num_rows:
            raise InvalidInput(
                f"{sides[name].num_rows - distinct} rows of {schema.name} are held twice among {name}; "
                f"a {' and '.join(schema.keys)} identifies one row"
            )
    return sides


def _each_column_once(sides: Mapping[str, pa.Table], schema: Schema) -> None:
    for column in schema.columns:
        if column in schema.keys:
            continue
        holders = [name for name, side in sides.items() if column in side.column_names]
        if not holders:
            raise InvalidInput(f"column '{column}' of {schema.name} is held by no owner; ask who has it to join")
        if len(holders) > 1:
            raise InvalidInput(f"column '{column}' is held by {' and '.join(holders)}; one of them must leave it out")
