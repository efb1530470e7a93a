"""The planner: grows a tree level by level from histograms summed over all owners, and sees nothing else.

Of two siblings only the lighter one's histogram is asked for; the other's is what remains of their parent's. Sums are
whole numbers, so that is exact, and so is every total. With the same terms and sums every planner decides alike.
Source: Chen and Guestrin, KDD 2016, algorithm 3; XGBoost 3.2, `updater_quantile_hist.cc` (depthwise growth).
"""

from dataclasses import dataclass

import numpy as np

from components.boosting.histogram.gains import best_splits, weight_of
from components.boosting.histogram.split import Level, Split, TreeStart
from components.boosting.histogram.terms import Terms
from components.boosting.histogram.tree import Tree

LEAST_GAIN = np.float32(1e-6)
"""XGBoost's kRtEps: no split is made for less, whatever gamma."""


@dataclass(frozen=True)
class _Pair:
    """Two siblings: the split that made them, which `side` (0 left, 1 right) is summed, their parent's histogram."""

    split: Split
    side: int
    parent: np.ndarray


class Planner:
    """Grows one tree at a time: `begin`, then `receive` until nothing is wanted.

    `tree` is the tree so far.
    """

    def __init__(self, terms: Terms):
        self.terms = terms
        parameters = terms.parameters
        # As XGBoost holds them.
        single = np.array([parameters.reg_lambda, parameters.reg_alpha, parameters.min_child_weight], dtype=np.float32)
        self._regularisation = tuple(single.astype(np.float64).tolist())
        self._eta, self._gamma = np.float32(parameters.eta), np.float32(parameters.gamma)

    def begin(self, number: int) -> TreeStart:
        """Draw the features of tree `number`; `receive` takes the root's histogram next."""
        cuts, share = self.terms.cuts, self.terms.parameters.colsample_bytree
        count = max(1, int(share * len(cuts)))
        random = np.random.default_rng([self.terms.parameters.seed, number])
        drawn = np.sort(random.choice(len(cuts), count, replace=False)) if share < 1 else np.arange(len(cuts))
        self._features, self._starts = drawn, cuts.starts(drawn)
        self._categorical = np.array(cuts.categorical)[drawn]
        self.tree, self._depth, self._pairs = Tree(), 0, []
        return TreeStart(number, tuple(drawn.tolist()))

    def receive(self, sums: np.ndarray) -> Level:
        """What to do next, given the (wanted, slots, 2) int64 histograms summed over all owners."""
        if self._depth:
            nodes = [child for pair in self._pairs for child in (pair.split.left, pair.split.right)]
            level = np.empty((len(self._pairs), 2, *sums.shape[1:]), dtype=np.int64)
            for place, pair in enumerate(self._pairs):
                level[place, pair.side] = sums[place]
                np.subtract(pair.parent, sums[place], out=level[place, 1 - pair.side])
            sums = level.reshape(len(nodes), *sums.shape[1:])
        else:
            nodes = [0]
            self.tree.sums[0] = tuple(sums[0, : self._starts[1]].sum(axis=0).tolist())
        splits = self._best(nodes, sums)
        self._depth += 1
        self._pairs = []
        if self._depth < self.terms.parameters.max_depth:
            parents = dict(zip(nodes, sums, strict=True))
            self._pairs = [
                _Pair(split, self._lighter_side(split), parents[split.node])
                for split in splits
                if self._may_divide(split.left) or self._may_divide(split.right)
            ]
        wanted = tuple((pair.split.left, pair.split.right)[pair.side] for pair in self._pairs)
        return Level(tuple(splits), wanted, {} if wanted else self.tree.leaves())

    def _best(self, nodes: list[int], sums: np.ndarray) -> list[Split]:
        tree, cuts = self.tree, self.terms.cuts
        gains, features, places, default_left, right, left_sums = best_splits(
            sums, self._starts, self._categorical, self.terms.steps, self._regularisation, cuts.widest
        )
        splits, first_child = [], len(tree)
        for place, node in enumerate(nodes):
            left = tuple(left_sums[place].tolist())
            others = (tree.sums[node][0] - left[0], tree.sums[node][1] - left[1])
            gain = gains[place]
            if gain > LEAST_GAIN and gain >= self._gamma and left[1] > 0 and others[1] > 0:
                feature = int(self._features[features[place]])
                categories = tuple(np.flatnonzero(right[place]).tolist()) if cuts.categorical[feature] else None
                split = Split(
                    node=node,
                    left=len(tree),
                    right=len(tree) + 1,
                    feature=feature,
                    default_left=bool(default_left[place]),
                    cut=-1 if categories else int(places[place]),
                    right_categories=categories,
                )
                tree.divide(split, float(gain), left, others)
                splits.append(split)
        for node in [*([] if self._depth else [0]), *range(first_child, len(tree))]:
            weight = self._weight(node)
            tree.weights[node], tree.values[node] = float(weight), float(weight * self._eta)
        return splits

    def _hessian(self, node: int) -> float:
        return self.tree.sums[node][1] * self.terms.steps[1]

    def _lighter_side(self, split: Split) -> int:
        return int(self._hessian(split.right) < self._hessian(split.left))

    def _may_divide(self, node: int) -> bool:
        """Whether the node is heavy enough to have two children; with less its histogram would be of no use."""
        return self._hessian(node) >= 2 * self._regularisation[2]

    def _weight(self, node: int) -> np.float32:
        gradient, hessian = (one * step for one, step in zip(self.tree.sums[node], self.terms.steps, strict=True))
        return weight_of(gradient, hessian, *self._regularisation)
