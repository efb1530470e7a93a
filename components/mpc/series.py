"""Fourier series of the functions training needs, each on an interval shorter than its period.

A function that is smooth there but not periodic still has a short series: of the many that agree with it on the
interval, a least-squares fit (at Chebyshev points, small singular values cut off) finds one with small coefficients.
They stand here as numbers, since all parties must compute with the same ones to the last bit, and a solver does not
give the same on every machine. Source: Huybrechs, SIAM J. Numer. Anal. 47(6), 2010 (Fourier extensions).
"""

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Series:
    """f(x) = c_0 + Σ_k (s_k sin kwx + c_k cos kwx), w = 2π / period; the period a power of two."""

    period: int
    sines: tuple[float, ...]
    cosines: tuple[float, ...]

    @property
    def terms(self) -> int:
        return max(len(self.sines), len(self.cosines) - 1)

    @property
    def bound(self) -> float:
        """What |f(x)| cannot exceed anywhere."""
        return math.fsum(map(abs, self.sines + self.cosines))

    def coefficients(self, terms: int) -> np.ndarray:
        """(2, terms): s_k and c_k for k = 1 … terms."""
        table = np.zeros((2, terms))
        table[0, : len(self.sines)] = self.sines
        table[1, : max(0, len(self.cosines) - 1)] = self.cosines[1:]
        return table

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The series in the clear."""
        angles = np.multiply.outer(np.asarray(x), 2 * np.pi / self.period * np.arange(1, self.terms + 1))
        s, c = self.coefficients(self.terms)
        return sum(self.cosines[:1]) + np.sin(angles) @ s + np.cos(angles) @ c


# fmt: off
SIGMOID = Series(
    period=32,
    sines=(
        0.60695958778, -0.01421578124, 0.14103846412, -0.01107595247, 0.04208796282, -0.00116927366, 0.00781210715,
        0.00507211882, -0.00310248449, 0.00618047912, -0.00463186787, 0.00450454181, -0.00314310179, 0.00238881881,
        -0.00148551886, 0.0009458319, -0.00050611878, 0.00026856388, -0.00011585934, 4.836974e-05, -1.394591e-05,
        3.84249e-06,
    ),
    cosines=(),
)
"""1 / (1 + e^-x) - 1/2 on |x| <= 12 1/16, to 2.4e-07."""

SLOPE = Series(
    period=32,
    sines=(),
    cosines=(
        0.59205725443, -1.04584021707, 1.10386868053, -0.93928250401, 0.90251440855, -0.7436761281, 0.65169409784,
        -0.51335265534, 0.41308553735, -0.3065882375, 0.22685278166, -0.15650965149, 0.10594231796, -0.06692821068,
        0.04094868881, -0.02320149631, 0.01255401365, -0.00616701774, 0.00283568379, -0.00112950009, 0.0004058795,
        -0.00010872037, 2.393004e-05,
    ),
)
"""Its derivative there, to 1.1e-06."""

EXPONENTIAL = Series(
    period=32,
    sines=(
        9.65251186074, 4.90675462589, 6.56838966194, -4.74725899902, -8.86211138589, 2.88347925784, 2.99861370184,
        -0.85953375345, -0.35079944439, 0.08720724509, 0.00976468924, -0.00132203904,
    ),
    cosines=(
        6.72244598328, 3.17297275537, -1.11218046669, -5.19337871911, -9.84361235534, 3.94585474313, 5.8708281423,
        -1.76013795066, -1.18261699948, 0.3219426262, 0.07380053498, -0.01531846192, -0.0005999394,
    ),
)
"""e^x on -14 1/16 <= x <= 0, to 1.1e-07."""

INVERSE = Series(
    period=8,
    sines=(
        0.57935833181, -2.96710872478, -4.25758637044, -1.32186841897, 0.71184669593, 0.49537861007, 0.0520583808,
        -0.0145747008, -0.00185205278,
    ),
    cosines=(
        1.39229958542, 3.94608410964, 3.9708448076, -0.16108743163, -2.39942805631, -1.14033999304, 0.03421867976,
        0.12104793579, 0.01731105475, -0.00045849589,
    ),
)
"""1 / x on 1 <= x <= 4, to 8.5e-08."""
# fmt: on
