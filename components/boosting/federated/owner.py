"""An owner's side of federated boosting: what it answers openly, and the vectors that leave it under masks alone.

Openly it says how many rows it has and, for regression, the rounded range of its labels. Everything else (counts for
cut points, label sums, histograms, losses) is a sum that only becomes readable together with those of the others.
"""

from collections.abc import Callable, Mapping

import numpy as np

from components.boosting.federated.agreement import Agreement, read_level, read_start
from components.boosting.histogram import Level, Rows, TreeStart, bin_table
from components.boosting.label_range import label_range
from components.data.split import PARTS, split_of
from components.data.table import Table, encode
from components.errors import InvalidInput
from components.federated import Content
from components.federated.quantiles import Grid, counts_in, sorted_keys


class RowsOfOwner:
    """The training rows of one owner, and its selection rows, by which training may be measured or stopped.

    `seed` is of this owner's draws of rows, and should differ from the others'.
    """

    def __init__(self, agreement: Agreement, part: Table, *, seed: int = 0, threads: int = 1):
        codes = split_of(part.person, agreement.salt, agreement.shares)
        self.agreement, self.seed, self.threads = agreement, seed, threads
        self._train, self._held_out = (
            part.take(np.flatnonzero(codes == PARTS.index(name))) for name in ("train", "selection")
        )
        self._keys: list[np.ndarray] | None = None
        self._rows: Rows | None = None
        self._trees = self._nodes = 0

    @property
    def answers(self) -> Mapping[str, Callable[[Content], Content]]:
        """What is answered openly."""
        return {
            "describe": self._describe,
            "prepare": self._prepare,
            "catch_up": self._catch_up,
            "finish": self._finish,
        }

    @property
    def sums(self) -> Mapping[str, Callable[[Content], np.ndarray]]:
        """What is only ever given to a masked sum."""
        return {
            "count": self._count,
            "labels": lambda content: _word(self._prepared.label_sums()),
            "begin": self._begin,
            "descend": self._descend,
            "loss": lambda content: _word(np.append(self._prepared.loss(), len(self._held_out))),
        }

    def _describe(self, content: Content) -> Content:
        said = {"rows": len(self._train), "held_out": len(self._held_out)}
        if self._train.schema.label.kind == "regression":
            labels = np.concatenate([self._train.labels, self._held_out.labels])
            said["label_range"] = list(label_range(labels)) if len(labels) else None
        return Content(said)

    def _count(self, content: Content) -> np.ndarray:
        """Counts in the cells of every grid, one after the other."""
        names, ends = content.document["features"], np.cumsum(content.document["sizes"])
        if names != self.agreement.searched() or content.array is None or len(content.array) != ends[-1]:
            raise InvalidInput("the aggregator asked for counts of features whose edges are public, or of none")
        if self._keys is None:
            features = self._train.schema.features
            self._keys = [sorted_keys(encode(self._train.columns[name], features[name])) for name in names]
        grids = np.split(content.array, ends[:-1])
        return _word(
            np.concatenate([counts_in(Grid(grid), keys) for grid, keys in zip(grids, self._keys, strict=True)])
        )

    def _prepare(self, content: Content) -> Content:
        """Turn rows into bins; from here on the values themselves are not looked at again."""
        terms = self.agreement.terms(content.document)
        self._rows = Rows(
            terms,
            bin_table(self._train, terms.cuts),
            self._train.labels,
            validation=(bin_table(self._held_out, terms.cuts), self._held_out.labels),
            seed=self.seed,
            threads=self.threads,
        )
        self._keys = None
        return Content()

    def _catch_up(self, content: Content) -> Content:
        """Apply trees there are, from `first` on; each is the levels that made it. The first is after base margins."""
        if content.document["first"] == 0:
            self._prepared.start(np.asarray(content.document["margins"], dtype=np.float32))
            self._trees = 0
        if content.document["first"] != self._trees:
            raise InvalidInput("the aggregator told of trees out of order; install one version everywhere")
        for tree in content.document["trees"]:
            level = read_level(tree, 1)
            self._prepared.replay(self._trees, level.splits, level.leaves)
            self._trees += 1
        return Content()

    def _begin(self, content: Content) -> np.ndarray:
        start = read_start(content.document, self._prepared.terms)
        self._require(start)
        self._nodes = 1
        return _word(self._prepared.begin(start))

    def _descend(self, content: Content) -> np.ndarray:
        return _word(self._prepared.descend(self._level(content)))

    def _finish(self, content: Content) -> Content:
        self._prepared.finish(self._level(content))
        self._trees += 1
        return Content()

    def _level(self, content: Content) -> Level:
        level = read_level(content.document, self._nodes)
        self._nodes += 2 * len(level.splits)
        return level

    def _require(self, start: TreeStart) -> None:
        if start.number != self._trees:
            raise InvalidInput(f"tree {start.number} is to begin where this owner knows {self._trees}; start it again")

    @property
    def _prepared(self) -> Rows:
        if self._rows is None:
            raise InvalidInput(
                "the aggregator asked for sums before the terms were set; install one version everywhere"
            )
        return self._rows


def _word(numbers: np.ndarray) -> np.ndarray:
    """int64 of any shape → a row of words of the ring."""
    return np.ascontiguousarray(numbers, dtype=np.int64).reshape(-1).view(np.uint64)
