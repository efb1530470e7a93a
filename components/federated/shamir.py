"""Shamir's secret sharing of 32-byte secrets: any t shares give the secret, t - 1 say nothing of it.

The field is that of the smallest prime above 2^256, 2^256 + 297, so that every string of 32 octets is an element; over
2^255 - 19, the field at hand, one in two would not be. A share is a point of a random polynomial of degree t - 1.
Source: Shamir 1979, "How to share a secret".
"""

import secrets
from collections.abc import Iterable, Mapping

PRIME = 2**256 + 297
SECRET_BYTES = 32
SHARE_BYTES = 33


def split(secret: bytes, *, threshold: int, points: Iterable[int]) -> dict[int, bytes]:
    """Shares of a secret at distinct points from 1 on.

    f(x) = secret + a_1 x + ... + a_{t-1} x^{t-1} (mod p), the a_i uniform; the share at x is f(x).
    """
    coefficients = [int.from_bytes(secret, "big"), *(secrets.randbelow(PRIME) for _ in range(threshold - 1))]
    return {point: _value(coefficients, point).to_bytes(SHARE_BYTES, "big") for point in points}


def interpolate(shares: Mapping[int, bytes], at: int = 0) -> int:
    """f(at) of the polynomial of lowest degree through the shares, by Lagrange; at 0 lies the secret."""
    total = 0
    for point, share in shares.items():
        numerator = denominator = 1
        for other in shares.keys() - {point}:
            numerator = numerator * (at - other) % PRIME
            denominator = denominator * (point - other) % PRIME
        total += int.from_bytes(share, "big") * numerator * pow(denominator, -1, PRIME)
    return total % PRIME


def combine(shares: Mapping[int, bytes]) -> bytes | None:
    """The secret in t shares; None where they are of no 32-byte secret."""
    secret = interpolate(shares)
    return secret.to_bytes(SECRET_BYTES, "big") if secret < 1 << 256 else None


def _value(coefficients: list[int], point: int) -> int:
    value = 0
    for coefficient in reversed(coefficients):
        value = (value * point + coefficient) % PRIME
    return value
