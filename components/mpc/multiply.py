"""Products of shared numbers, and the truncation that brings their fraction bits down again.

*Beaver product* (1 round, 2 words a product opened): with dealt [a], [b], [ab] for uniform a, b, open d = x - a and
e = y - b; then xy = ab + d b + e a + d e. Both opened words are masked by fresh uniform ones.

*Truncation* (1 round, 1 word): for r uniform on 64 bits the dealer shares B = -(r mod 2^63 >> f) and A = r63 2^(63-f),
where r63 is its top bit. Open c = x + 2^62 + r. Then

    y = P + s A + B,   s = 1 - 2 c63,   P = (c mod 2^63 >> f) + c63 2^(63-f) - 2^(62-f)

is x / 2^f, at most one unit off, for every |x| < 2^62. SecureML's local truncation is cheaper and wrong with
probability |x| / 2^63.

*Product of truncated numbers* (the same round): y is a public number and a public combination of dealt ones, so with
shares of A A', A B', B A' and B B' the product of two such numbers is linear in what is shared and costs no message.
Source: Beaver, CRYPTO 1991; Dalskov, Escudero, Keller, PoPETs 2020(4), section 5 (dealer-aided truncation); products of
numbers whose mask the dealer knows: Ben-Efraim, Nielsen, Omri, ACNS 2019 (Turbospeedz).
"""

import numpy as np
from numba import njit

from components.mpc.fixed_point import FRACTION
from components.mpc.ring import word
from components.mpc.shared import Shared


def multiply(x: Shared, y: Shared, *, site: str = "multiply") -> Shared:
    """Elementwise product of equal shapes; fraction bits add up. One round."""
    engine, shape, fraction = x.engine, x.shape, x.fraction + y.fraction
    a, b = engine.uniform(shape), engine.uniform(shape)
    ab = engine.dealt(lambda: a * b, shape)
    if engine.deals:
        return engine.zeros(shape, fraction)
    d, e = engine.open(site, x.words - a, y.words - b)
    product = ab + d * b + e * a
    if engine.party == 0:
        product += d * e
    return Shared(engine, product, fraction)


def truncate(x: Shared, fraction: int = FRACTION, *, site: str = "truncate") -> Shared:
    """The same number with fewer fraction bits; |words| < 2^62."""
    engine, shift = x.engine, x.fraction - fraction
    if shift == 0:
        return x
    r = engine.uniform((x.size,))
    dealt = engine.dealt(lambda: _parts(r, shift), (2, x.size))
    if engine.deals:
        return engine.zeros(x.shape, fraction)
    (c,) = engine.open(site, x.words.reshape(-1) + _offset(engine) + r)
    public, hidden = _truncated(c, shift, dealt)
    return Shared(engine, (hidden + public if engine.party == 0 else hidden).reshape(x.shape), fraction)


def multiply_truncated(
    x: Shared, x_fraction: int, y: Shared, y_fraction: int, *, site: str = "multiply"
) -> tuple[Shared, Shared]:
    """x, brought to `x_fraction` bits, times y, brought to `y_fraction`; and x so brought. One round.

    The shape of y is that of x or the end of it; |words| < 2^62 of both.
    """
    engine, shifts = x.engine, (x.fraction - x_fraction, y.fraction - y_fraction)
    r, s = engine.uniform((x.size,)), engine.uniform((y.size,))
    x_dealt = engine.dealt(lambda: _parts(r, shifts[0]), (2, x.size))
    y_dealt = engine.dealt(lambda: _parts(s, shifts[1]), (2, y.size))
    products = engine.dealt(lambda: _products(x_dealt, y_dealt), (4, x.size))
    if engine.deals:
        return engine.zeros(x.shape, x_fraction + y_fraction), engine.zeros(x.shape, x_fraction)
    offset = _offset(engine)
    c, d = engine.open(site, x.words.reshape(-1) + offset + r, y.words.reshape(-1) + offset + s)
    first, x_parts, y_parts = engine.party == 0, _truncated(c, shifts[0], x_dealt), _truncated(d, shifts[1], y_dealt)
    product = _combined(c, d, *x_parts, *y_parts, products, first)
    short = x_parts[1] + x_parts[0] if first else x_parts[1]
    return Shared(engine, product.reshape(x.shape), x_fraction + y_fraction), Shared(
        engine, short.reshape(x.shape), x_fraction
    )


def multiply_fixed(x: Shared, y: Shared, fraction: int = FRACTION, *, site: str = "multiply") -> Shared:
    """Product brought to `fraction` bits; |x y| 2^(fx + fy) < 2^62. Two rounds."""
    return truncate(multiply(x, y, site=site), fraction, site=f"{site}.truncate")


def _offset(engine) -> np.uint64:
    return word(1 << 62) if engine.party == 0 else word(0)


@njit(cache=True, nogil=True)
def _parts(r, shift):
    """A and B of every mask, (2, n)."""
    parts, one, f = np.empty((2, len(r)), dtype=np.uint64), np.uint64(1), np.uint64(shift)
    low = (one << np.uint64(63)) - one
    for i in range(len(r)):
        parts[0, i] = (r[i] >> np.uint64(63)) << (np.uint64(63) - f)
        parts[1, i] = np.uint64(0) - ((r[i] & low) >> f)
    return parts


@njit(cache=True, nogil=True)
def _products(x, y):
    """A A', A B', B A', B B'; those of y repeat."""
    products, size = np.empty((4, x.shape[1]), dtype=np.uint64), y.shape[1]
    for start in range(0, x.shape[1], size):
        for i in range(size):
            at = start + i
            products[0, at], products[1, at] = x[0, at] * y[0, i], x[0, at] * y[1, i]
            products[2, at], products[3, at] = x[1, at] * y[0, i], x[1, at] * y[1, i]
    return products


@njit(cache=True, nogil=True)
def _truncated(c, shift, dealt):
    """P and this party's share of s A + B."""
    public, hidden = np.empty(len(c), dtype=np.uint64), np.empty(len(c), dtype=np.uint64)
    one, f, top = np.uint64(1), np.uint64(shift), np.uint64(63)
    low, middle = (one << top) - one, one << (np.uint64(62) - f)
    for i in range(len(c)):
        sign = c[i] >> top
        public[i] = ((c[i] & low) >> f) + (sign << (top - f)) - middle
        hidden[i] = dealt[1, i] + dealt[0, i] * (one - sign - sign)
    return public, hidden


@njit(cache=True, nogil=True)
def _combined(c, d, x_public, x_hidden, y_public, y_hidden, products, first):
    """Shares of (P + s A + B)(P' + s' A' + B')."""
    result, one, top = np.empty(len(c), dtype=np.uint64), np.uint64(1), np.uint64(63)
    for start in range(0, len(c), len(d)):
        for i in range(len(d)):
            at = start + i
            s, t = one - np.uint64(2) * (c[at] >> top), one - np.uint64(2) * (d[i] >> top)
            total = s * (t * products[0, at] + products[1, at]) + t * products[2, at] + products[3, at]
            total += x_public[at] * y_hidden[i] + y_public[i] * x_hidden[at]
            if first:
                total += x_public[at] * y_public[i]
            result[at] = total
    return result
