"""The grid of a model: the edges between which a client ranks its values, thresholds among them.

A client must know the grid, so it never is the model's thresholds alone. Either it is public (a schema's edges,
quantiles of public data) and holds all thresholds, or decoys are mixed in that lie between and around the thresholds
and have as many decimals: every feature then has the same number of edges, at least `EDGES` and four times those that
any feature needs, so that a client's guess that an edge is a threshold is right at most one time in four. Decoys come
from a key of the model's name and are the same for all its users, whose grids would else have only the thresholds in
common. For the same reason the grid of the next champion of that name holds the whole former one, and as many decoys
for each edge that is new: what came, what stayed and what went says no more than one grid does. So grids grow.
Does not withstand: a client who knows which values a feature can take sees decoys that it cannot, and that a feature
the model does not use has decoys around 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from components.encryption.forest import Forest, category_codes
from components.encryption.keys import derive, words
from components.errors import InvalidInput

EDGES = 255
DILUTION = 4
"""A grid with decoys has at least so many edges for each threshold."""

MOST_CATEGORIES = 2**16
_MOST_DECIMALS = 6
_FURTHEST = 3e38


@dataclass(frozen=True)
class Grid:
    """`edges` (F, m) float32 increasing, NaN after the last; `codes`, how many category codes are told apart."""

    edges: np.ndarray
    codes: int

    def ranks(self, rows: np.ndarray) -> np.ndarray:
        """(n, F) int64: how many edges are not above each value; of no meaning for NaN."""
        if len(rows) <= 8:
            return (self.edges <= rows[:, :, None]).sum(axis=2)
        columns = zip(self.edges, rows.T, strict=True)
        return np.stack([np.searchsorted(edges, values, side="right") for edges, values in columns], axis=1)

    def categories(self, rows: np.ndarray) -> np.ndarray:
        """(n, F) int64 in 0..codes + 1: the code, `codes` for one that no set of the model holds, then missing."""
        found = category_codes(rows)
        known = np.where((found >= 0) & (found < self.codes), found, self.codes)
        return np.where(np.isnan(rows), self.codes + 1, known)


def thresholds(forest: Forest) -> list[np.ndarray]:
    """F arrays: the different thresholds of each feature, increasing."""
    return [
        np.unique(forest.threshold[(forest.feature == place) & ~np.isnan(forest.threshold)])
        for place in range(len(forest.features))
    ]


def code_count(forest: Forest) -> int:
    """A power of two above every category code of the model.

    Raises
    ------
    InvalidInput
        A code is beyond what the schemes take.
    """
    highest = max((max(one) for one in forest.right_set if one), default=0)
    if highest >= MOST_CATEGORIES:
        raise InvalidInput(
            f"the model has category code {highest}; only codes below {MOST_CATEGORIES} can be encrypted"
        )
    return 1 << max(3, highest.bit_length())


def grid_with_decoys(forest: Forest, key: bytes, former: Mapping[str, Sequence[float]] | None = None) -> Grid:
    """Thresholds and the edges of a `former` grid, by feature, among decoys drawn from `key`."""
    needed = thresholds(forest)
    kept = [np.unique(np.asarray((former or {}).get(name, ()), dtype=np.float32)) for name in forest.features]
    fresh = [np.setdiff1d(one, old) for one, old in zip(needed, kept, strict=True)]
    largest = max(map(len, kept))
    size = max(EDGES, largest + DILUTION * max(map(len, fresh)))
    edges = np.stack(
        [
            _diluted(one, old, size, derive(key, "edges", name, str(largest)))
            for one, old, name in zip(needed, kept, forest.features, strict=True)
        ]
    )
    return Grid(edges, code_count(forest))


def public_grid(forest: Forest, edges: Mapping[str, Sequence[float]]) -> Grid:
    """A grid that was public before the model was trained.

    Raises
    ------
    InvalidInput
        A threshold of the model is not among its feature's edges; the threshold is not named.
    """
    rows = []
    for name, needed in zip(forest.features, thresholds(forest), strict=True):
        offered = np.unique(np.asarray(edges.get(name, ()), dtype=np.float32))
        if off := np.setdiff1d(needed, offered).size:
            raise InvalidInput(
                f"{off} of {len(needed)} thresholds of feature '{name}' are not among its {len(offered)} public edges; "
                "train the model on those edges, or publish it with decoys"
            )
        rows.append(offered)
    size = max(1, *(len(row) for row in rows))
    padded = [np.pad(row, (0, size - len(row)), constant_values=np.nan) for row in rows]
    return Grid(np.stack(padded).astype(np.float32), code_count(forest))


def _diluted(needed: np.ndarray, kept: np.ndarray, size: int, key: bytes) -> np.ndarray:
    """`size` edges: thresholds, those `kept`, and decoys between two thresholds or not far outside of them."""
    finite = needed[np.isfinite(needed)].astype(np.float64)
    anchors = finite if len(finite) else np.zeros(1)
    decimals = _decimals(finite)
    reach = max(float(np.ptp(anchors)), float(np.abs(anchors).max()), 1.0) / 4
    ladder = np.concatenate([[anchors[0] - reach], anchors, [anchors[-1] + reach]])
    edges, attempt = np.union1d(needed, kept), 0
    while len(edges) < size:
        wanted = size - len(edges)
        places, within = (words(derive(key, str(attempt)), label, 2 * wanted) for label in (b"place", b"within"))
        place = (places % np.uint64(len(ladder) - 1)).astype(int)
        drawn = ladder[place] + (ladder[place + 1] - ladder[place]) * (within / 2**64)
        if decimals is not None:
            drawn = drawn.round(decimals)
        fresh = np.setdiff1d(drawn.astype(np.float32), edges)
        # Any of them may stay: the first by a keyed order, not the smallest.
        order = np.argsort(words(derive(key, str(attempt), "order"), b"", len(fresh)))
        edges = np.union1d(edges, fresh[order[:wanted]])
        attempt += 1
        if attempt % 4 == 0:
            # So few decimals leave no room between the thresholds: further out, then finer.
            span = ladder[-1] - ladder[0]
            ladder = np.concatenate([[ladder[0] - span], ladder, [ladder[-1] + span]]).clip(-_FURTHEST, _FURTHEST)
    return edges


def _decimals(values: np.ndarray) -> int | None:
    """The decimals that float32 `values` are written with; None where they have more than six digits of them."""
    for decimals in range(_MOST_DECIMALS + 1):
        if np.array_equal(values.round(decimals).astype(np.float32), values.astype(np.float32)):
            return decimals
    return None
