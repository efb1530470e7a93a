"""An owner's rows: what one owner computes for every step of a tree, and all it ever tells about its rows.

All that leaves this object are int64 arrays, made to be added to those of the other owners before anybody looks at
them: `label_sums`, the histograms of `begin` and `descend`, and `loss`. Rows are cut into as many parts as there are
threads; a part is to its owner what an owner is to the planner.
Source: Chen and Guestrin, KDD 2016, algorithms 1 and 3.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from components.boosting.histogram import objective
from components.boosting.histogram.part import Part
from components.boosting.histogram.split import Level, Split, TreeStart
from components.boosting.histogram.terms import Terms
from components.errors import InvalidInput


class Rows:
    """Rows as bins (n, F) with labels (n,), and validation rows of the same form, which are never trained on.

    `seed` is of this owner's own draws of rows; owners do well to have each its own.

    Raises
    ------
    InvalidInput
        More rows than the terms declare, or labels that are not as they say.
    """

    def __init__(
        self,
        terms: Terms,
        bins: np.ndarray,
        labels: np.ndarray,
        *,
        validation: tuple[np.ndarray, np.ndarray] | None = None,
        seed: int = 0,
        threads: int = 1,
    ):
        held_out = validation or (bins[:0], labels[:0])
        for one in (labels, held_out[1]):
            _require_labels(terms, one)
        terms.require_rows(len(labels) + len(held_out[1]))
        self.terms, self.seed, self.rows = terms, seed, len(labels)
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self._train = _parts(terms, bins, labels, threads)
        self._held_out = _parts(terms, *held_out, threads)

    def label_sums(self) -> np.ndarray:
        """(2 + outputs,) int64: rows, validation rows, and what the intercept follows from."""
        sums = sum(objective.label_sums(self.terms, part.labels) for part in self._train)
        return np.concatenate([[self.rows, sum(len(part.labels) for part in self._held_out)], sums]).astype(np.int64)

    def start(self, margins: np.ndarray) -> None:
        """Begin with (outputs,) base margins."""
        for part in self._train + self._held_out:
            part.margins[:] = margins

    def begin(self, tree: TreeStart) -> np.ndarray:
        """Begin a tree: compute gradients, draw rows; the root's histogram, as `descend` returns it.

        A tree that was not finished can be begun again, and gives the same.

        Raises
        ------
        InvalidInput
            A gradient is larger than the terms allow.
        """
        self._nodes, self._open = 1, {0}
        share = self.terms.parameters.subsample
        masks: list = [None] * len(self._train)
        if share < 1:
            drawn = np.random.default_rng([self.seed, tree.number]).random(self.rows, dtype=np.float32) < share
            masks = np.split(drawn, np.cumsum([len(part.labels) for part in self._train])[:-1])
        beyond = sum(self._each(lambda part, mask: part.begin(tree, mask), self._train, masks))
        self._require_within(beyond, "the gradients of rows are")
        for part in self._held_out:
            part.reset(tree)
        cuts = self.terms.cuts
        starts = cuts.starts(range(len(cuts)))
        self._slots = np.concatenate([np.arange(starts[one], starts[one + 1]) for one in tree.features])
        return self.descend(Level(splits=(), wanted=(0,)))

    def descend(self, level: Level) -> np.ndarray:
        """Divide rows by the level's splits.

        Returns
        -------
        (wanted, slots, 2) int64 sums of gradients and hessians in the slots of the features that the tree may use.

        Raises
        ------
        InvalidInput
            A split does not continue this tree.
        """
        self._require_level(level.splits)
        first, *others = self._each(lambda part: part.descend(level), self._train)
        for other in others:
            first += other
        for part in self._held_out:
            part.splits += level.splits
        return first if len(self._slots) == first.shape[1] else first[:, self._slots]

    def finish(self, level: Level) -> None:
        """Add to every row's margin the value of its leaf, after the level's splits."""
        self._require_level(level.splits)
        self._require_leaves(level.leaves)
        self._each(lambda part: part.finish(level.splits, level.leaves), self._train + self._held_out)

    def replay(self, number: int, splits: Sequence[Split], leaves: Mapping[int, float]) -> None:
        """Add to every row's margin what finished tree `number` gives it: how an owner that was away catches up.

        Raises
        ------
        InvalidInput
            The splits are of no tree of these terms.
        """
        self._nodes, self._open = 1, {0}
        for split in splits:
            self._require_next(split)
        self._require_leaves(leaves)
        for part in self._train + self._held_out:
            part.reset(TreeStart(number, ()))
            part.drawn = 0
            part.finish(splits, leaves)

    def loss(self) -> np.ndarray:
        """(1,) int64: the loss of the validation rows, summed.

        Raises
        ------
        InvalidInput
            An error is larger than the terms allow.
        """
        losses = self._each(lambda part: part.loss(), self._held_out)
        total, beyond = (sum(one) for one in zip(*losses, strict=True))
        self._require_within(beyond, "the errors of validation rows are")
        return np.array([total], dtype=np.int64)

    def _require_within(self, beyond: int, what: str) -> None:
        """Refuse numbers out of bounds, unless noise is to hide them as it hides all others."""
        if beyond and self.terms.bits is None:
            raise InvalidInput(
                f"{what} beyond {self.terms.gradient_bound:g} and sums could overflow; declare a wider label_range or "
                "lower eta"
            )

    def _require_level(self, splits: Sequence[Split]) -> None:
        """Refuse splits of a level that are not all of nodes there were before it."""
        before = set(self._open)
        for split in splits:
            self._require_next(split, before)

    def _require_next(self, split: Split, among: Collection[int] | None = None) -> None:
        """Compiled loops look up what a split names, so what came from elsewhere is checked here."""
        cuts, categories = self.terms.cuts, split.right_categories or ()
        numbers = (split.node, split.left, split.right, split.feature, split.cut, *categories)
        known = (
            all(type(number) is int for number in numbers)
            and type(split.default_left) is bool
            and (split.left, split.right) == (self._nodes, self._nodes + 1)
            and split.node in self._open
            and (among is None or split.node in among)
            and 0 <= split.feature < len(cuts)
            and cuts.categorical[split.feature] == (split.right_categories is not None)
            and all(-1 <= cut < cuts.bins[split.feature] for cut in (split.cut, *categories))
            and min(categories, default=0) >= 0
        )
        if not known:
            raise InvalidInput(
                f"a split of node {split.node} does not continue the tree; owners and planner need the same terms"
            )
        self._nodes += 2
        self._open ^= {split.node, split.left, split.right}

    def _require_leaves(self, leaves: Mapping[int, float]) -> None:
        if leaves.keys() != self._open:
            raise InvalidInput("the leaves are not those of the tree; owners and planner need the same terms")

    def _each(self, work: Callable, *arguments: Sequence) -> list:
        return list((self._pool.map if self._pool else map)(work, *arguments))


def _parts(terms: Terms, bins: np.ndarray, labels: np.ndarray, threads: int) -> list[Part]:
    ends = np.linspace(0, len(labels), threads + 1).astype(int)
    return [Part(terms, bins[a:b], labels[a:b]) for a, b in zip(ends, ends[1:], strict=False)]


def _require_labels(terms: Terms, labels: np.ndarray) -> None:
    match terms.objective:
        case "reg:squarederror":
            low, high = terms.label_range
            right, what = (labels >= low) & (labels <= high), f"between {low:g} and {high:g}, the declared label_range"
        case _:
            classes = max(2, terms.outputs)
            right, what = np.isin(labels, np.arange(classes)), f"classes 0 to {classes - 1}"
    # How many is not said: whoever sets the terms would learn it of one owner alone.
    if not right.all():
        raise InvalidInput(f"there are labels that are not {what}; correct them or the terms")
