"""Reciprocals of shared numbers of any size, each to the same relative precision.

Compared at once with lower · 4^j for every j, x falls into one of J + 1 ranges; the one-hot bits o_j of its range give
z = Σ_j o_j 4^(J-j) x in [1, 4) as an exact integer, by one selection. A Fourier series (see `series`) inverts z, and
the same factor scales back: 1 / x = (1 / z) Σ_j o_j 4^(J-j), an exact product too; a power of two is left, which is
only a change of fraction bits. Newton's steps would need four rounds each; the series with its truncation takes two.

Seven rounds; with J = 11 (up to 2^13) 82 bytes an element online, 446 offline. Below the lowest range no bit is set and
the result is 0; beyond the highest it is whatever the series, which is bounded everywhere, says: it never wraps around.
Source: normalisation as in Catrina and Saxena, FC 2010; the inversion by series is this project's.
"""

import math

import numpy as np

from components.mpc.compare import at_least
from components.mpc.fourier import series_of
from components.mpc.multiply import multiply, truncate
from components.mpc.select import select_and_convert
from components.mpc.series import INVERSE
from components.mpc.shared import Shared, SharedBits

PRECISION = 22
"""Fraction bits of 1/z in (1/4, 1]: a unit is at most 2^-20 of it."""


def reciprocal(
    x: Shared, upper: float, *, also_at_least: float | None = None, lower_bits: int = 10, site: str = "reciprocal"
) -> tuple[Shared, SharedBits | None]:
    """1 / x for 2^-lower_bits <= x <= upper, with a relative error of at most 2^-18; 0 for smaller x.

    x may be anything within ±upper. The result has `reciprocal_fraction(upper, lower_bits=lower_bits)` fraction bits.
    Also [x >= also_at_least], when given, from the same comparison.
    """
    steps = _steps(upper, lower_bits)
    thresholds = [4.0**step * 2.0**-lower_bits for step in range(steps + 1)]
    extra = [] if also_at_least is None else [also_at_least]
    # |x - t| <= upper + t, with every t <= upper but perhaps the extra one.
    bits = 2 + x.fraction + max(1, math.ceil(math.log2(max([upper, *map(abs, extra)]))))
    reached = at_least(x, np.array(thresholds + extra), bits=bits, site=site)
    ranges = reached[: steps + 1] ^ _shifted(reached, steps + 1)

    selected, one_hot = select_and_convert(ranges, x, site=f"{site}.normalise")
    z = _scaled_sum(selected, steps).rescaled(x.fraction + 2 * steps - lower_bits)
    inverse = truncate(series_of(z, INVERSE, site=f"{site}.series"), PRECISION, site=f"{site}.truncate")
    scaled = multiply(_scaled_sum(one_hot, steps), inverse, site=f"{site}.scale")
    return scaled.rescaled(PRECISION + 2 * steps - lower_bits), reached[steps + 1] if extra else None


def reciprocal_fraction(upper: float, *, lower_bits: int = 10) -> int:
    """Fraction bits of a reciprocal: 2^-fraction is a fine enough step at 1 / upper."""
    return PRECISION + 2 * _steps(upper, lower_bits) - lower_bits


def _steps(upper: float, lower_bits: int) -> int:
    """The least J with upper < 4^(J + 1) / 2^lower_bits."""
    return max(0, math.floor((math.log2(upper) + lower_bits) / 2))


def _shifted(reached: SharedBits, count: int) -> SharedBits:
    """The bits of the next threshold; beyond the last there is none."""
    words = np.zeros((count, *reached.shape[1:]), dtype=np.uint8)
    words[:-1] = reached.words[1:count]
    return SharedBits(reached.engine, words)


def _scaled_sum(parts: Shared, steps: int) -> Shared:
    """Σ_j 4^(steps - j) parts_j."""
    powers = np.array([4 ** (steps - step) for step in range(steps + 1)])
    return parts.times(powers.reshape(-1, *[1] * (len(parts.shape) - 1))).sum(axis=0)
