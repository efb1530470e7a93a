"""Comparison of shared numbers with public ones, and the sign.

Open c = x + r once, r a fresh uniform mask; then x - t = (c - t) - r for any public t, and its sign comes from c and
dealt tables of the digits of r (see `borrow`). Three rounds: the opening, and two joining digits. Per element online
8 bytes, and 33 bits a threshold; offline 32 bytes, and 12 a threshold. Nothing is opened but c and masked bits.
"""

import numpy as np

from components.mpc.borrow import deal_digits, negative_differences
from components.mpc.fixed_point import encode
from components.mpc.ring import BITS, WORD
from components.mpc.shared import Shared, SharedBits


def at_least(x: Shared, thresholds: np.ndarray, *, site: str = "at_least", bits: int = BITS) -> SharedBits:
    """[x >= t] for every public threshold, (T, *x.shape); every |x - t| in words below 2^(bits - 1)."""
    words = encode(np.asarray(thresholds, dtype=np.float64).reshape(-1), x.fraction)
    return ~_below(x, words, bits, site).reshape(len(words), *x.shape)


def negative(x: Shared, *, site: str = "negative") -> SharedBits:
    """[x < 0], of the shape of x."""
    return negative_within(x, BITS, site=site)


def negative_within(x: Shared, bits: int, *, site: str = "negative") -> SharedBits:
    """[x < 0] of words known to lie in [-2^(bits-1), 2^(bits-1)): fewer digits, a narrower opening.

    Shares are reduced modulo the smallest word that holds `bits` bits, and so is the mask: it stays uniform on all of
    it. Up to 17 bits take one round less, up to 5 two.
    """
    return _below(x, np.zeros(1, dtype=WORD), bits, site).reshape(*x.shape)


def _below(x: Shared, thresholds: np.ndarray, bits: int, site: str) -> SharedBits:
    engine, narrow = x.engine, np.min_scalar_type((1 << bits) - 1)
    r = engine.uniform((x.size,), narrow)
    tables = deal_digits(engine, r, bits)
    c = None
    if not engine.deals:
        (c,) = engine.open(f"{site}.mask", x.words.reshape(-1).astype(narrow) + r)
    return negative_differences(engine, tables, c, thresholds, bits, site=f"{site}.digits")
