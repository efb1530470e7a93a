"""Gradients, losses and where boosting starts, in XGBoost's single precision, and as whole numbers that can be summed.

Logistic: p - y and p (1 - p). Softmax: p_k - [y = k] and 2 p_k (1 - p_k), XGBoost's factor. Squared error: margin - y
and 1. A second derivative below one step counts as none, where XGBoost has 1e-16.
Source: Chen and Guestrin, KDD 2016, section 2.2; XGBoost 3.2, `regression_loss.h`, `multiclass_obj.cu`,
`elementwise_metric.cu`, `init_estimation.cc`.
"""

import numpy as np
from numba import njit

from components.boosting.histogram.terms import Terms

LEAST = np.float32(1e-16)


def label_sums(terms: Terms, labels: np.ndarray) -> np.ndarray:
    """(outputs,) int64 sums from which `intercept` follows: positives, rows of each class, or scaled labels."""
    match terms.objective:
        case "binary:logistic":
            return np.array([np.count_nonzero(labels)], dtype=np.int64)
        case "multi:softprob":
            return np.bincount(labels.astype(np.int64), minlength=terms.outputs)
        case _:
            scaled = (labels.astype(np.float64) - sum(terms.label_range) / 2) * terms.scales[0]
            return np.array([np.rint(scaled).astype(np.int64).sum()])


def intercept(terms: Terms, sums: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Base scores as XGBoost writes them, and base margins, both (outputs,) float32, from summed `label_sums`."""
    shares = np.asarray(sums) / rows
    match terms.objective:
        case "binary:logistic":
            scores = shares.astype(np.float32)
        case "multi:softprob":
            logarithms = _logarithms(shares.astype(np.float32) + np.float32(1e-6))
            # Added up one after another, as XGBoost does; a better mean would differ in the last digit.
            scores = logarithms - sum(logarithms / np.float32(terms.outputs))
        case _:
            scores = (sum(terms.label_range) / 2 + shares / terms.scales[0]).astype(np.float32)
    return scores, base_margins(terms, scores)


def base_margins(terms: Terms, scores: np.ndarray) -> np.ndarray:
    """(outputs,) float32 base margins of base scores, as XGBoost computes them."""
    if terms.objective != "binary:logistic":
        return scores
    kept = np.clip(scores, np.float32(1e-6), np.float32(1 - 1e-6))
    return -_logarithms(1 / kept - 1)


def _logarithms(numbers: np.ndarray) -> np.ndarray:
    """float32, each the nearest to the true one, which the C library's are and NumPy's own are not."""
    return np.log(numbers.astype(np.float64)).astype(np.float32)


@njit(cache=True, nogil=True)
def logistic_gradients(margins, labels, scales, pairs):
    """Write (n, 2) int64 gradients and hessians; no row can be out of bounds."""
    for row in range(len(labels)):
        p = _sigmoid(margins[row, 0])
        pairs[row, 0] = _whole((p - labels[row]) * scales[0])
        pairs[row, 1] = _whole(max(p * (np.float32(1) - p), LEAST) * scales[1])
    return 0


@njit(cache=True, nogil=True)
def squared_gradients(margins, labels, scales, bound, pairs):
    """Write (n, 2) int64 gradients and hessians; returns how many rows' gradients are beyond `bound`, or no number.

    They count as the bound, so that no row ever moves a sum by more.
    """
    beyond = 0
    for row in range(len(labels)):
        gradient = margins[row, 0] - labels[row]
        inside = abs(gradient) <= bound
        beyond += not inside
        gradient = min(max(gradient, np.float32(-bound)), np.float32(bound))
        pairs[row, 0] = _whole(gradient * scales[0]) if gradient == gradient else 0
        pairs[row, 1] = np.int64(scales[1])
    return beyond


@njit(cache=True, nogil=True)
def softmax_probabilities(margins, probabilities):
    """Write (n, K) float32 probabilities: what all trees of a round are grown on, however margins change meanwhile."""
    for row in range(len(margins)):
        # Not the smallest number, but as XGBoost has it: the least positive one.
        largest = np.float32(1.1754944e-38)
        for k in range(margins.shape[1]):
            largest = max(largest, margins[row, k])
        total = 0.0
        for k in range(margins.shape[1]):
            probabilities[row, k] = np.exp(margins[row, k] - largest)
            total += probabilities[row, k]
        for k in range(margins.shape[1]):
            probabilities[row, k] /= np.float32(total)


@njit(cache=True, nogil=True)
def class_gradients(probabilities, labels, k, scales, pairs):
    """Write (n, 2) int64 gradients and hessians of class k."""
    for row in range(len(labels)):
        p = probabilities[row, k]
        hessian = max(np.float32(2) * p * (np.float32(1) - p), LEAST)
        pairs[row, 0] = _whole((p - np.float32(labels[row] == k)) * scales[0])
        pairs[row, 1] = _whole(hessian * scales[1])
    return 0


@njit(cache=True, nogil=True)
def logistic_loss(margins, labels, scale):
    """Sum of -log p(y), in steps of 1 / scale."""
    total = 0
    for row in range(len(labels)):
        p = _sigmoid(margins[row, 0])
        right = p if labels[row] > 0 else np.float32(1) - p
        total += _whole(-np.log(np.float64(max(right, LEAST))) * scale)
    return total


@njit(cache=True, nogil=True)
def softmax_loss(margins, labels, scale):
    """Sum of -log p(y), in steps of 1 / scale."""
    total = 0
    for row in range(len(labels)):
        own, rest = np.float64(margins[row, np.int64(labels[row])]), 0.0
        for k in range(margins.shape[1]):
            rest += np.exp(margins[row, k] - own)
        total += _whole(min(np.log(rest), -np.log(np.float64(LEAST))) * scale)
    return total


@njit(cache=True, nogil=True)
def squared_loss(margins, labels, scale, bound):
    """Sum of (margin - y)^2, in steps of 1 / scale, and how many errors are beyond `bound`, or no number."""
    total, beyond = 0, 0
    for row in range(len(labels)):
        error = abs(np.float64(margins[row, 0] - labels[row]))
        beyond += not error <= bound
        error = error if error <= bound else bound
        total += _whole(error * error * scale)
    return total, beyond


@njit(inline="always")
def _sigmoid(margin):
    return np.float32(1) / (np.exp(min(-margin, np.float32(88.7))) + np.float32(1) + LEAST)


@njit(inline="always")
def _whole(scaled):
    return np.int64(np.rint(scaled))
