"""Noise on a clipped vector: how much makes it private, and how much ADePT as published falls short.

A vector of n numbers is clipped to z min(1, C / |z|_2), so that any two differ by at most 2 C in the 2-norm, and by at
most 2 C sqrt(n) in the 1-norm, since |x|_1 <= sqrt(n) |x|_2.

    Laplace, epsilon          scale  b = 2 C sqrt(n) / epsilon
    Gaussian, epsilon, delta  the least s with
                              Phi(C/s - epsilon s/(2 C)) - e^epsilon Phi(-C/s - epsilon s/(2 C)) <= delta

ADePT (Krishna et al., EACL 2021) took b = 2 C / epsilon: it held the 2-norm's sensitivity for the 1-norm's, and so
spends sqrt(n) times the epsilon it claims, near six times at 32 dimensions (Habernal, EMNLP 2021). The corrected scale
is the only one here. Source for the Gaussian: Balle and Wang, ICML 2018, theorem 8 with sensitivity 2 C.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import numpy as np
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr

from components.errors import InvalidInput

_GRID = 2.0**-20
"""Vector and noise are rounded to this, times the bound, and added as whole numbers, so that last bits tell nothing."""


class Randomness(Protocol):
    """What noise is drawn from: `SecureRandomness` of components.privacy.randomness where it is to protect anyone."""

    def normal(self, size: int) -> np.ndarray:
        """(size,) standard normal numbers, float64."""

    def ranks(self, shape: tuple[int, ...]) -> np.ndarray:
        """Uniform 64-bit words."""


@dataclass(frozen=True)
class LatentNoise:
    """What one vector costs and how it is noised. Laplace's delta is 0."""

    epsilon: float
    dimensions: int
    delta: float = 0.0
    kind: Literal["laplace", "gaussian"] = "laplace"
    bound: float = 1.0
    """C, of the 2-norm."""

    def __post_init__(self):
        if self.epsilon <= 0 or self.bound <= 0 or self.dimensions < 1:
            raise InvalidInput(
                f"epsilon {self.epsilon}, bound {self.bound} and {self.dimensions} dimensions; all are above 0"
            )
        if (self.kind == "gaussian") != (0 < self.delta < 1):
            raise InvalidInput(
                f"delta is {self.delta} for {self.kind} noise; 0 for laplace, within (0, 1) for gaussian"
            )

    @cached_property
    def scale(self) -> float:
        """b of Laplace noise, or the deviation of Gaussian noise, on each number; rounding's sensitivity included."""
        widened = 2 * self.bound + math.sqrt(self.dimensions) * _GRID * self.bound
        if self.kind == "laplace":
            return widened * math.sqrt(self.dimensions) / self.epsilon
        return widened * gaussian_deviation(self.epsilon, self.delta)

    @property
    def claimed_by_adept(self) -> float:
        """The epsilon that ADePT would report for this much noise."""
        return self.epsilon / math.sqrt(self.dimensions)

    def add(self, vectors: np.ndarray, randomness: Randomness) -> np.ndarray:
        """(n, dimensions) clipped and noised, float64."""
        step = _GRID * self.bound
        whole = np.rint(clipped(vectors, self.bound) / step)
        return (whole + np.rint(self._noise(vectors.shape, randomness) / step)) * step

    def _noise(self, shape: tuple[int, ...], randomness: Randomness) -> np.ndarray:
        if self.kind == "gaussian":
            return self.scale * randomness.normal(math.prod(shape)).reshape(shape)
        # The difference of two exponential numbers is a Laplace number.
        words = randomness.ranks((2, math.prod(shape)))
        first, second = -np.log(((words >> np.uint64(11)) + 1.0) * 2.0**-53)
        return self.scale * (first - second).reshape(shape)


def clipped(vectors: np.ndarray, bound: float) -> np.ndarray:
    """(n, d) float64 of 2-norm at most `bound`."""
    vectors = np.asarray(vectors, dtype=np.float64)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors * np.minimum(1.0, bound / np.maximum(norms, np.finfo(float).tiny))


def gaussian_deviation(epsilon: float, delta: float) -> float:
    """Least deviation of Gaussian noise that makes a vector of sensitivity 1 (epsilon, delta)-private."""

    def excess(log_deviation: float) -> float:
        deviation = math.exp(log_deviation)
        half, shift = 1 / (2 * deviation), epsilon * deviation
        return ndtr(half - shift) - math.exp(epsilon + log_ndtr(-half - shift)) - delta

    return math.exp(brentq(excess, -20.0, 20.0))
