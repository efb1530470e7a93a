"""Division of shared numbers: y / x for positive x of any size in a public range.

x is brought into [1, 4) by a shared power of four, found by comparing it with all powers at once (one masked opening
serves every comparison); there 1 / x is smooth and a short Fourier series gives it in one round. The same power scales
y first, exactly, so that small quotients of large numbers keep their precision: y / x = (y s)(1 / (x s)).

With x in [4^k, 4^(k+1)) and s = 4^(K - k), the products x s and y s are integers times integers; they and the result
stay below 2^62 because |y / x| is bounded. Outside the range the result is of no use but breaks nothing.
"""

import math

import numpy as np

from components.mpc.bits import arithmetic
from components.mpc.compare import at_least
from components.mpc.fixed_point import FRACTION
from components.mpc.fourier import series_of
from components.mpc.multiply import multiply, multiply_each, truncate
from components.mpc.reciprocal import PRECISION
from components.mpc.series import INVERSE
from components.mpc.shared import Shared, SharedBits

SMALLEST = 2.0**-10


def quotient(
    y: Shared,
    x: Shared,
    *,
    upper: float,
    bound: float,
    lower: float = 0.0,
    also_at_least: float | None = None,
    fraction: int = 24,
    site: str = "quotient",
) -> tuple[Shared, SharedBits | None]:
    """y / x (any shape) with `fraction` bits, for x in [max(lower, 2^-10), upper] and |y / x| <= `bound`.

    `also_at_least` asks for the bits [x >= also_at_least] on the way, which costs next to nothing here.
    """
    powers = np.arange(math.floor(math.log(max(lower, SMALLEST), 4)), math.ceil(math.log(upper, 4)) + 1)
    top = int(powers[-1])
    thresholds = 4.0 ** powers[1:]
    asked = thresholds if also_at_least is None else np.append(thresholds, also_at_least)
    bits = at_least(x, asked, site=f"{site}.size")
    above = arithmetic(bits[: len(thresholds)], site=f"{site}.size")
    # s = 4^(K - k) for the largest power 4^k <= x, as a telescoping sum over the powers that x reaches.
    steps = 4 ** (top - powers[1:]) - 4 ** (top - powers[:-1])
    scale = above.times(steps.reshape(-1, *[1] * len(x.shape))).sum(axis=0) + 4.0 ** (top - int(powers[0]))
    scaled_x, scaled_y = multiply_each(scale, [x, y], site=f"{site}.scale")
    normal = truncate(scaled_x.rescaled(x.fraction + 2 * top), FRACTION, site=f"{site}.normal")
    inverse = truncate(series_of(normal, INVERSE, site=f"{site}.series"), PRECISION, site=f"{site}.inverse")
    room = 60 - inverse.fraction - math.ceil(math.log2(bound))
    numerator = truncate(
        scaled_y.rescaled(y.fraction + 2 * top), min(y.fraction + 2 * top, room), site=f"{site}.numerator"
    )
    result = truncate(multiply(numerator, inverse, site=f"{site}.product"), fraction, site=f"{site}.product")
    return result, None if also_at_least is None else bits[len(thresholds)]
