"""Steps of private training as accountants see them, and what a delta must not allow."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from components.errors import InvalidInput


@dataclass(frozen=True)
class Steps:
    """`count` steps that each take a unit in with probability `rate`, with noise of deviation `noise` * sensitivity."""

    noise: float
    rate: float
    count: int

    def __post_init__(self):
        if not (self.noise > 0 and math.isfinite(self.noise)):
            raise InvalidInput(f"noise multiplier {self.noise:g} makes no sense; it is above 0")
        if not 0 < self.rate <= 1:
            raise InvalidInput(f"sampling rate {self.rate:g} makes no sense; it is above 0 and at most 1")
        if self.count < 1:
            raise InvalidInput(f"{self.count} steps make no training; take one at least")


def merged(steps: Iterable[Steps]) -> tuple[Steps, ...]:
    """The same steps, equal ones together: the order makes no difference to what is spent."""
    kind = lambda part: (part.noise, part.rate)  # noqa: E731
    ordered = groupby(sorted(steps, key=kind), key=kind)
    return tuple(Steps(noise, rate, sum(part.count for part in parts)) for (noise, rate), parts in ordered)


def require_delta(delta: float, *, units: int | None = None) -> None:
    """Refuse a delta that allows too much: giving away one of n units whole keeps to (0, 1/n)."""
    if not 0 < delta < 1:
        raise InvalidInput(f"delta {delta:g} makes no sense; it lies between 0 and 1")
    if units is not None and delta >= 1 / units:
        raise InvalidInput(
            f"delta {delta:g} would allow publishing one of {units} units as it is; take one below {1 / units:.2g}"
        )
