"""How unlike one another the owners of a partition are, for a plot or a table to show."""

import numpy as np

from components.data.table import Table
from components.partition.deal import Partition


def skew(partition: Partition, table: Table) -> dict[str, dict]:
    """Owner → `rows`, `persons`, `columns`, `label_rate` and `groups` (group → level → share of the owner's rows).

    `label_rate` is the share of positives (binary), the share of each class (multi-class) or the mean (regression) over
    the rows the owner holds, whether or not the label lies with that owner: it describes the deal, not what owners see.
    """
    return {
        owner: _of_rows(table, holding.rows) | {"columns": len(holding.columns)}
        for owner, holding in partition.holdings.items()
    }


def _of_rows(table: Table, rows: np.ndarray) -> dict:
    labels = table.labels[rows]
    if table.schema.label.kind == "multiclass":
        shares = np.bincount(labels, minlength=len(table.schema.classes)) / len(rows)
        rate = dict(zip(table.schema.classes, shares.tolist(), strict=True))
    else:
        rate = float(labels.mean())
    groups = {}
    for name, group in table.groups.items():
        shares = np.bincount(group.codes[rows], minlength=len(group.levels)) / len(rows)
        groups[name] = dict(zip(group.levels, shares.tolist(), strict=True))
    persons = len(np.unique(table.person[rows]))
    return {"rows": len(rows), "persons": persons, "label_rate": rate, "groups": groups}
