"""What a client of mode `hidden` is asked: of every cut of the model, whether its row goes right; decoys among them.

A question is a cut (feature, threshold or set, where missing goes) that some node makes; nodes with the same cut share
it. Each has `DILUTION` - 1 decoys of its own on the same feature, edges of the model's grid or sets of as many
categories, drawn from a key and the cut alone: a cut that the next champion keeps brings its decoys along. Answers are
turned by a keyed coin, so that the server does not know left from right.
Does not withstand: a client learns which features are used and about how often, and guesses a cut right one time in
`DILUTION`; with decoys that its feature cannot take, or where few categories leave no room for decoys, more often.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from components.encryption.forest import Forest, category_codes
from components.encryption.grid import Grid, thresholds
from components.encryption.keys import derive, permutation, tag, words

DILUTION = 2
_ATTEMPTS = 16

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
    mixed = dict.fromkeys(asked)
    for feature, needed in enumerate(thresholds(forest)):
        here = [cut for cut in asked if cut[0] == feature]
        decoys = _sets if forest.categorical[feature] else _edges
        offered = decoys(here, derive(key, "decoys", forest.features[feature]), grid.edges[feature], needed)
        for those in offered:
            mixed |= dict.fromkeys(islice((one for one in those if one not in mixed), DILUTION - 1))
    cuts = list(mixed)
    turned = words(derive(own, "turned"), b"", len(cuts)) & np.uint64(1)
    return Questions(tuple(cuts[place] for place in permutation(own, len(cuts))), turned.astype(bool))


def _drawn(key: bytes, *what: object) -> int:
    return int.from_bytes(tag(key, *map(repr, what))[:8])


def _edges(asked: list[Cut], key: bytes, edges: np.ndarray, needed: np.ndarray) -> Iterator[Iterator[Cut]]:
    """For each cut edges of the grid, by how close their words are to the cut's: new edges change few choices."""
    offered = np.setdiff1d(edges[~np.isnan(edges)], needed)
    drawn = np.array([_drawn(key, float(edge)) for edge in offered], dtype=np.uint64)
    for feature, where, left in asked:
        near = drawn ^ np.uint64(_drawn(key, where, left))
        order = np.argsort(near)
        yield ((feature, float(offered[place]), bool(near[place] & np.uint64(1))) for place in order)


def _sets(asked: list[Cut], key: bytes, *_: np.ndarray) -> Iterator[Iterator[Cut]]:
    """For each cut sets of as many of the codes that the model may know; a few, since there may be no others."""
    codes = 1 + max((max(where) for _, where, _ in asked), default=0)

    def drawn(cut: Cut, attempt: int) -> Cut:
        feature, where, left = cut
        own = derive(key, repr((sorted(where), left, attempt)))
        order = permutation(own, max(codes, len(where) + 1))
        return feature, frozenset(order[: len(where)].tolist()), bool(_drawn(own) & 1)

    for cut in asked:
        yield (drawn(cut, attempt) for attempt in range(_ATTEMPTS))
