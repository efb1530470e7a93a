"""Dealing a table: from a plan to who holds which rows and which columns.

The deal only names rows and columns; nothing is copied before an owner's store is written. Persons, not rows, are dealt
wherever chance decides, so that all years of a person lie with one owner; the keys (person, time) are held by everyone,
since they are what sides join on.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.data.finding import listed
from components.data.schema import Schema
from components.data.table import Table, as_text
from components.errors import InvalidInput
from components.partition.plan import (
    ByColumn,
    Crowd,
    Even,
    LabelSkew,
    Mixed,
    PartitionPlan,
    QuantitySkew,
    Single,
    Vertical,
)

Layout = Literal["single", "horizontal", "vertical", "mixed"]

_DRAWS = 1000


@dataclass(frozen=True)
class Holding:
    """What one owner has: `rows` (increasing indices into the table) and `columns` (keys first)."""

    rows: np.ndarray
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Partition:
    """Owner → holding, and how the table is cut."""

    layout: Layout
    holdings: Mapping[str, Holding]

    @property
    def owners(self) -> tuple[str, ...]:
        return tuple(self.holdings)


def deal(table: Table, plan: PartitionPlan, seed: int) -> Partition:
    """Deal `table` by `plan`; the same table, plan and seed give the same deal.

    Raises
    ------
    InvalidInput
        A column of the plan does not exist, is held twice or by nobody; an owner would get no rows.
    """
    rng = np.random.default_rng(seed)
    everything = tuple(table.columns.column_names)
    match plan:
        case Single(owner=owner):
            return Partition("single", {owner: Holding(np.arange(len(table)), everything)})
        case Crowd():
            # Stores of so many owners would be no use: the training deals to those it asks.
            return Partition("horizontal", {"crowd": Holding(np.arange(len(table)), everything)})
        case ByColumn(column=column):
            return _horizontal(_rows_by_column(table, column), everything)
        case Even(owners=owners):
            return _horizontal(_rows_of_persons(table, _even(table, owners, rng)), everything)
        case LabelSkew():
            return _horizontal(_rows_of_persons(table, _skewed(table, _person_class(table), plan, rng)), everything)
        case QuantitySkew():
            alike = np.zeros(len(_persons(table)[0]), dtype=np.int64)
            return _horizontal(_rows_of_persons(table, _skewed(table, alike, plan, rng)), everything)
        case Vertical():
            return _vertical(table, plan, rng)
        case Mixed():
            return _mixed(table, plan)


def held(table: Table, holding: Holding) -> Table:
    """The part of `table` an owner holds, in key order, which spares every later join the sorting.

    Its schema is the whole one; only the columns of the holding are there.
    """
    keys = table.columns.select(list(table.schema.keys)).take(pa.array(holding.rows))
    order = pc.sort_indices(keys, [(key, "ascending") for key in table.schema.keys]).to_numpy()
    return Table(table.schema, table.columns.select(list(holding.columns))).take(holding.rows[order])


def _horizontal(rows: Mapping[str, np.ndarray], columns: tuple[str, ...]) -> Partition:
    return Partition("horizontal", {owner: Holding(indices, columns) for owner, indices in rows.items()})


def _vertical(table: Table, plan: Vertical, rng: np.random.Generator) -> Partition:
    sides = _sides(table.schema, plan.columns)
    persons, person_of_row = _persons(table)
    kept = max(1, round(plan.overlap * len(persons)))
    holdings = {}
    for owner, columns in sides.items():
        on_record = np.zeros(len(persons), dtype=bool)
        on_record[rng.permutation(len(persons))[:kept]] = True
        holdings[owner] = Holding(np.flatnonzero(on_record[person_of_row]), columns)
    return Partition("vertical", holdings)


def _mixed(table: Table, plan: Mixed) -> Partition:
    sides = _sides(table.schema, plan.columns)
    split = {
        f"{plan.split}_{owner}": Holding(rows, sides[plan.split])
        for owner, rows in _rows_by_column(table, plan.by, prefix=False).items()
    }
    rest = {owner: Holding(np.arange(len(table)), columns) for owner, columns in sides.items() if owner != plan.split}
    if clash := set(split) & set(rest):
        raise InvalidInput(f"owner '{clash.pop()}' would be both a side and a part of side '{plan.split}'; rename it")
    return Partition("mixed", {**split, **rest})


def _sides(schema: Schema, columns: Mapping[str, list[str]]) -> dict[str, tuple[str, ...]]:
    """Keys and own columns of each side, after seeing that every column lies with exactly one."""
    holder: dict[str, str] = {}
    needed = [name for name in schema.columns if name not in schema.keys]
    for owner, names in columns.items():
        for name in names:
            if name in schema.keys:
                continue
            if name not in needed:
                raise InvalidInput(f"column '{name}' of owner '{owner}' is not in schema {schema.name}; remove it")
            if name in holder:
                raise InvalidInput(f"column '{name}' is held by '{holder[name]}' and '{owner}'; give it to one of them")
            holder[name] = owner
    for name in needed:
        if name not in holder:
            what = "label" if name == schema.label.column else "column"
            raise InvalidInput(f"{what} '{name}' is held by no owner; add it to one of {', '.join(columns)}")
    return {owner: (*schema.keys, *(n for n in needed if holder[n] == owner)) for owner in columns}


def _rows_by_column(table: Table, column: str, *, prefix: bool = True) -> dict[str, np.ndarray]:
    """Rows of each value, owners named after column and value (`site_1`), sorted."""
    if column not in table.columns.column_names:
        raise InvalidInput(
            f"column '{column}' of the partition is not in the table; it has {listed(table.columns.column_names)}"
        )
    if column == table.schema.person:
        raise InvalidInput(f"column '{column}' names persons, who are dealt and are no owners; deal by another column")
    text = as_text(table.columns[column])
    if text.null_count:
        raise InvalidInput(
            f"column '{column}' is missing in {text.null_count} rows, which no owner would hold; fill it"
        )
    encoded = text.combine_chunks().dictionary_encode()
    values, codes = encoded.dictionary.to_pylist(), encoded.indices.to_numpy()
    if len(values) > 1000:
        raise InvalidInput(f"column '{column}' has {len(values)} values and would make as many owners; choose another")
    names: dict[str, str] = {}
    for value in values:
        name = re.sub(r"[^a-z0-9]+", "_", (f"{column}_{value}" if prefix else value).lower()).strip("_")
        if not name or name in names:
            clash = f" apart from '{names[name]}'" if name in names else ""
            raise InvalidInput(f"value '{value}' of column '{column}' cannot name an owner{clash}; rename it")
        names[name] = value
    return {name: np.flatnonzero(codes == values.index(names[name])) for name in sorted(names)}


def _persons(table: Table) -> tuple[np.ndarray, np.ndarray]:
    """Distinct persons, sorted, and the position of each row's person among them."""
    return np.unique(table.person, return_inverse=True)


def _rows_of_persons(table: Table, owner_of_person: np.ndarray) -> dict[str, np.ndarray]:
    owner_of_row = owner_of_person[_persons(table)[1]]
    owners = int(owner_of_person.max()) + 1
    width = len(str(owners))
    return {f"owner_{owner + 1:0{width}d}": np.flatnonzero(owner_of_row == owner) for owner in range(owners)}


def _even(table: Table, owners: int, rng: np.random.Generator) -> np.ndarray:
    persons = len(_persons(table)[0])
    if persons < owners:
        raise InvalidInput(f"{persons} persons cannot be dealt to {owners} owners; ask for fewer owners")
    return rng.permutation(np.arange(persons) % owners)


def _skewed(table: Table, strata: np.ndarray, plan: LabelSkew | QuantitySkew, rng: np.random.Generator) -> np.ndarray:
    """Owner of each person: within every stratum, owners' shares are one draw of Dirichlet(alpha)."""
    persons = len(strata)
    if persons < plan.owners * plan.least:
        raise InvalidInput(
            f"{persons} persons cannot be dealt to {plan.owners} owners with {plan.least} or more each; "
            "lower owners or least"
        )
    for _ in range(_DRAWS):
        owner = np.empty(persons, dtype=np.int64)
        for stratum in np.unique(strata):
            members = rng.permutation(np.flatnonzero(strata == stratum))
            shares = rng.dirichlet(np.full(plan.owners, plan.alpha))
            cuts = np.round(np.cumsum(shares)[:-1] * len(members)).astype(np.int64)
            owner[members] = np.searchsorted(cuts, np.arange(len(members)), side="right")
        if np.bincount(owner, minlength=plan.owners).min() >= plan.least:
            return owner
    raise InvalidInput(
        f"alpha {plan.alpha:g} left one of {plan.owners} owners with fewer than {plan.least} persons "
        f"in {_DRAWS} draws; raise alpha, or lower owners or least"
    )


def _person_class(table: Table) -> np.ndarray:
    """One class a person: the highest they ever had; for a numeric label, the quarter their highest value lies in."""
    persons, person_of_row = _persons(table)
    highest = np.full(len(persons), -np.inf)
    np.maximum.at(highest, person_of_row, table.labels)
    if table.schema.label.kind == "regression":
        return np.searchsorted(np.quantile(highest, (0.25, 0.5, 0.75)), highest)
    return highest.astype(np.int64)
