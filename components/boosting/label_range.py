"""What owners tell one another of a regression label, so that sums of it can be whole numbers that do not overflow."""

import math

import numpy as np


def label_range(labels: np.ndarray) -> tuple[float, float]:
    """The least and largest label, rounded outward to two digits: what others learn of them. Never of width zero."""
    low, high = float(labels.min()), float(labels.max())
    step = 10.0 ** (math.floor(math.log10(max(high - low, abs(low), abs(high), 1e-9))) - 1)
    low, high = math.floor(low / step) * step, math.ceil(high / step) * step
    return low, high if high > low else low + step
