"""Smooth functions of shared numbers by dealt sine waves: one opening whatever the function.

With a mask r uniform on all 64 bits, open c = x + r. The dealer deals S_k = sin kwr and C_k = cos kwr, w = 2π / period
with the period a power of two in words, so that wrapping around changes nothing. Then

    sin kwx = sin kwc C_k - cos kwc S_k,    cos kwx = cos kwc C_k + sin kwc S_k

are linear in what is shared, and so is any Fourier series (see `series`): several functions of x cost no more traffic
than one. One round and 8 bytes online, 16 bytes a term offline; then a truncation. The same c serves comparisons of x
with public bounds, outside of which the series means nothing (at most its `bound`, so that it cannot wrap around).

Every party must multiply its shares by the same integers: sines of public numbers are computed here from additions and
multiplications alone, which IEEE 754 makes the same everywhere, unlike a library's sine.
Source: Deforth et al., PoPETs 2022(4) (Fourier series with a dealer), after Boura et al., FC 2018.
"""

import math
from collections.abc import Sequence

import numpy as np
from numba import njit

from components.mpc.borrow import deal_digits, negative_differences
from components.mpc.engine import Engine
from components.mpc.fixed_point import encode
from components.mpc.multiply import truncate
from components.mpc.ring import BITS
from components.mpc.select import select
from components.mpc.series import EXPONENTIAL, SIGMOID, SLOPE, Series
from components.mpc.shared import Shared, SharedBits, concatenate_bits

WAVE_FRACTION = 28
"""Fraction bits of a dealt wave."""

_CHUNK = 1 << 12
"""Rows whose waves stay in the cache while they are made or used."""

_BLOCK = 256
"""Numbers whose recurrences run side by side."""

_ROUNDING = 1.5 * 2.0**52
"""Added to a number below 2^51 it leaves the nearest integer in the low bits, faster than a conversion."""
_ROUNDING_BITS = np.float64(_ROUNDING).view(np.uint64)

_COARSE = 4
"""Digits a bound of validity may leave out: it may then err by 2^16 words, 1/16, for which the fits leave room."""


def sigmoid(x: Shared, *, site: str = "sigmoid") -> tuple[Shared, Shared]:
    """Probability p = 1 / (1 + e^-x) and slope p (1 - p), FRACTION bits, of numbers of FRACTION bits.

    Both within 4e-6 of the truth for every x, 2e-6 for |x| < 11.9; beyond 12 they are constants. Five rounds.
    """
    tail = 3e-6  # between sigmoid(-12) and 0
    (p, slope), reached = _evaluate(x, [SIGMOID, SLOPE], [-12.0, 12.0], site)
    low, high = reached[0], reached[1]
    values = _stack([p + (0.5 - tail), -p + (0.5 - tail), slope + -tail])
    kept = select(concatenate_bits([reached, (low ^ high).reshape(1, *x.shape)]), values, site=f"{site}.select")
    # From -12 on the series; from 12 on what is missing to the constant of the other tail.
    return kept[0] + kept[1] + tail, kept[2] + tail


def exponential(x: Shared, *, site: str = "exponential") -> Shared:
    """e^x for x <= 0, FRACTION bits; 0 below -14, where half a unit is all there is. Within 3e-6. Five rounds."""
    (y,), reached = _evaluate(x, [EXPONENTIAL], [-14.0], site)
    return select(reached[0], y, site=f"{site}.select")


def _evaluate(
    x: Shared, functions: Sequence[Series], bounds: list[float], site: str
) -> tuple[list[Shared], SharedBits]:
    """Series of x, and the bits [x >= bound], (bounds, *x.shape), true from up to 1/16 below a bound on."""
    engine = x.engine
    r = engine.uniform((x.size,))
    c = None if engine.deals else engine.open(f"{site}.mask", x.words.reshape(-1) + r)[0]
    values = series_of_opened(engine, r, c, x.fraction, functions)
    tables = deal_digits(engine, r, BITS, skipped=_COARSE)
    below = negative_differences(engine, tables, c, encode(bounds, x.fraction), BITS, site=f"{site}.digits")
    whole = truncate(values, site=f"{site}.truncate").reshape(len(functions), *x.shape)
    return [whole[[k]].reshape(*x.shape) for k in range(len(functions))], ~below.reshape(len(bounds), *x.shape)


def series_of(x: Shared, function: Series, *, site: str) -> Shared:
    """A series of x, to be truncated by the caller. One round."""
    r = x.engine.uniform((x.size,))
    c = None if x.engine.deals else x.engine.open(site, x.words.reshape(-1) + r)[0]
    return series_of_opened(x.engine, r, c, x.fraction, [function]).reshape(*x.shape)


def series_of_opened(
    engine: Engine, r: np.ndarray, c: np.ndarray | None, fraction: int, functions: Sequence[Series]
) -> Shared:
    """Series (functions, n) of c - r with as many fraction bits as fit, given the mask r and, to parties, c."""
    period, terms = functions[0].period, max(function.terms for function in functions)
    period_bits = period.bit_length() - 1 + fraction
    largest = math.ceil(math.log2(max(function.bound for function in functions) + 1))
    scale = 61 - WAVE_FRACTION - largest
    coefficients = np.stack([function.coefficients(terms) for function in functions]) * 2.0**scale
    values = np.zeros((len(functions), len(r)), dtype=np.uint64)
    for start in range(0, len(r), _CHUNK):
        part = slice(start, start + _CHUNK)
        waves = engine.dealt(lambda part=part: _waves(r[part], period_bits, terms), (2 * terms, len(r[part])))
        if not engine.deals:
            _combine(c[part], period_bits, waves, coefficients, values[:, part])
    shared = Shared(engine, values, WAVE_FRACTION + scale)
    constants = [sum(function.cosines[:1]) for function in functions]
    return shared + np.array(constants).reshape(-1, 1)


def _stack(values: Sequence[Shared]) -> Shared:
    return Shared(values[0].engine, np.stack([value.words for value in values]), values[0].fraction)


@njit(cache=True, nogil=True)
def _turn(words, period_bits, sine, cosine):
    """Sine and cosine of 2π word / 2^period_bits: Taylor's series in [-π/4, π/4], turned by quarters."""
    mask, unit = (np.uint64(1) << np.uint64(period_bits)) - np.uint64(1), 2.0**-period_bits
    for i in range(len(words)):
        turns = np.float64(np.int64(words[i] & mask)) * unit
        quarters = np.floor(4.0 * turns + 0.5)
        angle = (turns - 0.25 * quarters) * 6.283185307179586
        z = angle * angle
        s = 1.0 - z * (1.0 / 156.0) * (1.0 - z * (1.0 / 210.0))
        s = 1.0 - z * (1.0 / 42.0) * (1.0 - z * (1.0 / 72.0) * (1.0 - z * (1.0 / 110.0) * s))
        s = angle * (1.0 - z * (1.0 / 6.0) * (1.0 - z * (1.0 / 20.0) * s))
        c = 1.0 - z * (1.0 / 132.0) * (1.0 - z * (1.0 / 182.0) * (1.0 - z * (1.0 / 240.0)))
        c = 1.0 - z * (1.0 / 30.0) * (1.0 - z * (1.0 / 56.0) * (1.0 - z * (1.0 / 90.0) * c))
        c = 1.0 - z * 0.5 * (1.0 - z * (1.0 / 12.0) * c)
        quarter = np.int64(quarters)
        odd = (quarter & 1) == 1
        sine[i] = (c if odd else s) * np.float64(1 - (quarter & 2))
        cosine[i] = (s if odd else c) * np.float64(1 - ((quarter + 1) & 2))


@njit(cache=True, nogil=True)
def _waves(r, period_bits, terms):
    """The dealer's table (2 terms, n): sin kwr and cos kwr in turn, by Chebyshev's recurrence in k."""
    waves, unit = np.empty((2 * terms, len(r)), dtype=np.uint64), 2.0**WAVE_FRACTION
    state = np.empty((5, _BLOCK))
    words = state[4].view(np.uint64)
    for start in range(0, len(r), _BLOCK):
        size = min(_BLOCK, len(r) - start)
        sine, cosine, before, twice = state[0, :size], state[1, :size], state[2, :size], state[3, :size]
        _turn(r[start : start + size], period_bits, sine, cosine)
        twice[:] = 2.0 * cosine
        for wave in range(2):
            now, ahead = (sine, 0.0) if wave == 0 else (cosine, 1.0)
            before[:] = ahead
            for k in range(terms):
                row = waves[2 * k + wave, start : start + size]
                for i in range(size):
                    value = now[i]
                    state[4, i] = value * unit + _ROUNDING
                    now[i] = twice[i] * value - before[i]
                    before[i] = value
                for i in range(size):
                    row[i] = words[i] - _ROUNDING_BITS
    return waves


@njit(cache=True, nogil=True)
def _combine(c, period_bits, waves, coefficients, values):
    """Add Σ_k of the dealt waves times their public multipliers to `values` (functions, n)."""
    functions, _, terms = coefficients.shape
    state = np.empty((7, _BLOCK))
    sine_words, cosine_words = state[5].view(np.uint64), state[6].view(np.uint64)
    for start in range(0, len(c), _BLOCK):
        size = min(_BLOCK, len(c) - start)
        sine, cosine, twice = state[0, :size], state[1, :size], state[2, :size]
        sine_before, cosine_before = state[3, :size], state[4, :size]
        _turn(c[start : start + size], period_bits, sine, cosine)
        twice[:] = 2.0 * cosine
        sine_before[:], cosine_before[:] = 0.0, 1.0
        for k in range(terms):
            sines, cosines = waves[2 * k, start : start + size], waves[2 * k + 1, start : start + size]
            for f in range(functions):
                a, b = coefficients[f, 0, k], coefficients[f, 1, k]
                total = values[f, start : start + size]
                for i in range(size):
                    state[5, i] = b * sine[i] - a * cosine[i] + _ROUNDING
                    state[6, i] = a * sine[i] + b * cosine[i] + _ROUNDING
                for i in range(size):
                    total[i] += (sine_words[i] - _ROUNDING_BITS) * sines[i]
                    total[i] += (cosine_words[i] - _ROUNDING_BITS) * cosines[i]
            for i in range(size):
                s, d = sine[i], cosine[i]
                sine[i], cosine[i] = twice[i] * s - sine_before[i], twice[i] * d - cosine_before[i]
                sine_before[i], cosine_before[i] = s, d
