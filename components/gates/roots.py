"""Roots of many increasing functions at once, bracketed, so that every bound of a thousand groups is found together.

Source: Chandrupatla, Advances in Engineering Software 28 (1997): inverse quadratic interpolation where it is safe, and
bisection elsewhere.
"""

from collections.abc import Callable

import numpy as np

_MOST_STEPS = 100
_RELATIVE, _ABSOLUTE = 1e-13, 1e-15


def increasing_root(
    function: Callable[[np.ndarray], np.ndarray], low: float, high: float, *, like: np.ndarray
) -> np.ndarray:
    """Where an increasing elementwise function crosses 0 in [low, high]; the nearer end where it does not.

    `function` takes and returns arrays of the shape of `like`, and must be finite at both ends.
    """
    shape = np.shape(like)
    newest, other = np.full(shape, float(low)), np.full(shape, float(high))
    at_newest, at_other = function(newest), function(other)
    never, always = at_other < 0, at_newest >= 0
    step = np.full(shape, 0.5)
    with np.errstate(divide="ignore", invalid="ignore"):
        for _ in range(_MOST_STEPS):
            point = newest + step * (other - newest)
            at_point = function(point)
            same_side = (at_point < 0) == (at_newest < 0)
            third, at_third = np.where(same_side, newest, other), np.where(same_side, at_newest, at_other)
            other, at_other = np.where(same_side, other, newest), np.where(same_side, at_other, at_newest)
            newest, at_newest = point, at_point
            tolerance = (_RELATIVE * np.abs(newest) + _ABSOLUTE) / np.abs(other - newest)
            if np.all((tolerance > 0.5) | (at_newest == 0) | never | always):
                break
            along, height = (newest - other) / (third - other), (at_newest - at_other) / (at_third - at_other)
            smooth = (height**2 < along) & ((1 - height) ** 2 < 1 - along)
            quadratic = at_newest / (at_other - at_newest) * at_third / (at_other - at_third)
            quadratic += (
                (third - newest)
                / (other - newest)
                * at_newest
                / (at_third - at_newest)
                * at_other
                / (at_third - at_other)
            )
            step = np.clip(np.where(smooth, quadratic, 0.5), tolerance, np.maximum(1 - tolerance, tolerance))
            step = np.where(np.isfinite(step), step, 0.5)
    return np.where(never, high, np.where(always, low, newest))
