"""Was sampling what the account supposes? Who took part in which step, against independent draws at one rate.

Shuffled batches look like Poisson samples to the eye and are accounted as such in much published work, although they
may protect less (Chua et al. 2024; Annamalai et al. 2024). What gives them away is what they lack: chance. Sizes of
batches and how often each unit took part have the variance of binomial counts under Poisson sampling, and none when
shuffled.
"""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from components.errors import InvalidInput


def poisson_p_value(in_step: Sequence[int], of_unit: Sequence[int], rate: float) -> float:
    """The probability under Poisson sampling of counts as far from binomial as these, in mean or in spread.

    Parameters
    ----------
    in_step, of_unit
        (steps,) units that took part in each step and (units,) steps that each took part in. Of several hundred by
        several hundred even slight faults show.

    Raises
    ------
    InvalidInput
        There are fewer than two steps or units, or the two do not count the same.
    """
    in_step, of_unit = np.asarray(in_step), np.asarray(of_unit)
    steps, units, taken = len(in_step), len(of_unit), int(in_step.sum())
    if taken != of_unit.sum():
        raise InvalidInput(f"steps count {taken} and units {of_unit.sum()} that took part; count the same samples")
    if rate == 1:
        return float(taken == steps * units)  # everybody takes part, and nothing is left to chance
    if min(steps, units) < 2 or not 0 < rate < 1:
        raise InvalidInput(f"{steps} steps of {units} units at rate {rate:g} cannot be judged; record more steps")
    total = stats.binomtest(taken, steps * units, rate).pvalue
    spreads = [_spread(counts, of, rate) for counts, of in ((in_step, units), (of_unit, steps))]
    return min(1.0, 3 * min(total, *spreads))


def _spread(counts: np.ndarray, of: int, rate: float) -> float:
    """Two-sided test of the dispersion of binomial counts about their known mean.

    The sum of squares is taken for a multiple of chi-square that has its mean and its variance, which is larger than
    chi-square's where counts are small: a square of one such count has 2 + (1 - 6 q (1 - q)) / (n q (1 - q)).
    """
    variance = of * rate * (1 - rate)
    statistic = float(((counts - of * rate) ** 2).sum() / variance)
    scale = 1 + (1 - 6 * rate * (1 - rate)) / (2 * variance)
    spread = stats.chi2(len(counts) / scale, scale=scale)
    return 2 * min(spread.cdf(statistic), spread.sf(statistic))
