"""How much privacy was lost at least: lower bounds of epsilon from attacks, which no honest claim may lie below.

Two worlds, with the canary and without, give two samples of scores. A threshold is chosen on one half; on the other,
its true and false positive rates have Clopper-Pearson bounds, and (epsilon, delta)-differential privacy says

    TPR <= e^epsilon FPR + delta        and        1 - FPR <= e^epsilon (1 - TPR) + delta.

n samples can show no more than about ln(n / 4). If the worlds differ like two normal distributions, which DP-SGD's sums
of noise nearly do, mu = z(TPR) - z(FPR) at a comfortable threshold says far more (Nasr et al. 2023). With many canaries
in one run, how many of the auditor's guesses are right is bounded under every epsilon (Steinke, Nasr, Jagielski 2023,
thm 5.2); m canaries show no more than if every guess were right, which the term 2 m delta holds down further. An audit
that could not have shown what is claimed cannot refute it either, and has to say so.
"""

import math

import numpy as np
from scipy import optimize, stats

from components.errors import InvalidInput

MOST = 50.0
"""Epsilon above which no bound is looked for."""
NEARLY = 0.9
"""Of what guesses about all canaries could show: for little more, half as many again would be guessed, unsurely."""


def two_world_bound(with_it: np.ndarray, without: np.ndarray, *, delta: float, confidence: float = 0.95) -> float:
    """Epsilon at least, whatever the distributions, from scores (n,) and (m,) that are larger with the canary."""
    _require_several(with_it, without)
    threshold = _best_threshold(with_it[::2], without[::2], delta, confidence)
    return max(0.0, _plain(*_bounds(with_it[1::2], without[1::2], threshold, confidence), delta))


def gaussian_bound(with_it: np.ndarray, without: np.ndarray, *, delta: float, confidence: float = 0.95) -> float:
    """Epsilon at least, if the two worlds differ as two normal distributions of one variance."""
    _require_several(with_it, without)
    # Rates are surest in the middle, and every threshold has the same shift.
    threshold = (np.median(with_it[::2]) + np.median(without[::2])) / 2
    return gaussian_epsilon(_shift(*_bounds(with_it[1::2], without[1::2], threshold, confidence)), delta)


def gaussian_epsilon(shift: float, delta: float) -> float:
    """Epsilon of N(0, 1) against N(shift, 1) at delta (Balle and Wang 2018)."""

    def excess(epsilon: float) -> float:
        log_second = epsilon + stats.norm.logcdf(-shift / 2 - epsilon / shift)
        return stats.norm.cdf(shift / 2 - epsilon / shift) - math.exp(log_second) - delta

    if shift <= 0 or excess(0.0) <= 0:
        return 0.0
    return MOST if excess(MOST) > 0 else float(optimize.brentq(excess, 0.0, MOST))


def one_run_bound(*, canaries: int, guesses: int, right: int, delta: float, confidence: float = 0.95) -> float:
    """Epsilon at least, from one run: of `guesses` about `canaries`, each put in on a coin's toss, `right` were right.

    Raises
    ------
    InvalidInput
        The counts are not 0 <= right <= guesses <= canaries.
    """
    if not 0 <= right <= guesses <= canaries or not canaries:
        raise InvalidInput(f"{right} right of {guesses} guesses on {canaries} canaries make no sense")

    def likely(epsilon: float) -> float:
        return _chance_of_right(canaries, guesses, right, epsilon, delta) - (1 - confidence)

    if likely(0.0) >= 0:
        return 0.0
    return MOST if likely(MOST) < 0 else float(optimize.brentq(likely, 0.0, MOST))


def guesses_for(*, canaries: int, delta: float, confidence: float = 0.95) -> int:
    """How many guesses to make about `canaries`: the fewest that could show nine tenths of what guessing all could.

    Chosen before anything is seen. With the guesses grows what could be shown, and how many of them are unsure.
    """

    def most(guesses: int) -> float:
        return one_run_bound(canaries=canaries, guesses=guesses, right=guesses, delta=delta, confidence=confidence)

    enough, low, high = NEARLY * most(canaries), 0, canaries
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if most(middle) >= enough else (middle, high)
    return high


def _chance_of_right(canaries: int, guesses: int, right: int, epsilon: float, delta: float) -> float:
    """An upper bound on the probability of `right` or more right guesses under (epsilon, delta)."""
    accuracy = 1 / (1 + math.exp(-epsilon))
    below = stats.binom.pmf(np.arange(right - 1, -1, -1), guesses, accuracy)
    steepest = np.max(np.cumsum(below) / np.arange(1, right + 1), initial=0.0)
    return min(1.0, float(stats.binom.sf(right - 1, guesses, accuracy) + 2 * canaries * delta * steepest))


def _plain(true_positive: float, false_positive: float, delta: float) -> float:
    """The larger of what the two inequalities say; takes rates, or bounds of rates on the careful side."""
    said = [(true_positive - delta, false_positive), (1 - false_positive - delta, 1 - true_positive)]
    return max((math.log(left / right) for left, right in said if left > 0 and right > 0), default=0.0)


def _shift(true_positive: float, false_positive: float) -> float:
    return float(stats.norm.ppf(true_positive) - stats.norm.ppf(false_positive))


def _require_several(with_it: np.ndarray, without: np.ndarray) -> None:
    if min(len(with_it), len(without)) < 4:
        raise InvalidInput(f"{len(with_it)} and {len(without)} scores are too few for a bound; make more runs")


def _bounds(with_it: np.ndarray, without: np.ndarray, threshold: float, confidence: float) -> tuple[float, float]:
    """The true positive rate at least and the false one at most, both at once with `confidence`."""
    each = 1 - (1 - confidence) / 2
    hits = stats.binomtest(int((with_it >= threshold).sum()), len(with_it), alternative="greater")
    alarms = stats.binomtest(int((without >= threshold).sum()), len(without), alternative="less")
    return float(hits.proportion_ci(each, method="exact").low), float(alarms.proportion_ci(each, method="exact").high)


def _best_threshold(with_it: np.ndarray, without: np.ndarray, delta: float, confidence: float) -> float:
    """The threshold at which the bounds of rates say most."""
    ordered_with, ordered_without = np.sort(with_it), np.sort(without)
    thresholds = np.quantile(np.concatenate([with_it, without]), np.linspace(0.002, 0.998, 400))
    hits = len(with_it) - np.searchsorted(ordered_with, thresholds)
    alarms = len(without) - np.searchsorted(ordered_without, thresholds)
    # Bounds, not rates: else the threshold with no alarm at all would always seem best.
    tail = (1 - confidence) / 2
    low = stats.beta.ppf(tail, np.maximum(hits, 1e-9), len(with_it) - hits + 1)
    high = stats.beta.ppf(1 - tail, alarms + 1, np.maximum(len(without) - alarms, 1e-9))
    return float(thresholds[int(np.argmax([_plain(t, f, delta) for t, f in zip(low, high, strict=True)]))])
