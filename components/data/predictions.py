"""Scores of one model on rows it never saw, next to what is needed to judge them row by row.

Stored as Parquet with every evaluation, so that a later run (or a reviewer) can compare two models on the same rows
without having either model.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from components.data.schema import BinaryLabel, Label, MulticlassLabel
from components.data.table import Groups, Table


@dataclass(frozen=True)
class Predictions:
    """Row-aligned: `row_ids` (n,) str, `labels` (n,), `groups`, and `scores`.

    `scores` are probabilities of the positive class (n,) for binary, (n, K) for multi-class, predicted values (n,) for
    regression. `rule` is the schema's label, which says when a score counts as right.
    """

    rule: Label
    row_ids: np.ndarray
    labels: np.ndarray
    groups: Groups
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.row_ids)

    @cached_property
    def decisions(self) -> np.ndarray:
        """(n,) what a user is told: class index, or the predicted value for regression."""
        match self.rule:
            case BinaryLabel(threshold=threshold):
                return (self.scores >= threshold).astype(np.int32)
            case MulticlassLabel():
                return self.scores.argmax(axis=1).astype(np.int32)
            case _:
                return self.scores

    @cached_property
    def right(self) -> np.ndarray:
        """(n,) bool: the decision equals the label, or is within the tolerance for regression."""
        if self.rule.kind == "regression":
            return np.abs(self.scores - self.labels) <= self.rule.tolerance
        return self.decisions == self.labels

    def take(self, rows: np.ndarray) -> "Predictions":
        """The rows at `rows` (indices or a mask)."""
        groups = {name: column.take(rows) for name, column in self.groups.items()}
        return Predictions(self.rule, self.row_ids[rows], self.labels[rows], groups, self.scores[rows])


def predictions_of(table: Table, scores: np.ndarray) -> Predictions:
    """Pair a table's rows with a model's scores on them."""
    return Predictions(table.schema.label, table.row_ids, table.labels, table.groups, scores)
