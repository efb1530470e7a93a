"""What noise on sums buys: zero-concentrated differential privacy, added up over sums, told as (epsilon, delta).

A sum of m parts N_Z(0, s^2) is nearly, not exactly, a discrete Gaussian; the difference is in the bound:
rho = (sensitivity / (sqrt(m) s) + sqrt(length) tau)^2 / 2, tau = 10 sum_{k=1}^{m-1} exp(-2 pi^2 s^2 k / (k + 1)). Only
the m members that must be left count, and none that may side with the collector; more parts are noise on top.
Source: Kairouz, Liu, Steinke 2021, proposition 14 and theorem 1; Canonne, Kamath, Steinke 2020, corollary 13; Bun and
Steinke 2016 (composition).
"""

import math
from dataclasses import dataclass

from components.errors import InvalidInput
from components.federated.noise import LARGEST_DEVIATION


@dataclass(frozen=True)
class NoisePlan:
    """Noise with `deviation` of each member's part, in units of the ring, on `sums` sums.

    `sensitivity`: by how much one person's records can move a sum at most, in L2 norm and units of the ring, after
    rounding; `contributors`: the least number of honest parts in it; `length`: numbers in a sum.
    """

    deviation: int
    sensitivity: float
    contributors: int
    length: int
    sums: int

    def __post_init__(self):
        if min(self.sensitivity, self.contributors, self.length, self.sums) <= 0:
            raise InvalidInput("'sensitivity', 'contributors', 'length' and 'sums' of noise must be above zero")
        if not 1 <= self.deviation <= LARGEST_DEVIATION:
            raise InvalidInput(
                f"noise of deviation {self.deviation} is needed where 1 to {LARGEST_DEVIATION} can be drawn; choose a "
                "coarser fixed point, a larger 'epsilon' or fewer sums"
            )

    @property
    def rho(self) -> float:
        """Zero-concentrated differential privacy spent on all sums."""
        variance = self.deviation**2
        tau = 10 * sum(math.exp(-2 * math.pi**2 * variance * k / (k + 1)) for k in range(1, self.contributors))
        scaled = self.sensitivity / (math.sqrt(self.contributors) * self.deviation)
        return self.sums * (scaled + math.sqrt(self.length) * tau) ** 2 / 2

    def epsilon(self, delta: float) -> float:
        """The epsilon that all sums together keep to, for this `delta`."""
        return epsilon_of(self.rho, delta)


def plan_noise(*, rho: float, sensitivity: float, contributors: int, length: int, sums: int) -> NoisePlan:
    """The least noise with which all sums together spend no more than `rho` of zero-concentrated privacy.

    Raises
    ------
    InvalidInput
        A number makes no sense, or the noise would be larger than can be drawn.
    """

    def plan(deviation: int) -> NoisePlan:
        return NoisePlan(deviation, sensitivity, contributors, length, sums)

    low, high = 1, LARGEST_DEVIATION
    if plan(high).rho > rho:
        high = math.inf
    while low < high and high != math.inf:
        middle = (low + high) // 2
        low, high = (low, middle) if plan(middle).rho <= rho else (middle + 1, high)
    return plan(high)


def rho_of(epsilon: float, delta: float) -> float:
    """The most that may be spent so that (epsilon, delta) is kept: `epsilon_of` the other way round.

    Raises
    ------
    InvalidInput
        Epsilon is not above 0, or delta not between 0 and 1.
    """
    if epsilon <= 0 or not 0 < delta < 1:
        raise InvalidInput(
            f"privacy ({epsilon:g}, {delta:g}) makes no sense; epsilon is above 0, delta between 0 and 1"
        )
    # Of much less than a part of delta nothing is left to be bought; of more than epsilon everything is spent.
    low, high = 0.0, epsilon
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if epsilon_of(middle, delta) <= epsilon else (low, middle)
    return low


def epsilon_of(rho: float, delta: float) -> float:
    """The epsilon of rho-zCDP: min over a > 1 of a rho + ln(1 / (a delta)) / (a - 1) + ln(1 - 1 / a), or 0."""

    # Most sums carry no noise, and SciPy takes half a second to import.
    from scipy.optimize import minimize_scalar

    def bound(logarithm: float) -> float:
        above = math.exp(logarithm)
        order = 1 + above
        return order * rho - math.log(order * delta) / above + math.log(above / order)

    found = minimize_scalar(bound, bounds=(-20, 30), method="bounded", options={"xatol": 1e-9})
    return max(0.0, float(found.fun))
