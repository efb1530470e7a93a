"""Holm's step-down correction: one level for each of several hypotheses, so that errors over all of them stay bounded.

Source: Holm, Scandinavian Journal of Statistics 6 (1979).
"""

import numpy as np


def holm_levels(p_values: np.ndarray, level: float, weights: np.ndarray | None = None) -> np.ndarray:
    """The level each hypothesis is tested at: rejected exactly when its p-value is within it.

    Unweighted, the smallest p-value of m meets level / m, the next level / (m - 1), and so on up to the first that
    misses; it and all later ones stay where the procedure stopped. Weights share out the level instead of m.

    Parameters
    ----------
    p_values, weights
        (m,); weights are positive and equal by default.
    """
    p_values = np.asarray(p_values, float)
    weights = np.ones(len(p_values)) if weights is None else np.asarray(weights, float)
    order = np.argsort(p_values / weights, kind="stable")
    weight_left = np.cumsum(weights[order][::-1])[::-1].copy()
    missed = np.flatnonzero(p_values[order] > level * weights[order] / weight_left)
    if len(missed):
        weight_left[missed[0] :] = weight_left[missed[0]]
    levels = np.empty(len(p_values))
    levels[order] = level * weights[order] / weight_left
    return levels
