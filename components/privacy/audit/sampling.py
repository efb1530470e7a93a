"""Was sampling what the account supposes? Who took part in which step, against independent draws at one rate.

Shuffled batches look like Poisson samples to the eye and are accounted as such in much published work, although they
may protect less (Chua et al. 2024; Annamalai et al. 2024). What gives them away is what they lack: chance. Sizes of
batches and how often each unit took part have the variance of binomial counts under Poisson sampling, and none when
shuffled.
"""

import numpy as np
from scipy import stats

from components.errors import InvalidInput


def poisson_p_value(present: np.ndarray, rate: float) -> float:
    """The probability under Poisson sampling of counts as far from binomial as these, in mean or in spread.

    Parameters
    ----------
    present
        (steps, units) bool: who took part. Of several hundred by several hundred even slight faults show.

    Raises
    ------
    InvalidInput
        There are fewer than two steps or units, or everybody always takes part.
    """
    present = np.asarray(present, dtype=bool)
    if present.ndim != 2 or min(present.shape) < 2 or not 0 < rate < 1:
        raise InvalidInput(
            f"participation of shape {present.shape} at rate {rate:g} cannot be judged; record more steps"
        )
    total = stats.binomtest(int(present.sum()), present.size, rate).pvalue
    spreads = [_spread(present.sum(axis=axis), present.shape[axis], rate) for axis in (0, 1)]
    return min(1.0, 3 * min(total, *spreads))


def _spread(counts: np.ndarray, of: int, rate: float) -> float:
    """Two-sided chi-square test of the dispersion of binomial counts about their known mean."""
    statistic = float(((counts - of * rate) ** 2).sum() / (of * rate * (1 - rate)))
    return 2 * min(stats.chi2.cdf(statistic, len(counts)), stats.chi2.sf(statistic, len(counts)))
