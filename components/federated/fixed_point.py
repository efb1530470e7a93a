"""Real numbers as words of Z_2^64, to be added under masks: rounded to 2^-fraction, clipped, never wrapped.

The sum of at most `members` clipped values must fit into 63 bits and a sign; what does not is refused beforehand, for a
wrapped sum looks like any other. Histograms of counts and gradients choose their own scale and do not need this.
"""

from dataclasses import dataclass

import numpy as np

from components.errors import InvalidInput
from components.federated.mask import WORD


@dataclass(frozen=True)
class FixedPoint:
    """Values in [-`largest`, `largest`], in steps of 2^-`fraction`, of up to `members` members.

    Raises
    ------
    InvalidInput
        A sum could leave the ring.
    """

    fraction: int
    largest: float
    members: int

    def __post_init__(self):
        if not 0 < self.largest < np.inf or not 0 <= self.fraction <= 62 or self.members < 1:
            raise InvalidInput(
                f"fixed point with fraction {self.fraction}, largest {self.largest} and {self.members} members makes "
                "no sense; use 0 to 62 bits, a positive number and one member or more"
            )
        if self.members * np.ceil(np.ldexp(self.largest, self.fraction)) >= 2**63:
            raise InvalidInput(
                f"{self.members} values up to {self.largest:g} with {self.fraction} bits of fraction overflow 64 bits; "
                "use a smaller 'fraction' or a smaller 'largest'"
            )

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Words (n,), uint64; each value is clipped and rounded to the nearest step.

        Raises
        ------
        InvalidInput
            A value is no finite number.
        """
        if bad := np.count_nonzero(~np.isfinite(values)):
            raise InvalidInput(
                f"{bad} of {np.size(values)} values to be summed are not finite; find out where they arise"
            )
        clipped = np.clip(np.asarray(values, dtype=np.float64).ravel(), -self.largest, self.largest)
        return np.rint(np.ldexp(clipped, self.fraction)).astype(np.int64).view(WORD)

    def decode(self, total: np.ndarray) -> np.ndarray:
        """The sum (n,), float64, of encoded vectors that were added mod 2^64."""
        return np.ldexp(total.view(np.int64).astype(np.float64), -self.fraction)
