"""Rows made up from a model alone, for a leakage report where nobody's rows are at hand.

Numbers are drawn evenly from the range of a feature's cut points and a tenth beyond, categories from those the model
knows, one value in twenty is missing. Real values crowd more, and a server that knows how finds more by quantiles.
"""

import numpy as np

from components.encryption.forest import Forest
from components.encryption.grid import thresholds


def made_up_rows(forest: Forest, count: int = 200, *, seed: int = 0) -> np.ndarray:
    """(count, F) float32."""
    rng = np.random.default_rng(seed)
    rows = np.zeros((count, len(forest.features)), dtype=np.float32)
    for feature, cuts in enumerate(thresholds(forest)):
        if forest.categorical[feature]:
            nodes = np.flatnonzero(forest.feature == feature)
            known = sorted(set().union(*(forest.right_set[node] or () for node in nodes)))
            rows[:, feature] = rng.choice(known, count) if known else 0
        elif len(cuts):
            low, high = float(np.min(cuts)), float(np.max(cuts))
            margin = 0.1 * (high - low) or 1.0
            rows[:, feature] = rng.uniform(low - margin, high + margin, count)
    rows[rng.random(rows.shape) < 0.05] = np.nan
    return rows
