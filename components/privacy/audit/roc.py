"""How good an attack is: its ROC, and above all what it finds at very few false alarms (Carlini et al. 2022).

An attack that names a handful of members without a mistake harms them, though its average is that of a coin. So the
true positive rate at 0.1 and 1 percent false positives stands beside the area, each with an interval. The interval of
a rate covers both samples: its ends are Clopper and Pearson's at two thresholds, between which, by the order statistics
of strangers, the one with that false positive rate lies. Scores of one user hang together; by how much, relative to
independent ones, is estimated, and samples count as so many fewer (Korn and Graubard 1998; Obuchowski 1997 for areas).
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
class Sample:
    """Scores (n,) of members or of strangers, and the number (n,) of the user each is of."""

    scores: np.ndarray
    users: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    def variance(self, values: np.ndarray) -> float:
        """Of the mean of (n,) values, those of a user taken together."""
        return float((np.bincount(self.users, weights=values - values.mean()) ** 2).sum()) / len(values) ** 2

    def worth(self, chosen: np.ndarray) -> float:
        """How many independent ones say as much of the share of (n,) `chosen`; where it is 0 or 1, one a user."""
        share = chosen.mean()
        if not 0 < share < 1:
            return float(len(np.unique(self.users)))
        variance = self.variance(chosen.astype(np.float64))
        return float(min(len(chosen), share * (1 - share) / variance)) if variance else float(len(chosen))


@dataclass(frozen=True)
class Roc:
    """(k,) false and true positive rates as the threshold falls, of `members` and `others`."""

    false_positive: np.ndarray
    true_positive: np.ndarray
    members: Sample
    others: Sample

    def area(self, *, confidence: float = 0.95) -> Rate:
        """AUC with DeLong's interval (1988), in which a user counts once; 0.5 is a coin."""
        area = float(np.trapezoid(self.true_positive, self.false_positive))
        beaten = _share_below(self.members.scores, self.others.scores)
        beating = 1 - _share_below(self.others.scores, self.members.scores)
        variance = self.members.variance(beaten) + self.others.variance(beating)
        half = stats.norm.ppf((1 + confidence) / 2) * np.sqrt(variance)
        return Rate(area, max(0.0, area - half), min(1.0, area + half))

    def true_positive_at(self, false_positive: float, *, confidence: float = 0.95) -> Rate:
        """The largest true positive rate at no more than `false_positive`, and an interval of the one at exactly that.

        Too few strangers settle no end of it: the interval is then open on that side.
        """
        allowed = self.false_positive <= false_positive
        value = float(self.true_positive[allowed].max())
        alarms = np.arange(len(self.others) + 1)
        threshold = self._threshold(int(np.flatnonzero(allowed)[-1]))
        scale = self.others.worth(self.others.scores >= threshold) / len(self.others)
        count, tail = scale * len(self.others), (1 - confidence) / 4
        # Of a threshold that leaves so many strangers above: is its false positive rate less, is it more?
        surely_less = (
            stats.beta.sf(false_positive, scale * alarms + 1, np.maximum(count - scale * alarms, 1e-9)) <= tail
        )
        surely_more = stats.beta.cdf(false_positive, scale * alarms, count - scale * alarms + 1) <= tail
        seen = np.rint(self.false_positive * len(self.others)).astype(int)
        lower, upper = 0.0, 1.0
        if surely_less.any():
            place = int(np.flatnonzero(seen <= alarms[surely_less].max())[-1])
            hits, of = self._hits(place)
            lower = float(stats.beta.ppf(tail, hits, of - hits + 1)) if hits else 0.0
        if surely_more[1:].any():
            place = int(np.flatnonzero(seen >= 1 + int(np.argmax(surely_more[1:])))[0])
            hits, of = self._hits(place)
            upper = float(stats.beta.ppf(1 - tail, hits + 1, of - hits)) if hits < of else 1.0
        return Rate(value, min(lower, value), max(upper, value))

    def _threshold(self, place: int) -> float:
        """The score from which on there is an alarm at a point of the curve."""
        if not place:
            return np.inf
        every = np.concatenate([self.members.scores, self.others.scores])
        return float(np.unique(every)[::-1][place - 1])

    def _hits(self, place: int) -> tuple[float, float]:
        """Members found at a point of the curve, and of how many, as independent ones."""
        found = self.members.scores >= self._threshold(place)
        worth = self.members.worth(found)
        return worth * float(found.mean()), worth


def roc(scores: np.ndarray, member: np.ndarray, *, users: np.ndarray | None = None) -> Roc:
    """The ROC of (n,) scores against (n,) bool; equal scores move together.

    Parameters
    ----------
    users
        (n,) whose each score is; empty: each is of a user of its own.

    Raises
    ------
    InvalidInput
        There are no members, or only members.
    """
    scores, member = np.asarray(scores, dtype=np.float64), np.asarray(member, dtype=bool)
    if not member.any() or member.all():
        raise InvalidInput(f"an attack is judged on members and others; there are {member.sum()} and {(~member).sum()}")
    whose = np.arange(len(scores)) if users is None else np.unique(users, return_inverse=True)[1]
    samples = [Sample(scores[side], np.unique(whose[side], return_inverse=True)[1]) for side in (member, ~member)]
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)
    hits, alarms = np.cumsum(member[order])[last], np.cumsum(~member[order])[last]
    members, others = samples
    return Roc(np.append(0, alarms / len(others)), np.append(0, hits / len(members)), members, others)


def _share_below(scores: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(n,) of each score, the share of others below it; equal ones count half."""
    ordered = np.sort(others)
    ends = [np.searchsorted(ordered, scores, side=side) for side in ("left", "right")]
    return sum(ends) / (2 * len(others))
