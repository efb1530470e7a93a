"""Products of shared numbers, and the truncation that brings their fraction bits down again.

*Beaver product* (1 round, 2 words a product opened): with dealt [a], [b], [ab] for uniform a, b, open d = x - a and
e = y - b; then xy = ab + d b + e a + d e. Both opened words are masked by fresh uniform ones.

*Truncation* (1 round, 1 word): with dealt shares of r uniform on 64 bits, of r' = (r mod 2^63) >> f and of its sign
r63, open c = x + 2^62 + r. Then y = (c mod 2^63 >> f) - r' + (r63 ^ c63) 2^(63-f) - 2^(62-f) is x / 2^f, at most one
unit off, for every |x| < 2^62. SecureML's local truncation is cheaper and wrong with probability |x| / 2^63.
Source: Beaver, CRYPTO 1991; Dalskov, Escudero, Keller, PoPETs 2020(4), section 5 (dealer-aided truncation).
"""

import numpy as np

from components.mpc.fixed_point import FRACTION
from components.mpc.ring import WORD, word
from components.mpc.shared import Shared


def multiply(x: Shared, y: Shared, *, site: str = "multiply") -> Shared:
    """Elementwise product of equal shapes; fraction bits add up."""
    return multiply_each(x, [y], site=site)[0]


def multiply_each(factor: Shared, others: list[Shared], *, site: str = "multiply") -> list[Shared]:
    """factor times each of the others, equal shapes; what masks the factor is opened once for all. One round."""
    engine, shape = factor.engine, factor.shape
    a, masks = engine.uniform(shape), [engine.uniform(shape) for _ in others]
    products = [engine.dealt(lambda b=b: a * b, shape) for b in masks]
    fractions = [factor.fraction + other.fraction for other in others]
    if engine.deals:
        return [engine.zeros(shape, fraction) for fraction in fractions]
    d, *opened = engine.open(site, factor.words - a, *(other.words - b for other, b in zip(others, masks, strict=True)))
    results = []
    for ab, b, e, fraction in zip(products, masks, opened, fractions, strict=True):
        product = ab + d * b + e * a
        if engine.party == 0:
            product += d * e
        results.append(Shared(engine, product, fraction))
    return results


def truncate(x: Shared, fraction: int = FRACTION, *, site: str = "truncate") -> Shared:
    """The same number with fewer fraction bits; |words| < 2^62."""
    engine, shape, shift = x.engine, x.shape, x.fraction - fraction
    if shift == 0:
        return x
    r = engine.uniform(shape)
    low = engine.dealt(lambda: (r & LOW) >> np.uint64(shift), shape)
    sign = engine.dealt(lambda: r >> np.uint64(63), shape)
    if engine.deals:
        return engine.zeros(shape, fraction)
    first = engine.party == 0
    (c,) = engine.open(site, x.words + r + (OFFSET if first else ZERO))
    c_sign = c >> np.uint64(63)
    # r63 ^ c63 = r63 + c63 - 2 r63 c63, linear in the shared r63.
    flipped = sign * (np.uint64(1) - np.uint64(2) * c_sign)
    if first:
        flipped = flipped + c_sign
    y = (flipped << np.uint64(63 - shift)) - low
    if first:
        y = y + ((c & LOW) >> np.uint64(shift)) - word(1 << (62 - shift))
    return Shared(engine, y, fraction)


def multiply_fixed(x: Shared, y: Shared, fraction: int = FRACTION, *, site: str = "multiply") -> Shared:
    """Product brought to `fraction` bits; |x y| 2^(fx + fy) < 2^62. Two rounds."""
    return truncate(multiply(x, y, site=site), fraction, site=f"{site}.truncate")


LOW, OFFSET, ZERO = word((1 << 63) - 1), word(1 << 62), np.zeros((), dtype=WORD)
