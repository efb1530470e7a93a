"""Bounds on a rate from counts: Wilson's score interval and the exact one of Clopper and Pearson.

Wilson's is the shorter and covers on average; Clopper and Pearson's covers always, which is what a decision needs and
what a count of zero needs. Sources: Wilson, JASA 22 (1927); Clopper and Pearson, Biometrika 26 (1934).
"""

import numpy as np
from scipy.special import betainccinv, betaincinv


def clopper_pearson_lower(events: np.ndarray, trials: np.ndarray, level: np.ndarray | float) -> np.ndarray:
    """Exact one-sided lower bound of a rate: the rate at which `events` or more have probability `level`.

    Arguments broadcast; 0 where there are no events.
    """
    events, trials, level = np.broadcast_arrays(np.asarray(events, float), trials, level)
    some = events > 0
    return np.where(some, betaincinv(np.where(some, events, 1), trials - events + 1, level), 0.0)


def clopper_pearson_upper(events: np.ndarray, trials: np.ndarray, level: np.ndarray | float) -> np.ndarray:
    """Exact one-sided upper bound of a rate: the rate at which `events` or fewer have probability `level`.

    Arguments broadcast; 1 where every trial is an event, and where there is no trial.
    """
    events, trials, level = np.broadcast_arrays(np.asarray(events, float), trials, level)
    some = events < trials
    return np.where(some, betainccinv(events + 1, np.where(some, trials - events, 1), level), 1.0)


def wilson_bounds(events: np.ndarray, trials: np.ndarray, z: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper score bounds of a rate at the normal quantile `z` (1.645: one-sided 95 %); [0, 1] of no trial."""
    events, trials = np.asarray(events, float), np.asarray(trials, float)
    some = trials > 0
    n, z2 = np.where(some, trials, 1), np.square(z)
    rate = events / n
    centre = rate + z2 / (2 * n)
    spread = z * np.sqrt(rate * (1 - rate) / n + z2 / (4 * n * n))
    lower, upper = (centre - spread) / (1 + z2 / n), (centre + spread) / (1 + z2 / n)
    return np.where(some, np.maximum(lower, 0.0), 0.0), np.where(some, np.minimum(upper, 1.0), 1.0)
