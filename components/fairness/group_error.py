"""Error by group, each figure with its number of rows and an interval.

Rates get Wilson's interval, and the exact one where no row or every row is an event; means of a loss, and rates over
several rows of one person, get a bootstrap over persons. A group without rows is listed with n = 0 and NaN, so that it
neither vanishes nor looks fair.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from scipy.sparse import csr_array, hstack
from scipy.special import ndtri

from components.data.predictions import Predictions
from components.errors import InvalidInput
from components.fairness.bootstrap import bootstrap_means
from components.fairness.intersections import cell_codes, cells
from components.fairness.intervals import clopper_pearson_lower, clopper_pearson_upper, wilson_bounds

Metric = Literal["error", "false_positive_rate", "false_negative_rate", "log_loss", "brier", "calibration_gap"]
RATES = ("error", "false_positive_rate", "false_negative_rate")


@dataclass(frozen=True)
class GroupMetric:
    """One figure of one group.

    `n` rows count (the actual negatives for a false positive rate, the actual positives for a false negative rate), of
    which `events` are errors (None for a mean); [`lower`, `upper`] is the two-sided interval of `value`. All three are
    NaN where n is 0, and the bounds alone where a mean rests on one person.
    """

    group: str
    n: int
    value: float
    lower: float
    upper: float
    events: int | None


def group_metrics(
    predictions: Predictions,
    metric: Metric,
    *,
    confidence: float = 0.95,
    depth: int = 1,
    persons: np.ndarray | None = None,
    replicates: int = 2000,
    seed: int = 0,
) -> tuple[GroupMetric, ...]:
    """`metric` in every group level, and in every intersection of up to `depth` columns.

    Parameters
    ----------
    persons
        (n,) the person of each row, where a person may have several; None when rows are independent.

    Raises
    ------
    InvalidInput
        The metric is unknown, or the label is of a kind it is not defined for.
    """
    if not predictions.groups:
        return ()
    values, counted = row_values(predictions, metric)
    members = _members(predictions, depth)[counted]
    values = values[counted]
    names = [cell.name for cell in cells(predictions.groups, depth)]
    n = np.asarray(members.sum(axis=0)).ravel().astype(np.int64)
    sums = members.T @ values
    value = np.divide(sums, n, out=np.full(len(n), np.nan), where=n > 0)

    people = None if persons is None else np.asarray(persons)[counted]
    resampled = metric not in RATES or people is not None
    if resampled:
        lower, upper = bootstrap_means(
            values, members, persons=people, confidence=confidence, replicates=replicates, seed=seed
        )
    else:
        lower, upper = wilson_bounds(sums, n, -ndtri((1 - confidence) / 2))
    if metric in RATES:
        lower, upper = _exact_at_the_ends(sums, n, lower, upper, _people(members, people), (1 - confidence) / 2)
    lower, upper = (np.where(n > 0, bound, np.nan) for bound in (lower, upper))
    events = np.rint(sums).astype(np.int64).tolist() if metric in RATES else [None] * len(names)
    figures = zip(names, n.tolist(), value.tolist(), lower.tolist(), upper.tolist(), events, strict=True)
    return tuple(GroupMetric(*figure) for figure in figures)


def row_values(predictions: Predictions, metric: Metric) -> tuple[np.ndarray, np.ndarray]:
    """What a metric is the mean of: a value per row (n,) float64, and which rows count (n,) bool.

    log_loss: -log of the probability of the label. brier: squared distance of the probabilities from the label.
    calibration_gap: probability minus outcome, of the positive class (binary) or of the decision (multi-class); above 0
    the model is overconfident.
    """
    kind, labels = predictions.rule.kind, predictions.labels
    everyone = np.ones(len(predictions), dtype=bool)
    if metric not in get_args(Metric):
        raise InvalidInput(f"metric '{metric}' is not known; use one of {', '.join(get_args(Metric))}")
    if metric == "error":
        return (~predictions.right).astype(float), everyone
    if kind == "regression" or (kind != "binary" and metric in RATES):
        raise InvalidInput(f"metric '{metric}' is not defined for a {kind} label; use 'error'")
    if metric in RATES:
        return (~predictions.right).astype(float), labels == (metric == "false_negative_rate")

    scores = predictions.scores.astype(np.float64)
    probabilities = np.stack([1 - scores, scores], axis=1) if kind == "binary" else scores
    at_label = np.take_along_axis(probabilities, labels[:, None].astype(np.int64), axis=1)[:, 0]
    match metric:
        case "log_loss":
            return -np.log(np.maximum(at_label, 1e-15)), everyone
        case "brier":
            off = scores - labels if kind == "binary" else None
            return (off**2 if kind == "binary" else np.square(probabilities).sum(axis=1) - 2 * at_label + 1), everyone
        case _:
            sure = scores if kind == "binary" else probabilities.max(axis=1)
            return sure - (labels if kind == "binary" else predictions.right), everyone


def _members(predictions: Predictions, depth: int) -> csr_array:
    """(n, C) sparse 0/1, columns in the order of `cells`."""
    rows = np.arange(len(predictions))
    ones = np.ones(len(rows))
    codes = cell_codes(predictions.groups, depth)
    return hstack([csr_array((ones, (rows, code)), shape=(len(rows), size)) for code, size in codes], format="csr")


def _people(members: csr_array, persons: np.ndarray | None) -> np.ndarray:
    """(C,) distinct persons in each cell."""
    if persons is None:
        return np.asarray(members.sum(axis=0)).ravel()
    names, code = np.unique(persons, return_inverse=True)
    person_of_row = csr_array((np.ones(len(code)), (code, np.arange(len(code)))), shape=(len(names), len(code)))
    return np.asarray(((person_of_row @ members) > 0).sum(axis=0)).ravel()


def _exact_at_the_ends(events, n, lower, upper, people, level):
    """Clopper and Pearson's bounds, over persons, where no row or every row is an event."""
    none = events == 0
    seen = np.where(none, 0, people)
    exact_lower, exact_upper = clopper_pearson_lower(seen, people, level), clopper_pearson_upper(seen, people, level)
    ends = none | (events == n)
    return np.where(ends, exact_lower, lower), np.where(ends, exact_upper, upper)
