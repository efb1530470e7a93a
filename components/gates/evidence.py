"""Three kinds of evidence a check can rest on, each a vector of hypotheses tested in one way.

All answer the same: the estimate, the p-value of "within the budget" and of "beyond it", bounds at a level, and how
much more data would show the first. `Shares` is exact (Clopper-Pearson), `PairedRises` is Tango's score for two models
on the same rows, `Gaps` Newcombe's hybrid score for two sets of rows.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import ndtr, ndtri

from components.gates.roots import increasing_root
from components.gates.statistics import (
    binomial_at_least,
    binomial_at_most,
    clopper_pearson_lower,
    clopper_pearson_upper,
    newcombe_lower,
    newcombe_upper,
    tango_lower,
    tango_score,
    tango_upper,
)

_MOST_GROWTH = np.log(1e9)
_FARTHEST_Z = 38.0


@dataclass(frozen=True)
class Shares:
    """`events` of `trials` (k,) against `budget`, the highest share allowed."""

    events: np.ndarray
    trials: np.ndarray
    budget: float

    @cached_property
    def value(self) -> np.ndarray:
        return _ratio(self.events, self.trials)

    @cached_property
    def p_within(self) -> np.ndarray:
        return binomial_at_most(self.events, self.trials, self.budget)

    @cached_property
    def p_beyond(self) -> np.ndarray:
        return binomial_at_least(self.events, self.trials, self.budget)

    def lower(self, level: np.ndarray) -> np.ndarray:
        return clopper_pearson_lower(self.events, self.trials, level)

    def upper(self, level: np.ndarray) -> np.ndarray:
        return clopper_pearson_upper(self.events, self.trials, level)

    def growth_needed(self, level: np.ndarray) -> np.ndarray:
        """How many times the data, at these rates, would show it within the budget; NaN where no number would."""

        def margin(log_growth):
            growth = np.exp(log_growth)
            return level - binomial_at_most(self.events * growth, self.trials * growth, self.budget)

        return _growth(margin, self.trials, self.value < self.budget)


@dataclass(frozen=True)
class PairedRises:
    """Rise of error (negative - positive flips) / rows (k,) against `budget`, the highest rise allowed."""

    negative: np.ndarray
    positive: np.ndarray
    rows: np.ndarray
    budget: float

    @cached_property
    def value(self) -> np.ndarray:
        return _ratio(self.negative - self.positive, self.rows)

    @cached_property
    def _score(self) -> np.ndarray:
        return tango_score(self.negative, self.positive, self.rows, self.budget)

    @cached_property
    def p_within(self) -> np.ndarray:
        return ndtr(self._score)

    @cached_property
    def p_beyond(self) -> np.ndarray:
        return ndtr(-self._score)

    def lower(self, level: np.ndarray) -> np.ndarray:
        return tango_lower(self.negative, self.positive, self.rows, -ndtri(level))

    def upper(self, level: np.ndarray) -> np.ndarray:
        return tango_upper(self.negative, self.positive, self.rows, -ndtri(level))

    def growth_needed(self, level: np.ndarray) -> np.ndarray:
        """As for `Shares`; in closed form, since the score grows with the root of the rows."""
        inside = self._score < 0
        return np.where(inside, (ndtri(level) / np.where(inside, self._score, 1.0)) ** 2, np.nan)


@dataclass(frozen=True)
class Gaps:
    """Rate `events / trials` minus that of everyone else (k,) against `budget`, the tolerated difference."""

    events: np.ndarray
    trials: np.ndarray
    other_events: np.ndarray
    other_trials: np.ndarray
    budget: float

    @cached_property
    def value(self) -> np.ndarray:
        return _ratio(self.events, self.trials) - _ratio(self.other_events, self.other_trials)

    @cached_property
    def _z(self) -> np.ndarray:
        """The quantile at which a bound meets the budget: the upper bound, or minus the lower where it is exceeded."""
        inside = self.value <= self.budget

        def distance(z):
            upper, lower = newcombe_upper(*self._counts, z), newcombe_lower(*self._counts, z)
            return np.where(inside, upper - self.budget, self.budget - lower)

        z = increasing_root(distance, 0, _FARTHEST_Z, like=self.trials)
        return np.where(np.isnan(self.value), 0.0, np.where(inside, z, -z))

    @cached_property
    def p_within(self) -> np.ndarray:
        return ndtr(-self._z)

    @cached_property
    def p_beyond(self) -> np.ndarray:
        return ndtr(self._z)

    def lower(self, level: np.ndarray) -> np.ndarray:
        return newcombe_lower(*self._counts, -ndtri(level))

    def upper(self, level: np.ndarray) -> np.ndarray:
        return newcombe_upper(*self._counts, -ndtri(level))

    def growth_needed(self, level: np.ndarray) -> np.ndarray:
        """As for `Shares`; everyone else grows in proportion."""
        z = -ndtri(level)

        def margin(log_growth):
            growth = np.exp(log_growth)
            return self.budget - newcombe_upper(*(count * growth for count in self._counts), z)

        return _growth(margin, self.trials, self.value < self.budget)

    @property
    def _counts(self) -> tuple[np.ndarray, ...]:
        return self.events, self.trials, self.other_events, self.other_trials


Evidence = Shares | PairedRises | Gaps


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=np.asarray(whole) > 0)


def _growth(margin, like: np.ndarray, possible: np.ndarray) -> np.ndarray:
    log_growth = increasing_root(margin, -_MOST_GROWTH, _MOST_GROWTH, like=like)
    reached = possible & (log_growth < _MOST_GROWTH - 1e-6)
    return np.where(reached, np.exp(log_growth), np.nan)
