"""Noise on a sum of which every member adds a part before it masks, so that nobody ever sees the sum without it.

A part is discrete Gaussian, N_Z(0, s^2) with P(x) proportional to exp(-x^2 / (2 s^2)), drawn exactly: only integers and
the operating system's randomness are used, since the last bits of floating-point noise can give the secret away.
Source: Canonne, Kamath, Steinke 2020, "The Discrete Gaussian for Differential Privacy", algorithms 1 to 3; Kairouz,
Liu, Steinke 2021, "The Distributed Discrete Gaussian Mechanism".
"""

import os
from collections.abc import Callable

import numpy as np

from components.errors import InvalidInput
from components.federated.mask import WORD

LARGEST_DEVIATION = 1 << 20


def add_noise(vector: np.ndarray, deviation: int) -> np.ndarray:
    """A vector of words (n,) with one member's part of the noise, mod 2^64."""
    return vector + discrete_gaussian(len(vector), deviation).view(WORD)


def discrete_gaussian(size: int, deviation: int) -> np.ndarray:
    """Exact samples (size,), int64, of N_Z(0, deviation^2).

    A discrete Laplace sample y of scale s is kept with probability exp(-(|y| - s)^2 / (2 s^2)).

    Raises
    ------
    InvalidInput
        `deviation` is no whole number from 1 to 2^20; above, choose a coarser fixed point.
    """
    if not isinstance(deviation, int) or not 1 <= deviation <= LARGEST_DEVIATION:
        raise InvalidInput(f"'deviation' of noise is {deviation}; use a whole number from 1 to {LARGEST_DEVIATION}")

    def draw(count: int) -> np.ndarray:
        candidates = _discrete_laplace(count, deviation)
        distance = (np.abs(candidates) - deviation) ** 2
        return candidates[_happens_exponentially(distance, 2 * deviation**2)]

    return _gathered(size, draw)


def _discrete_laplace(size: int, scale: int) -> np.ndarray:
    """Samples with P(x) proportional to exp(-|x| / scale)."""

    def draw(count: int) -> np.ndarray:
        rest = _uniform(count, scale)
        rest = rest[_happens_exponentially(rest, scale)]
        whole = _successes(len(rest))
        magnitude, negative = rest + scale * whole, _uniform(len(rest), 2).astype(bool)
        # Else zero would come twice as often.
        kept = ~(negative & (magnitude == 0))
        return np.where(negative, -magnitude, magnitude)[kept]

    return _gathered(size, draw)


def _happens_exponentially(numerator: np.ndarray, denominator: int) -> np.ndarray:
    """Events of probability exp(-numerator / denominator), for numerators from 0 on."""
    whole, rest = np.divmod(numerator, denominator)
    happens = np.zeros(len(numerator), dtype=bool)
    # exp(-a) is the chance of a events of probability exp(-1) in a row.
    alive = np.flatnonzero(_successes(len(numerator), at_most=whole) >= whole)
    happens[alive] = _happens_below_one(rest[alive], denominator)
    return happens


def _successes(size: int, at_most: np.ndarray | None = None) -> np.ndarray:
    """How many events of probability exp(-1) happen before the first that does not; counting may stop at `at_most`."""
    count = np.zeros(size, dtype=np.int64)
    alive = np.arange(size) if at_most is None else np.flatnonzero(at_most)
    while len(alive):
        alive = alive[_happens_below_one(np.ones(len(alive), dtype=np.int64), 1)]
        count[alive] += 1
        if at_most is not None:
            alive = alive[count[alive] < at_most[alive]]
    return count


def _happens_below_one(numerator: np.ndarray, denominator: int) -> np.ndarray:
    """Events of probability exp(-g), g = numerator / denominator in [0, 1].

    K is the first k at which an event of probability g / k does not happen; it is odd with probability exp(-g).
    """
    odd = np.ones(len(numerator), dtype=bool)
    alive, k = np.arange(len(numerator)), 1
    while len(alive):
        alive = alive[_uniform(len(alive), denominator * k) < numerator[alive]]
        k += 1
        odd[alive] = k % 2 == 1
    return odd


def _uniform(size: int, below: int) -> np.ndarray:
    """Uniform whole numbers (size,), int64, from 0 to `below` - 1, `below` up to 2^62."""
    bits = (below - 1).bit_length()
    if not bits:
        return np.zeros(size, dtype=np.int64)
    kind = np.min_scalar_type(2**bits - 1)

    def draw(count: int) -> np.ndarray:
        words = np.frombuffer(os.urandom(count * kind.itemsize), dtype=kind) & kind.type(2**bits - 1)
        return words[words < below].astype(np.int64)

    return _gathered(size, draw)


def _gathered(size: int, draw: Callable[[int], np.ndarray]) -> np.ndarray:
    """`size` of the samples that `draw` keeps of those it is asked for."""
    parts, missing = [np.zeros(0, dtype=np.int64)], size
    while missing > 0:
        parts.append(draw(missing + missing // 2 + 16))
        missing -= len(parts[-1])
    return np.concatenate(parts)[:size]
