"""Randomness that protects: who is sampled and what noise is added come from a keystream of the operating system's.

Normal numbers are made in double precision by Box and Muller's method from 53-bit uniform ones: r = sqrt(-2 ln u),
r cos(2 pi v), r sin(2 pi v). Their tails end at 8.57 deviations, beyond which lies less than 1.1e-17 of a normal
distribution. A generator made for statistics has no place here, since its state can be found from its output.
"""

import math

import numpy as np
import torch

from components.mpc.randomness import Keystream, fresh_key

_PIECE = 1 << 14
"""Pairs made at a time: their parts stay in the cache."""
_UNIT = 2.0**-53


class SecureRandomness:
    """A fresh keystream; nothing of it can be repeated."""

    private = True

    def __init__(self):
        self._stream = Keystream(fresh_key())

    def normal(self, size: int) -> np.ndarray:
        """(size,) standard normal numbers, float64."""
        drawn = np.empty(2 * math.ceil(size / 2))
        for start in range(0, len(drawn), 2 * _PIECE):
            piece = drawn[start : start + 2 * _PIECE]
            _box_muller(self._stream.draw((len(piece),)), piece)
        return drawn[:size]

    def happens(self, size: int, probability: float) -> np.ndarray:
        """(size,) independent events of `probability`, bool."""
        threshold = math.floor(probability * 2**64)
        if threshold >= 2**64:
            return np.ones(size, dtype=bool)
        return self._stream.draw((size,)) < np.uint64(threshold)

    def kept(self, size: int, probability: float) -> tuple[np.ndarray, float]:
        """(size,) independent events, bool, at a probability that a 65536th divides, and which that is."""
        threshold = round(probability * 2**16)
        if threshold >= 2**16:
            return np.ones(size, dtype=bool), 1.0
        return self._stream.draw((size,), np.uint16) < threshold, threshold / 2**16

    def ranks(self, shape: tuple[int, ...]) -> np.ndarray:
        """Uniform 64-bit words, to sort or divide things by."""
        return self._stream.draw(shape)


class SeededRandomness:
    """Repeatable, for tests and experiments: whoever knows the seed can take the noise away, so nothing is private."""

    private = False

    def __init__(self, seed: int):
        self._rng = np.random.default_rng(seed)

    def normal(self, size: int) -> np.ndarray:
        return self._rng.standard_normal(size)

    def happens(self, size: int, probability: float) -> np.ndarray:
        return self._rng.random(size) < probability

    def ranks(self, shape: tuple[int, ...]) -> np.ndarray:
        return self._rng.integers(0, 2**64, shape, dtype=np.uint64)


Randomness = SecureRandomness | SeededRandomness


def _box_muller(words: np.ndarray, out: np.ndarray) -> None:
    """Words (2 n,), uint64, to normal numbers (2 n,); by torch, whose sine and cosine are vectorised."""
    words >>= np.uint64(11)
    uniform, numbers = torch.from_numpy(words.view(np.int64)).double(), torch.from_numpy(out)
    half = len(out) // 2
    radius = uniform[:half].add_(1).mul_(_UNIT).log_().mul_(-2).sqrt_()
    angle = uniform[half:].mul_(2 * math.pi * _UNIT)
    torch.mul(radius, angle.cos(), out=numbers[:half])
    torch.mul(radius, angle.sin_(), out=numbers[half:])
