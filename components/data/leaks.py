"""A feature that gives the label away.

A column recorded after the outcome (or the outcome under another name) makes a model that looks perfect in every test
and knows nothing. Such a column settles the label by itself, either value by value or by one threshold. Small tables
and columns of nearly unique values can do that by luck, so a feature is named only when luck cannot explain it.
"""

import math
from collections.abc import Callable

import numpy as np

LUCK = 1e-9
"""A feature is named when a random label would be settled with a lower probability than this."""

_GLANCE = 10_000


def gives_away(values: np.ndarray, labels: np.ndarray) -> str | None:
    """How one feature settles a class label, or None when it does not.

    Parameters
    ----------
    values
        (n,) float32 encoded feature, NaN where missing. Being missing is a value like any other; and where the feature
        is there in half of all rows or more, those are looked at by themselves too, since copies have gaps.
    labels
        (n,) class indices.

    Notes
    -----
    With D distinct values, K classes of sizes n_k, at most K^D of the n! / prod n_k! labellings are settled by the
    values, and at most 4 by a threshold (either side, missing below or above): that share bounds the luck.
    """
    there = ~np.isnan(values)
    if how := _settles(values, labels):
        return how
    if not there.all() and _mostly(there) and (how := _settles(values[there], labels[there])):
        return f"{how}, wherever it is there"
    return None


def is_monotone_copy(values: np.ndarray, targets: np.ndarray) -> bool:
    """Whether a feature is in strictly monotone one-to-one correspondence with a numeric label ((n,) both).

    Rows in which it is missing are left out, unless it is missing in most.
    """
    there = ~np.isnan(values)
    values, targets = values[there], targets[there]
    if not _mostly(there) or len(np.unique(values)) < 15:  # 2 / 15! orders are monotone by luck
        return False
    order = np.argsort(values, kind="stable")
    steps, target_steps = np.diff(values[order]) > 0, np.diff(targets[order].astype(np.float32))
    return any(np.array_equal(steps, sign * target_steps > 0) and not target_steps[~steps].any() for sign in (1, -1))


def _mostly(there: np.ndarray) -> bool:
    return 2 * np.count_nonzero(there) >= len(there)


def _settles(values: np.ndarray, labels: np.ndarray) -> str | None:
    """How a feature settles every label, beyond what luck explains."""
    sizes = np.bincount(labels)
    log_labellings = math.lgamma(len(labels) + 1) - sum(math.lgamma(size + 1) for size in sizes)
    beyond_luck = np.log(LUCK) + log_labellings
    if len(sizes) == 2 and np.log(4) < beyond_luck and _always(_one_threshold, values, labels):
        return "one threshold separates its classes"
    distinct = len(np.unique(values)) if _always(_settled_by_values, values, labels) else 0
    if distinct and distinct * np.log(len(sizes)) < beyond_luck:
        return f"each of its {distinct} values goes with one class"
    return None


def _always(settles: Callable[[np.ndarray, np.ndarray], bool], values: np.ndarray, labels: np.ndarray) -> bool:
    """Whether it holds on all rows; nearly every honest feature fails on the first few already."""
    return settles(values[:_GLANCE], labels[:_GLANCE]) and settles(values, labels)


def _settled_by_values(values: np.ndarray, labels: np.ndarray) -> bool:
    """Each distinct value occurs with one class only."""
    _, codes = np.unique(values, return_inverse=True)
    _, pairs = np.unique(codes * (labels.max() + 1) + labels, return_index=True)
    return len(pairs) == codes.max() + 1


def _one_threshold(values: np.ndarray, labels: np.ndarray) -> bool:
    """All of one class lie below all of the other, with missing values at either end."""
    for missing in (-np.inf, np.inf):
        filled = np.where(np.isnan(values), np.float32(missing), values)
        negative, positive = filled[labels == 0], filled[labels == 1]
        if not len(negative) or not len(positive):
            return True
        if negative.max() < positive.min() or positive.max() < negative.min():
            return True
    return False
