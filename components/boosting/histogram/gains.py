"""The best split of every node from its histogram, chosen exactly as XGBoost's `hist` chooses.

The gain of sums G, H is T(G)^2 / (H + lambda), T the L1 threshold. A numeric feature is cut after each bin with missing
values on the right, then, where some are missing, before each bin from the last down with them on the left. A
categorical feature of fewer than four categories sends one category right, missing values left or right; one of more
orders its categories by weight and sends a run of the lightest right with missing values left, then, from all but the
heaviest down, with them right. Numbers are rounded to single precision where XGBoost rounds, and a candidate must be
better than all before it: on a tie the first feature, the first direction and the first cut in this order stays.
Source: Chen and Guestrin, KDD 2016, algorithm 3; XGBoost 3.2, `evaluate_splits.h`, `split_evaluator.h`, `param.h`.
"""

import numpy as np
from numba import njit

ONE_HOT_BELOW = 4
"""XGBoost's default `max_cat_to_onehot`."""

LONGEST_RUN = 64
"""XGBoost's default `max_cat_threshold`."""


@njit(cache=True, nogil=True, error_model="numpy")
def weight_of(gradient, hessian, penalty, threshold, least):
    """float32 weight of a node before eta, from its sums, lambda, alpha and min_child_weight."""
    if hessian < least or hessian <= 0:
        return np.float32(0)
    kept = max(abs(gradient) - threshold, 0.0)
    return np.float32(-np.sign(gradient) * kept / (hessian + penalty))


@njit(cache=True, nogil=True, error_model="numpy")
def best_splits(sums, starts, categorical, steps, regularisation, widest):
    """The best split of each node.

    Parameters
    ----------
    sums : (nodes, slots, 2) int64.
    starts : (C + 1,) where the slots of each of C features begin; a feature's last slot is of missing values.
    categorical : (C,) bool.
    steps : gradient and hessian of one whole number.
    regularisation : lambda, alpha, min_child_weight; single precision in double.
    widest : bins of the widest feature.

    Returns
    -------
    gains (nodes,) float32, 0 without a split; features (nodes,) in 0 … C - 1; cuts (nodes,), the last bin that goes
    left; default_left (nodes,) bool; right (nodes, widest) bool, the categories that go right; left_sums (nodes, 2)
    int64.
    """
    nodes = len(sums)
    gains, features = np.zeros(nodes, np.float32), np.zeros(nodes, np.int64)
    cuts, default_left = np.zeros(nodes, np.int64), np.zeros(nodes, np.bool_)
    right, left_sums = np.zeros((nodes, widest), np.bool_), np.zeros((nodes, 2), np.int64)
    left_gradients, left_hessians = np.empty(2 * widest, np.int64), np.empty(2 * widest, np.int64)
    candidates = np.empty(2 * widest, np.float32)
    for node in range(nodes):
        total = sums[node, : starts[1]].sum(axis=0)
        whole = _gain(total[0] * steps[0], total[1] * steps[1], regularisation)
        for feature in range(len(categorical)):
            slots = sums[node, starts[feature] : starts[feature + 1]]
            bins = len(slots) - 1
            order = _by_weight(slots, steps, regularisation) if categorical[feature] else np.empty(0, np.int64)
            for backward in (False, True):
                if not categorical[feature]:
                    count = _cuts_in_order(slots, total, backward, left_gradients, left_hessians)
                elif bins < ONE_HOT_BELOW:
                    count = _single_categories(slots, total, backward, left_gradients, left_hessians)
                else:
                    count = _runs_of_categories(slots, total, order, backward, left_gradients, left_hessians)
                _gains(left_gradients[:count], left_hessians[:count], total, whole, steps, regularisation, candidates)
                for place in range(count):
                    if not gains[node] < candidates[place] < np.inf:
                        continue
                    gains[node], features[node] = candidates[place], feature
                    left_sums[node, 0], left_sums[node, 1] = left_gradients[place], left_hessians[place]
                    if not categorical[feature]:
                        default_left[node] = backward
                        cuts[node] = bins - 2 - place if backward else place
                        continue
                    right[node] = False
                    if bins < ONE_HOT_BELOW:
                        default_left[node] = place % 2 == 0
                        right[node, place // 2] = True
                    else:
                        default_left[node] = not backward
                        for lighter in range(bins - 1 - place if backward else place + 1):
                            right[node, order[lighter]] = True
    return gains, features, cuts, default_left, right, left_sums


@njit(cache=True, nogil=True)
def _cuts_in_order(slots, total, backward, left_gradients, left_hessians):
    """Left sums of cuts after each bin; backward, before each from the last down, if values are missing."""
    bins = len(slots) - 1
    if not backward:
        gradient, hessian = 0, 0
        for place in range(bins):
            gradient += slots[place, 0]
            hessian += slots[place, 1]
            left_gradients[place], left_hessians[place] = gradient, hessian
        return bins
    if slots[bins, 0] == 0 and slots[bins, 1] == 0:
        return 0
    gradient, hessian = total[0], total[1]
    for place in range(bins):
        gradient -= slots[bins - 1 - place, 0]
        hessian -= slots[bins - 1 - place, 1]
        left_gradients[place], left_hessians[place] = gradient, hessian
    return bins


@njit(cache=True, nogil=True)
def _single_categories(slots, total, backward, left_gradients, left_hessians):
    """Left sums of all rows but one category, and of those whose value is known, in turn."""
    bins = len(slots) - 1
    if backward:
        return 0
    for category in range(bins):
        for place in range(2 * category, 2 * category + 2):
            left_gradients[place], left_hessians[place] = total - slots[category] - (place % 2) * slots[bins]
    return 2 * bins


@njit(cache=True, nogil=True)
def _runs_of_categories(slots, total, order, backward, left_gradients, left_hessians):
    """Left sums without the lightest categories; backward, of the heaviest ones."""
    count = min(LONGEST_RUN, len(order)) - 1
    gradient, hessian = (0, 0) if backward else (total[0], total[1])
    for place in range(count):
        category, sign = (order[len(order) - 1 - place], 1) if backward else (order[place], -1)
        gradient += sign * slots[category, 0]
        hessian += sign * slots[category, 1]
        left_gradients[place], left_hessians[place] = gradient, hessian
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def _by_weight(slots, steps, regularisation):
    weights = np.empty(len(slots) - 1, np.float32)
    for category in range(len(weights)):
        gradient, hessian = slots[category, 0] * steps[0], slots[category, 1] * steps[1]
        weights[category] = weight_of(gradient, hessian, *regularisation)
    return np.argsort(weights, kind="mergesort")


@njit(cache=True, nogil=True, error_model="numpy")
def _gains(left_gradients, left_hessians, total, whole, steps, regularisation, gains):
    """Write what each division gains; 0 where a side weighs too little."""
    least, gradient, hessian = regularisation[2], total[0], total[1]
    for place in range(len(left_gradients)):
        one = left_hessians[place] * steps[1]
        other = (hessian - left_hessians[place]) * steps[1]
        gain = _gain(left_gradients[place] * steps[0], one, regularisation)
        gain += _gain((gradient - left_gradients[place]) * steps[0], other, regularisation)
        gains[place] = gain - whole if (one >= least) & (other >= least) else np.float32(0)


@njit(inline="always", error_model="numpy")
def _gain(gradient, hessian, regularisation):
    kept = max(abs(gradient) - regularisation[1], 0.0)
    gain = np.float32(kept * kept) / np.float32(hessian + regularisation[0])
    return gain if hessian > 0 else np.float32(0)
