"""Rows that one thread works on: their part in growing a tree.

The rows of a node lie side by side in one list of indices, which every split divides in place. Rows that were not drawn
for a tree, and validation rows, find their leaf at the end, by the same splits.
Source: Chen and Guestrin, KDD 2016, section 4.1 (blocks of rows); XGBoost 3.2, `row_set.h`.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from components.boosting.histogram import objective
from components.boosting.histogram.split import Level, Split, TreeStart
from components.boosting.histogram.sums import add_rows
from components.boosting.histogram.terms import Terms
from components.boosting.histogram.walk import LEFT, NEITHER, RIGHT, add_divided, add_leaves, add_value, divide


class Part:
    """Rows with their margins and, while a tree grows, their gradients and places in it.

    `order` holds row indices: those of each open node of the tree side by side, then those that were not drawn.
    """

    def __init__(self, terms: Terms, bins: np.ndarray, labels: np.ndarray):
        self.terms, self.bins = terms, bins
        self.starts = terms.cuts.starts(range(len(terms.cuts))).astype(np.uint64)
        self.labels = labels.astype(np.float32)
        self.margins = np.zeros((len(labels), terms.outputs), dtype=np.float32)
        self.order = np.arange(len(labels), dtype=np.uint32)
        # Made when the first tree begins; validation rows need none.
        self.pairs, self.spare = np.empty((0, 2), dtype=np.int64), np.empty(0, dtype=np.uint32)
        self.probabilities = np.empty((0, 0), dtype=np.float32)
        self.output, self.drawn = 0, 0
        self.nodes: dict[int, slice] = {}
        self.splits: list[Split] = []

    def reset(self, tree: TreeStart) -> None:
        """Forget the tree before; all that a tree needs of rows which are not trained on."""
        self.output = tree.number % self.terms.outputs
        self.nodes, self.splits = {}, []

    def begin(self, tree: TreeStart, drawn: np.ndarray | None) -> int:
        """Compute the gradients of all rows and put those `drawn` (n,) into the root; how many are out of bounds."""
        self.reset(tree)
        count = len(self.labels)
        if len(self.spare) < count:
            self.pairs, self.spare = np.empty((count, 2), dtype=np.int64), np.empty(count, dtype=np.uint32)
        if drawn is None:
            self.drawn, self.order[:] = count, np.arange(count, dtype=np.uint32)
        else:
            self.drawn = int(np.count_nonzero(drawn))
            self.order[: self.drawn], self.order[self.drawn :] = np.flatnonzero(drawn), np.flatnonzero(~drawn)
        self.nodes = {0: slice(0, self.drawn)}
        match self.terms.objective:
            case "binary:logistic":
                return objective.logistic_gradients(self.margins, self.labels, self.terms.scales, self.pairs)
            case "multi:softprob":
                if self.output == 0:
                    if len(self.probabilities) < count:
                        self.probabilities = np.empty_like(self.margins)
                    objective.softmax_probabilities(self.margins, self.probabilities)
                return objective.class_gradients(
                    self.probabilities, self.labels, self.output, self.terms.scales, self.pairs
                )
            case _:
                bound = self.terms.gradient_bound
                return objective.squared_gradients(self.margins, self.labels, self.terms.scales, bound, self.pairs)

    def descend(self, level: Level) -> np.ndarray:
        """(wanted, all slots, 2) int64 sums, after the rows of the nodes that are split were divided."""
        sums = np.zeros((len(level.wanted), self.starts[-1], 2), dtype=np.int64)
        place = {node: number for number, node in enumerate(level.wanted)}
        for split in level.splits:
            where = self.nodes.pop(split.node)
            side = LEFT if split.left in place else RIGHT if split.right in place else NEITHER
            into = sums[place[(split.left, split.right)[side]]] if side != NEITHER else np.zeros((0, 2), dtype=np.int64)
            table = split.goes_left(self.terms.cuts.bins[split.feature])
            rows = self.order[where]
            middle = where.start + divide(
                self.bins, self.pairs, split.feature, table, rows, self.spare, side, self.starts, into
            )
            self.nodes[split.left], self.nodes[split.right] = slice(where.start, middle), slice(middle, where.stop)
        if 0 in place:
            add_rows(self.bins, self.pairs, self.order[self.nodes[0]], self.starts, sums[0])
        self.splits += level.splits
        return sums

    def finish(self, last: Sequence[Split], leaves: Mapping[int, float]) -> None:
        """Add leaf values to margins after the `last` splits: a row's leaf follows from its place, or is looked for.

        Looked for is that of rows that were not drawn.
        """
        self.splits += last
        for split in last if self.nodes else ():
            where, table = self.nodes.pop(split.node), split.goes_left(self.terms.cuts.bins[split.feature])
            values = np.float32(leaves[split.left]), np.float32(leaves[split.right])
            add_divided(self.bins, split.feature, table, self.order[where], *values, self.output, self.margins)
        for node, where in self.nodes.items():
            add_value(self.order[where], np.float32(leaves[node]), self.output, self.margins)
        if self.drawn == len(self.labels):
            return
        count = 1 + 2 * len(self.splits)
        goes_left = np.zeros((count, self.terms.cuts.widest + 1), dtype=np.uint8)
        feature, left, right = np.zeros(count, dtype=np.int64), np.full(count, -1), np.full(count, -1)
        values = np.zeros(count, dtype=np.float32)
        values[list(leaves)] = list(leaves.values())
        for split in self.splits:
            feature[split.node], left[split.node], right[split.node] = split.feature, split.left, split.right
            table = split.goes_left(self.terms.cuts.bins[split.feature])
            goes_left[split.node, : len(table)] = table
        rest = self.order[self.drawn :]
        add_leaves(self.bins, rest, feature, goes_left, left, right, values, self.output, self.margins)

    def loss(self) -> tuple[int, int]:
        """The rows' loss in steps of the terms' loss scale, and how many are out of bounds."""
        match self.terms.objective:
            case "binary:logistic":
                return objective.logistic_loss(self.margins, self.labels, self.terms.loss_scale), 0
            case "multi:softprob":
                return objective.softmax_loss(self.margins, self.labels, self.terms.loss_scale), 0
            case _:
                bound = self.terms.gradient_bound
                return objective.squared_loss(self.margins, self.labels, self.terms.loss_scale, bound)
