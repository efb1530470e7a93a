"""What an owner does alone with its own part before anything is shared: rows in the common order, bins, cut points.

Nothing here sends a message; what it learns goes into matrices that only this owner knows (`Holding`).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from components.boosting.secret_shared.agreement import Agreement, FeatureShape
from components.boosting.secret_shared.layout import Layout
from components.boosting.secret_shared.view import Holding
from components.data.independence import one_row_per_person
from components.data.prediction_file import pseudonym
from components.data.schema import Schema
from components.data.split import PARTS, split_of
from components.data.table import Table, encode
from components.mpc.quantile import bin_indices, local_cuts

Rows = Mapping[str, Sequence[np.ndarray]]
"""Part → row indices of this owner's table, one array for each group that the owner is in, in the common order."""


def parts_of(part: Table, orders: Sequence[np.ndarray], split: Mapping) -> dict[str, list[np.ndarray]]:
    """The rows of `PARTS` within each group's common order; held-out parts have one row a person."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in PARTS}
    for order in orders:
        ordered = part.take(order)
        codes = split_of(ordered.person, split["salt"], tuple(split["shares"]))
        for code, name in enumerate(PARTS):
            rows = np.flatnonzero(codes == code)
            if name != "train":
                rows = rows[one_row_per_person(ordered.take(rows))]
            found[name].append(order[rows])
    return found


def values_of(part: Table, position: int) -> np.ndarray:
    """A feature the owner holds, (rows,) float32, NaN where missing."""
    name = list(part.schema.features)[position]
    return encode(part.columns[name], part.schema.features[name])


def own_cuts(part: Table, layout: Layout, party: str, rows: np.ndarray, max_bin: int) -> dict[int, np.ndarray]:
    """Cut points of the numeric features that this owner alone holds, from its training rows."""
    divided = layout.divided(part.schema)
    return {
        position: local_cuts(values_of(part, position)[rows], max_bin)
        for position in layout.features(part.schema, party)
        if position not in divided and not _categories(part.schema, position)
    }


def feature_shapes(schema: Schema, cuts: Mapping[int, int], may_miss: Mapping[int, bool]) -> list[FeatureShape]:
    """The public shape of every feature, from the number of its cuts and whether it may be missing."""
    return [
        FeatureShape(
            name=name,
            kind="categorical" if feature.kind == "categorical" else "numeric",
            bins=_categories(schema, position) or cuts[position] + 1,
            may_miss=may_miss[position],
        )
        for position, (name, feature) in enumerate(schema.features.items())
    ]


def holding_of(
    agreement: Agreement,
    layout: Layout,
    party: str,
    part: Table,
    rows: Sequence[np.ndarray],
    cuts: Mapping[int, np.ndarray],
) -> Holding:
    """What the owner brings to `agreement`: bins and labels of `rows`, an array for each group the owner is in."""
    number = layout.parties.index(party)
    # Groups without rows have no blocks.
    rows = [indices for indices in rows if len(indices)]
    per_group = iter(rows)
    bins, labels = {}, {}
    for position, block in enumerate(agreement.blocks):
        if block.owner == number:
            bins[position] = _bins(agreement, part, block.features, next(per_group), cuts)
    per_group = iter(rows)
    for position, block in enumerate(agreement.labels):
        if block.owner == number:
            labels[position] = part.labels[next(per_group)].astype(np.float64)
    return Holding(bins=bins, labels=labels, cuts=cuts)


def pseudonyms(row_ids: np.ndarray, key: bytes) -> np.ndarray:
    """(2, n) float64 whole numbers below 2^48 that name rows to who does not know the key."""
    names = b"".join(pseudonym(name, key) for name in row_ids.tolist())
    octets = np.frombuffer(names, dtype=np.uint8).reshape(-1, 2, 6).astype(np.float64)
    return (octets @ (256.0 ** np.arange(6))).T


def _bins(agreement: Agreement, part: Table, features: Sequence[int], rows: np.ndarray, cuts) -> np.ndarray:
    columns = []
    for feature in features:
        values = values_of(part, feature)[rows]
        if agreement.features[feature].kind == "numeric":
            columns.append(bin_indices(values, cuts[feature], agreement.widest))
        else:
            columns.append(np.where(np.isnan(values), agreement.widest, np.nan_to_num(values)).astype(np.uint16))
    return np.column_stack(columns) if columns else np.empty((len(rows), 0), dtype=np.uint16)


def _categories(schema: Schema, position: int) -> int:
    feature = list(schema.features.values())[position]
    return len(feature.categories) if feature.kind == "categorical" else 0
