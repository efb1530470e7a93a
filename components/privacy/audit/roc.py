"""How good an attack is: its ROC, and above all what it finds at very few false alarms (Carlini et al. 2022).

An attack that names a handful of members without a mistake harms them, though its average is that of a coin. So the
true positive rate at 0.1 and 1 percent false positives stands beside the area, each with an interval.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from components.errors import InvalidInput


@dataclass(frozen=True)
class Rate:
    """An estimate and its interval."""

    value: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Roc:
    """(k,) false and true positive rates as the threshold falls, of `members` and `others` many scores."""

    false_positive: np.ndarray
    true_positive: np.ndarray
    members: int
    others: int

    def area(self, *, confidence: float = 0.95) -> Rate:
        """AUC with the interval of Hanley and McNeil 1982; 0.5 is a coin."""
        area = float(np.trapezoid(self.true_positive, self.false_positive))
        first, second = area / (2 - area), 2 * area**2 / (1 + area)
        variance = area * (1 - area) + (self.members - 1) * (first - area**2) + (self.others - 1) * (second - area**2)
        half = stats.norm.ppf((1 + confidence) / 2) * np.sqrt(max(variance, 0) / (self.members * self.others))
        return Rate(area, max(0.0, area - half), min(1.0, area + half))

    def true_positive_at(self, false_positive: float, *, confidence: float = 0.95) -> Rate:
        """The largest true positive rate at no more than `false_positive`, with Clopper and Pearson's interval."""
        allowed = self.false_positive <= false_positive
        value = float(self.true_positive[allowed].max())
        interval = stats.binomtest(round(value * self.members), self.members).proportion_ci(confidence, method="exact")
        return Rate(value, float(interval.low), float(interval.high))


def roc(scores: np.ndarray, member: np.ndarray) -> Roc:
    """The ROC of (n,) scores against (n,) bool; equal scores move together.

    Raises
    ------
    InvalidInput
        There are no members, or only members.
    """
    scores, member = np.asarray(scores, dtype=np.float64), np.asarray(member, dtype=bool)
    members, others = int(member.sum()), int((~member).sum())
    if not members or not others:
        raise InvalidInput(f"an attack is judged on members and others; there are {members} and {others}")
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)
    hits, alarms = np.cumsum(member[order])[last], np.cumsum(~member[order])[last]
    return Roc(np.append(0, alarms / others), np.append(0, hits / members), members, others)
