"""Summaries of owners, from the deal that made them: the counts that a picture of the partition shows."""

import numpy as np

from components.data.schema import BinaryLabel, MulticlassLabel
from components.data.table import Table
from components.partition import Partition
from components.reporting.partition import OwnerSummary


def owner_summaries(partition: Partition, table: Table) -> tuple[OwnerSummary, ...]:
    """One summary an owner, in the order of the deal; groups and label are counted where the owner's rows lie."""
    order = {name: position for position, name in enumerate(table.columns.column_names)}
    summaries = []
    for owner, holding in partition.holdings.items():
        values = [name for name in holding.columns if name not in table.schema.keys]
        labels = table.labels[holding.rows]
        groups = {name: column.take(holding.rows) for name, column in table.groups.items()}
        counts = {
            name: dict(
                zip(column.levels, np.bincount(column.codes, minlength=len(column.levels)).tolist(), strict=True)
            )
            for name, column in groups.items()
        }
        summaries.append(
            OwnerSummary(
                owner=owner,
                rows=len(holding.rows),
                persons=len(np.unique(table.person[holding.rows])),
                columns=len(values),
                groups=counts,
                first_row=int(holding.rows[0]) if len(holding.rows) else 0,
                first_column=min((order[name] for name in values), default=0),
                holds_label=table.schema.label.column in holding.columns,
                **_label(table, labels),
            )
        )
    return tuple(summaries)


def _label(table: Table, labels: np.ndarray) -> dict:
    match table.schema.label:
        case BinaryLabel():
            return {"positives": int(labels.sum())}
        case MulticlassLabel():
            return {}
        case _:
            return {"label_mean": float(labels.mean()), "label_deviation": float(labels.std())}
