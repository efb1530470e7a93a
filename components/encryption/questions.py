"""What a client of mode `hidden` is asked: of every cut of the model, whether its row goes right; decoys among them.

A question is a cut (feature, threshold or set, where missing goes) that some node makes; nodes with the same cut share
it. For each there are `DILUTION` - 1 decoys on the same feature, taken from the model's grid (or random sets of as many
categories), with a default drawn by key. Answers are turned by a keyed coin, so that the server does not know left from
right.
Does not withstand: a client learns which features are used and about how often, and guesses a threshold right one time
in `DILUTION`; with decoys that its feature cannot take, more often.
"""

from dataclasses import dataclass

import numpy as np

from components.encryption.forest import Forest, category_codes
from components.encryption.grid import Grid, thresholds
from components.encryption.keys import derive, permutation, words

DILUTION = 2

Cut = tuple[int, float | frozenset[int], bool]
"""Feature, threshold or categories that go right, whether missing goes left."""


@dataclass(frozen=True)
class Questions:
    """Q cuts in a random order; `turned` (Q,) answers are negated."""

    cuts: tuple[Cut, ...]
    turned: np.ndarray

    def bits(self, rows: np.ndarray) -> np.ndarray:
        """(n, Q) bool: each question's answer for float32 `rows` (n, F)."""
        right = np.empty((len(rows), len(self.cuts)), dtype=bool)
        for place, (feature, where, default_left) in enumerate(self.cuts):
            values = rows[:, feature]
            if isinstance(where, frozenset):
                goes = np.isin(category_codes(values), list(where))
            else:
                goes = ~(values < np.float32(where))
            right[:, place] = np.where(np.isnan(values), not default_left, goes)
        return right ^ self.turned

    def facts(self) -> dict:
        """As JSON."""
        cuts = [[one, sorted(where) if isinstance(where, frozenset) else where, left] for one, where, left in self.cuts]
        return {"cuts": cuts, "turned": self.turned.tolist()}


def questions_from(facts: dict) -> Questions:
    """Of what `facts` gave."""
    cuts = [
        (feature, frozenset(where) if isinstance(where, list) else where, left)
        for feature, where, left in facts["cuts"]
    ]
    return Questions(tuple(cuts), np.array(facts["turned"], dtype=bool))


def cut_of(forest: Forest, node: int) -> Cut:
    """The cut an inner node makes."""
    where = forest.right_set[node]
    if where is None:
        where = float(forest.threshold[node])
    return int(forest.feature[node]), where, bool(forest.default_left[node])


def questions_of(forest: Forest, grid: Grid, key: bytes, own: bytes) -> Questions:
    """The model's cuts and decoys drawn from its `key`, in an order drawn from the user's `own`."""
    asked = list(dict.fromkeys(cut_of(forest, node) for node in np.flatnonzero(~forest.is_leaf)))
    decoys = [*_numeric_decoys(forest, grid, key, asked), *_category_decoys(key, asked)]
    mixed = list(dict.fromkeys([*asked, *decoys]))
    turned = words(derive(own, "turned"), b"", len(mixed)) & np.uint64(1)
    return Questions(tuple(mixed[place] for place in permutation(own, len(mixed))), turned.astype(bool))


def _numeric_decoys(forest: Forest, grid: Grid, key: bytes, asked: list[Cut]) -> list[Cut]:
    decoys = []
    for feature, (name, needed) in enumerate(zip(forest.features, thresholds(forest), strict=True)):
        wanted = (DILUTION - 1) * sum(one == feature and not isinstance(where, frozenset) for one, where, _ in asked)
        edges = grid.edges[feature]
        offered = np.setdiff1d(edges[~np.isnan(edges)], needed)
        drawn = words(derive(key, "questions", name), b"", 2 * len(offered))
        order = np.argsort(drawn[: len(offered)])[:wanted]
        lefts = drawn[len(offered) :] & np.uint64(1)
        decoys += [(feature, float(offered[place]), bool(lefts[place])) for place in order]
    return decoys


def _category_decoys(key: bytes, asked: list[Cut]) -> list[Cut]:
    decoys, sets = [], [cut for cut in asked if isinstance(cut[1], frozenset)]
    for number, (feature, where, _) in enumerate(sets * (DILUTION - 1)):
        known = sorted(set().union(*(other for one, other, _ in sets if one == feature)))
        drawn = words(derive(key, "sets", str(number)), b"", len(known) + 1)
        chosen = frozenset(np.array(known)[np.argsort(drawn[:-1])[: len(where)]].tolist())
        decoys.append((feature, chosen, bool(drawn[-1] & np.uint64(1))))
    return decoys
