"""Division of shared numbers: y / x for positive x of any size in a public range, and 0 for smaller x.

x is brought into [1, 4) by a shared power of four s, found by comparing it with all powers at once (one masked opening
serves every comparison). Let b_k = [x >= 4^k], and [x >= lower] for the lowest power. As each b_k implies the one
before, s = 4^(K - k) for the largest 4^k <= x is a sum Σ_k f_k b_k of public f_k, and so is 0 for x < lower. In [1, 4)
1 / x is smooth and a short Fourier series gives it in one round. The same s scales y first, exactly, so that small
quotients of large numbers keep their precision: y / x = (y s)(1 / (x s)).

The products x s and y s are integers times integers; they and the result stay below 2^62 because |y / x| is bounded.
Six rounds: three to compare, one to scale, one for the series, one to truncate both factors; their product is free.
Source: normalisation as in Catrina and Saxena, FC 2010; the inversion by series is this project's.
"""

import math

import numpy as np

from components.mpc.compare import at_least
from components.mpc.fourier import series_of
from components.mpc.multiply import multiply_truncated
from components.mpc.select import scale
from components.mpc.series import INVERSE
from components.mpc.shared import Shared

PRECISION = 22
"""Fraction bits of 1 / (x s) in (1/4, 1]: a unit is at most 2^-20 of it."""


def quotient(
    y: Shared, x: Shared, *, lower: float, upper: float, bound: float, site: str = "quotient"
) -> tuple[Shared, Shared]:
    """y / x with a relative error of 2^-18 and many fraction bits, to be truncated by the caller; and [x >= lower].

    Parameters
    ----------
    y : of the shape of x, or several, (V, *x.shape).
    x : within ±upper; y / x is 0, up to a unit, where it is below `lower`.
    lower, upper : public.
    bound : of |y / x| for x >= lower; words of |y s| must fit, |y / x| 4^(K+1) 2^f < 2^62 with 4^K <= upper.

    Returns
    -------
    quotient : of the shape of y.
    reached : the bits [x >= lower] as ring elements of no fraction bits, of the shape of x.
    """
    engine, size = x.engine, x.size
    first = math.floor(math.log(lower, 4))
    last = max(first, math.floor(math.log(upper, 4)))
    thresholds = [lower, *(4.0**power for power in range(first + 1, last + 1))]
    # |x - t| < 2^(bits - 1), with some room for what x gathered in rounding.
    bits = 1 + x.fraction + math.ceil(math.log2(1.001 * (max(upper, lower) + 1)))
    reached = at_least(x.reshape(-1), np.array(thresholds), bits=min(bits, 64), site=f"{site}.size")
    powers = [4 ** (last - power) for power in range(first, last + 1)]
    factors = np.diff(powers, prepend=0)
    values = Shared(engine, np.concatenate([x.words.reshape(1, size), y.words.reshape(-1, size)]), 0)
    scaled, ring_bits = scale(reached, factors, values, site=f"{site}.scale")
    inverse = series_of(scaled[0].rescaled(x.fraction + 2 * last), INVERSE, site=f"{site}.series")
    numerator = scaled[1:].rescaled(y.fraction + 2 * last)
    room = 60 - PRECISION - math.ceil(math.log2(bound))
    result, _ = multiply_truncated(numerator, min(numerator.fraction, room), inverse, PRECISION, site=f"{site}.product")
    return result.reshape(*y.shape), ring_bits[0].reshape(*x.shape)
