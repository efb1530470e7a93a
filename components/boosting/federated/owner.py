"""An owner's side of federated boosting: what it answers openly, and the vectors that leave it under masks alone.

Openly it says how many rows it has and, for regression, the rounded range of its labels. Everything else (counts for
cut points, label sums, histograms, losses) is a sum that only becomes readable together with those of the others, with
noise where that is agreed. Work goes forward only: each search, and each round, is asked for in one batch, of which all
sums have the same owners (`federated.member`), and never again in the same run. What this owner refuses, it refuses in
words that are the same whatever its rows are. The model it ends with it makes itself, of the trees it took part in.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from components.boosting.federated.agreement import Agreement, read_level, read_start, state_after, state_of
from components.boosting.federated.model import digest_of, text_of_trees
from components.boosting.federated.noise import first_rows
from components.boosting.histogram import Level, Rows, Split, Tree, base_margins, bin_table
from components.boosting.label_range import label_range
from components.data.split import PARTS, split_of
from components.data.table import Table, encode
from components.errors import InvalidInput
from components.federated import Content
from components.federated.noise import add_noise
from components.federated.quantiles import CELLS, MOST_ROUNDS, Grid, counts_in, first_grid, sorted_keys

CUTS, LABELS = -2, -1
"""Units of work before round 0."""


class RowsOfOwner:
    """The training rows of one owner, and its selection rows, by which training may be measured or stopped.

    `seed` is of this owner's draws of rows, and should differ from the others'; `begins` is called with each unit of
    work before anything of it is summed. `model` is the text of the trained model, when there is one.
    """

    def __init__(
        self,
        agreement: Agreement,
        part: Table,
        *,
        seed: int = 0,
        threads: int = 1,
        begins: Callable[[int], None] = lambda unit: None,
    ):
        person = part.person
        codes = split_of(person, agreement.salt, agreement.shares)
        if agreement.noise:
            codes[np.delete(np.arange(len(part)), first_rows(person, agreement.noise.rows))] = -1
        self.agreement, self.seed, self.threads, self._begins = agreement, seed, threads, begins
        self._part: Table | None = part
        self._train, self._held_out = (np.flatnonzero(codes == PARTS.index(name)) for name in ("train", "selection"))
        self._said = {"rows": len(self._train), "held_out": len(self._held_out)}
        if part.schema.label.kind == "regression":
            labels = part.labels[np.concatenate([self._train, self._held_out])]
            self._said["label_range"] = list(label_range(labels)) if len(labels) else None
        self._keys: list[np.ndarray] | None = None
        self._rows: Rows | None = None
        self._terms: Mapping | None = None
        self._nodes = self._measured = 0
        self._state, self._splits, self._margins = "", [], np.empty(0, dtype=np.float32)
        self._grown: list[Tree] = []
        self.model: str | None = None
        self._unit, self._batch, self._asked = CUTS - 1, -1, 0

    @property
    def answers(self) -> Mapping[str, Callable[[Content], Content]]:
        """What is answered openly."""
        return {
            "describe": self._describe,
            "prepare": self._prepare,
            "catch_up": self._catch_up,
            "finish": self._finish,
            "learn": self._learn,
        }

    @property
    def sums(self) -> Mapping[str, Callable[[Content], np.ndarray]]:
        """What is only ever given to a masked sum."""
        return {
            "count": self._with_noise("count", self._count),
            "labels": self._with_noise("labels", self._labels),
            "begin": self._with_noise("tree", self._begin),
            "descend": self._with_noise("tree", self._descend),
            "loss": self._with_noise("loss", self._loss),
        }

    def _with_noise(self, kind: str, vector_of: Callable[[Content], np.ndarray]) -> Callable[[Content], np.ndarray]:
        plan = self.agreement.noise_plan
        if plan is None:
            return vector_of
        return lambda content: add_noise(vector_of(content), plan.deviation(kind))

    def _work_on(self, unit: int, content: Content, most: int) -> None:
        """Go on with a unit of work in its batch, for at most so many sums, or to a later one in a later batch."""
        if unit == self._unit and content.batch == self._batch:
            self._asked += 1
        elif unit > self._unit and content.batch != self._batch:
            self._begins(unit)
            self._unit, self._batch, self._asked = unit, content.batch, 1
        else:
            raise InvalidInput("the aggregator asked for something again, or for two things at a time; do not trust it")
        if self._asked > most:
            raise InvalidInput("the aggregator asked for more sums than there can be; do not trust it")

    def _describe(self, content: Content) -> Content:
        return Content(self._said)

    def _count(self, content: Content) -> np.ndarray:
        """Counts in the cells of every grid, one after the other."""
        names, ends = content.document["features"], np.cumsum(content.document["sizes"])
        if names != self.agreement.searched() or content.array is None or len(content.array) != ends[-1]:
            raise InvalidInput("the aggregator asked for counts of features whose edges are public, or of none")
        self._work_on(CUTS, content, MOST_ROUNDS)
        grids = np.split(content.array, ends[:-1])
        begins = self._asked > 1 or all(np.array_equal(grid, first_grid().boundaries) for grid in grids)
        if not begins or max(map(len, grids)) > CELLS * self._asked + 1:
            raise InvalidInput("the aggregator asked for counts in cells that no search comes to; do not trust it")
        if self._keys is None:
            features, columns = self._part.schema.features, self._part.columns
            self._keys = [sorted_keys(encode(columns[name], features[name])[self._train]) for name in names]
        return _word(
            np.concatenate([counts_in(Grid(grid), keys) for grid, keys in zip(grids, self._keys, strict=True)])
        )

    def _prepare(self, content: Content) -> Content:
        """Turn rows into bins, unless they are; from here on the values themselves are not looked at again."""
        if self._terms is not None:
            if content.document != self._terms:
                raise InvalidInput("the aggregator changed the terms of the training; do not trust it")
            return Content({"trees": self._trees})
        terms = self.agreement.terms(content.document)
        low, high = self._said.get("label_range") or terms.label_range
        if not terms.label_range[0] <= low <= high <= terms.label_range[1]:
            raise InvalidInput("the aggregator set a label range that leaves out what this owner said of its labels")
        used, count = np.concatenate([self._train, self._held_out]), len(self._train)
        bins, labels = bin_table(self._part, terms.cuts, used), self._part.labels[used]
        self._rows = Rows(
            terms,
            bins[:count],
            labels[:count],
            validation=(bins[count:], labels[count:]),
            seed=self.seed,
            threads=self.threads,
        )
        self._terms = dict(content.document)
        self._state = state_of(self._terms)
        # What bins were made of is not needed again, and would be most of what this owner holds.
        self._part = self._keys = None
        self._train = self._held_out = np.empty(0, dtype=np.int64)
        pa.default_memory_pool().release_unused()
        return Content({"trees": 0})

    def _catch_up(self, content: Content) -> Content:
        """Apply trees there are, from `first` on; each is the levels that made it. The first is after base margins."""
        if self._trees == 0:
            self._margins = np.asarray(content.document["margins"], dtype=np.float32)
            self._prepared.start(self._margins)
            self._state = state_of(self._terms, content.document["margins"])
        if content.document["first"] != self._trees:
            raise InvalidInput("the aggregator told of trees out of order; install one version everywhere")
        for tree in content.document["trees"]:
            level = read_level(tree, 1)
            self._prepared.replay(self._trees, level.splits, level.leaves)
            self._know(level.splits, level.leaves)
        return Content()

    def _labels(self, content: Content) -> np.ndarray:
        rows = self._prepared
        self._require_state(content)
        self._work_on(LABELS, content, 1)
        return _word(rows.label_sums())

    def _begin(self, content: Content) -> np.ndarray:
        start = read_start(content.document, self._prepared.terms)
        known = start.number < self.agreement.parameters.rounds * self._prepared.terms.outputs
        if start.number != self._trees or self._nodes or not known:
            raise InvalidInput(f"tree {start.number} is to begin where this owner knows {self._trees}; start it again")
        self._require_state(content)
        self._work_on_round(content)
        self._nodes, self._splits = 1, []
        return _word(self._prepared.begin(start))

    def _descend(self, content: Content) -> np.ndarray:
        self._work_on_round(content)
        return _word(self._prepared.descend(self._level(content)))

    def _finish(self, content: Content) -> Content:
        level = self._level(content)
        self._prepared.finish(level)
        self._know(self._splits, level.leaves)
        return Content()

    def _know(self, splits: Sequence[Split], leaves: Mapping[int, float]) -> None:
        """Keep a tree that is finished, and note where the training stands."""
        self._state = state_after(self._state, splits, leaves)
        self._grown.append(Tree.of(splits, leaves))
        self._nodes = 0

    @property
    def _trees(self) -> int:
        return len(self._grown)

    def _learn(self, content: Content) -> Content:
        """Make the model, given how many of the trees are kept and the base scores, and see that it is everybody's."""
        kept, scores = content.document["trees"], np.asarray(content.document["scores"], dtype=np.float32)
        terms = self._prepared.terms
        # Only training that stops early leaves trees away, and then whole rounds.
        stops, most = terms.parameters.early_stopping_rounds, terms.parameters.rounds * terms.outputs
        possible = range(terms.outputs, self._trees + 1, terms.outputs) if stops else {self._trees} & {most}
        if not np.array_equal(base_margins(terms, scores), self._margins) or kept not in possible:
            raise InvalidInput(
                "the aggregator's model begins elsewhere, or has other trees, than here; do not trust it"
            )
        text = text_of_trees(self.agreement, terms, scores.tolist(), self._grown[:kept])
        if digest_of(text) != content.document["digest"]:
            raise InvalidInput("the aggregator's model is not that of the trees trained here; do not trust it")
        self.model = text
        return Content()

    def _require_state(self, content: Content) -> None:
        if content.document.get("state") != self._state:
            raise InvalidInput("the aggregator told others of other cut points or trees; do not trust it")

    def _loss(self, content: Content) -> np.ndarray:
        if self._nodes or self._trees % self._prepared.terms.outputs or self._measured == self._trees:
            raise InvalidInput("the aggregator asked for a loss twice, or in the middle of a round; do not trust it")
        self._require_state(content)
        self._measured = self._trees
        self._work_on(self._trees // self._prepared.terms.outputs - 1, content, self._most)
        return _word(self._prepared.loss())

    def _work_on_round(self, content: Content) -> None:
        self._work_on(self._trees // self._prepared.terms.outputs, content, self._most - 1)

    @property
    def _most(self) -> int:
        """Sums in a round."""
        return self._prepared.terms.outputs * self.agreement.parameters.max_depth + 1

    def _level(self, content: Content) -> Level:
        if not self._nodes:
            raise InvalidInput("the aggregator went on with a tree that was not begun; install one version everywhere")
        level = read_level(content.document, self._nodes)
        self._nodes += 2 * len(level.splits)
        self._splits += level.splits
        return level

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
