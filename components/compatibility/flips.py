"""Flips between an old and a new model on the same rows (Yan et al., CVPR 2021).

One small value object holds the four counts; every rate of being right (negative flip rate, relative NFR) is
derived from it, overall and per group, so that no two places can disagree. Churn stands beside it: it asks what
changed, not who was right.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class FlipCounts:
    """Rows by who was right: both, only the old model (negative flip), only the new (positive flip), neither."""

    both_right: int
    negative: int
    positive: int
    both_wrong: int

    @property
    def rows(self) -> int:
        return self.both_right + self.negative + self.positive + self.both_wrong

    @property
    def negative_flip_rate(self) -> float:
        """NFR = b / N; NaN without rows."""
        return _share(self.negative, self.rows)

    @property
    def positive_flip_rate(self) -> float:
        """PFR = c / N; NaN without rows."""
        return _share(self.positive, self.rows)

    @property
    def error_old(self) -> float:
        return _share(self.positive + self.both_wrong, self.rows)

    @property
    def error_new(self) -> float:
        return _share(self.negative + self.both_wrong, self.rows)

    @property
    def relative_nfr(self) -> float:
        """NFR over what two independent models of these error rates would make; 1 means no better than independent."""
        return _share(self.negative_flip_rate, (1 - self.error_old) * self.error_new)


def count_flips(old_right: np.ndarray, new_right: np.ndarray) -> FlipCounts:
    """Count flips from two (n,) boolean arrays, row-aligned."""
    code = 2 * np.asarray(old_right, dtype=np.int8) + np.asarray(new_right, dtype=np.int8)
    both_wrong, positive, negative, both_right = np.bincount(code, minlength=4).tolist()
    return FlipCounts(both_right, negative, positive, both_wrong)


def churn(old_decisions: np.ndarray, new_decisions: np.ndarray, *, tolerance: float = 0.0) -> float:
    """Share of (n,) decisions that changed, by more than `tolerance` for numbers; needs no labels, NaN without rows."""
    if tolerance:
        changed = np.abs(np.asarray(new_decisions) - np.asarray(old_decisions)) > tolerance
    else:
        changed = np.asarray(old_decisions) != np.asarray(new_decisions)
    return _share(int(np.count_nonzero(changed)), len(changed))


def _share(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
