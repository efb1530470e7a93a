"""Real numbers as ring elements: x is stored as round(x 2^f), f its number of fraction bits.

Sums keep f, products add it up, and `truncate` brings it down again. What does not fit is a mistake of the caller that
would wrap around and stay unseen, so encoding checks its bound.
"""

import numpy as np

from components.mpc.ring import WORD, signed

FRACTION = 20
"""Fraction bits of a value unless stated: steps of 1e-6, and 2^42 of room above."""


def encode(values: np.ndarray | float, fraction: int = FRACTION) -> np.ndarray:
    """Reals (any shape) as ring elements.

    Raises
    ------
    OverflowError
        A value is not finite, or its magnitude reaches 2^(62 - fraction).
    """
    scaled = np.asarray(values, dtype=np.float64) * 2.0**fraction
    if not np.all(np.abs(scaled) < 2.0**62):
        raise OverflowError(f"a value does not fit a fixed point number of {fraction} fraction bits")
    return np.rint(scaled).astype(np.int64).view(WORD)


def decode(words: np.ndarray, fraction: int = FRACTION) -> np.ndarray:
    """Ring elements as reals, float64."""
    return signed(words) / 2.0**fraction
