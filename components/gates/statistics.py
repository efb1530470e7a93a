"""The tests and bounds that gates decide by: exact for one rate and for flips, score-based for differences of rates.

Every function works on arrays that broadcast; `level` is the one-sided probability of error (0.05 for 95 %
confidence), and `z` its normal quantile. A bound at a level is within a budget exactly when the p-value against that
budget is within the level, so what a report shows is what was decided by.

Sources: Clopper and Pearson 1934; Tango, Statistics in Medicine 17 (1998) 891; Newcombe, Statistics in Medicine 17
(1998) 873, method 10.
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import betainc, gammaincinv

from components.fairness.intervals import clopper_pearson_lower, clopper_pearson_upper, wilson_bounds
from components.gates.roots import increasing_root

__all__ = [
    "binomial_at_least",
    "binomial_at_most",
    "clopper_pearson_lower",
    "clopper_pearson_upper",
    "mean_exposure",
    "newcombe_lower",
    "newcombe_upper",
    "tango_lower",
    "tango_score",
    "tango_upper",
    "wilson_bounds",
]

_WIDEST = 1 - 1e-12
"""The score has no spread at a rise of exactly 1."""


def binomial_at_most(events: np.ndarray, trials: np.ndarray, rate: np.ndarray | float) -> np.ndarray:
    """P(X <= events) for X ~ Binomial(trials, rate): the p-value against a rate of at least `rate`.

    `events` and `trials` may be fractions; the tail is then the beta function's, which runs smoothly between integers.
    """
    events, trials = np.broadcast_arrays(np.asarray(events, float), np.asarray(trials, float))
    some = events < trials
    return np.where(some, betainc(np.where(some, trials - events, 1), events + 1, 1 - np.asarray(rate)), 1.0)


def binomial_at_least(events: np.ndarray, trials: np.ndarray, rate: np.ndarray | float) -> np.ndarray:
    """P(X >= events) for X ~ Binomial(trials, rate): the p-value against a rate of at most `rate`."""
    events, trials = np.broadcast_arrays(np.asarray(events, float), np.asarray(trials, float))
    some = events > 0
    return np.where(some, betainc(np.where(some, events, 1), trials - events + 1, rate), 1.0)


def tango_score(negative: np.ndarray, positive: np.ndarray, rows: np.ndarray, rise: np.ndarray | float) -> np.ndarray:
    """Tango's score of the paired difference (negative - positive) / rows against `rise`.

    T = (b - c - n D) / sqrt(n (2 q + D (1 - D))), q the maximum-likelihood share of positive flips given that the share
    of negative ones exceeds it by D. Standard normal when the true rise is D; falls as D grows; 0 without rows.
    """
    b, c, n, d = np.broadcast_arrays(*(np.asarray(part, float) for part in (negative, positive, rows, rise)))
    slope = (2 * n - b + c) * d - b - c
    root = np.sqrt(np.maximum(slope**2 + 8 * n * c * d * (1 - d), 0))
    share = np.divide(root - slope, 4 * n, out=np.zeros_like(root), where=n > 0)
    spread = np.sqrt(np.maximum(n * (2 * share + d * (1 - d)), 0))
    return np.divide(b - c - n * d, spread, out=np.zeros_like(root), where=spread > 0)


def tango_lower(negative: np.ndarray, positive: np.ndarray, rows: np.ndarray, z: np.ndarray | float) -> np.ndarray:
    """The rise at which Tango's score is `z`: a one-sided lower bound; -1 without rows."""
    found = increasing_root(lambda rise: z - tango_score(negative, positive, rows, rise), -_WIDEST, _WIDEST, like=rows)
    return np.where(np.asarray(rows) > 0, found, -1.0)


def tango_upper(negative: np.ndarray, positive: np.ndarray, rows: np.ndarray, z: np.ndarray | float) -> np.ndarray:
    """The rise at which Tango's score is `-z`: a one-sided upper bound; 1 without rows."""
    found = increasing_root(lambda rise: -z - tango_score(negative, positive, rows, rise), -_WIDEST, _WIDEST, like=rows)
    return np.where(np.asarray(rows) > 0, found, 1.0)


def newcombe_lower(events, trials, other_events, other_trials, z) -> np.ndarray:
    """One-sided lower bound of the difference of two independent rates: d - sqrt((p1 - l1)^2 + (u2 - p2)^2)."""
    return -newcombe_upper(other_events, other_trials, events, trials, z)


def newcombe_upper(events, trials, other_events, other_trials, z) -> np.ndarray:
    """One-sided upper bound of the difference of two independent rates: d + sqrt((u1 - p1)^2 + (p2 - l2)^2).

    l and u are Wilson's bounds at `z`; at most 1, and 1 where either side has no trial.
    """
    events, trials, other_events, other_trials = (
        np.asarray(part, float) for part in (events, trials, other_events, other_trials)
    )
    some = (trials > 0) & (other_trials > 0)
    rate, other_rate = events / np.where(some, trials, 1), other_events / np.where(some, other_trials, 1)
    upper = wilson_bounds(events, trials, z)[1]
    other_lower = wilson_bounds(other_events, other_trials, z)[0]
    bound = rate - other_rate + np.hypot(upper - rate, other_rate - other_lower)
    return np.where(some, np.minimum(bound, 1.0), 1.0)


def mean_exposure(bits: Sequence[float], confidence: float) -> tuple[float, float, float]:
    """The mean of exposures in bits, and its one-sided lower and upper bounds.

    Exposure of a secret never seen is exponential (Carlini et al. 2019), so the sum of n is gamma.
    """
    mean, count = float(np.mean(bits)), len(bits)
    lower, upper = (float(count * mean / gammaincinv(count, q)) for q in (confidence, 1 - confidence))
    return mean, lower, upper
