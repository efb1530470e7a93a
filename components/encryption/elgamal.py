"""ElGamal with messages in the exponent, over the prime-order subgroup of edwards25519: sums and random multiples.

    key x, Y = x G;  Enc(m; r) = (r G, m G + r Y);  the owner of x encrypts with two base multiplications, m G + (r x) G
    Enc(m) + Enc(m') = Enc(m + m');  w Enc(m) = Enc(w m);  Dec gives m G, whence m only where m is small

Security: semantic under decisional Diffie-Hellman in a group of order L > 2^252; about 126 bits (Pollard's rho).
Does not withstand: ciphertexts can be added to and multiplied by anyone; who knows x reads all of them.
Scalars and points are libsodium's (PyNaCl), constant in time; it refuses points that are off the curve, not canonical
or outside the prime-order subgroup whenever they are multiplied, so every point from outside is multiplied first.
Source: ElGamal, IEEE Trans. Inf. Theory 31, 1985; Cramer, Gennaro and Schoenmakers, EUROCRYPT 1997; RFC 8032 (curve).
"""

import secrets
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from nacl import bindings as sodium
from nacl.exceptions import RuntimeError as SodiumError

from components.encryption.refusal import Malformed

POINT_BYTES = sodium.crypto_core_ed25519_BYTES
SCALAR_BYTES = sodium.crypto_core_ed25519_SCALARBYTES
CIPHERTEXT_BYTES = 2 * POINT_BYTES
ORDER = 2**252 + 27742317777372353535851937790883648493

ZERO = bytes([1]) + bytes(31)
"""The neutral point, which libsodium's multiplications do not take or give."""

reduced = sodium.crypto_core_ed25519_scalar_reduce

Ciphertext = tuple[bytes, bytes]


def random_scalar() -> bytes:
    """Uniform and not 0."""
    return scalar(1 + secrets.randbelow(ORDER - 1))


def scalar(number: int) -> bytes:
    """An integer modulo the order of the group."""
    return (number % ORDER).to_bytes(SCALAR_BYTES, "little")


def multiple_of_base(factor: bytes) -> bytes:
    """factor G."""
    return sodium.crypto_scalarmult_ed25519_base_noclamp(factor) if any(factor) else ZERO


def multiple(factor: bytes, point: bytes) -> bytes:
    """factor P, for a factor that is not 0.

    Raises
    ------
    Malformed
        The point is neither 0 nor in the prime-order subgroup.
    """
    if point == ZERO:
        return ZERO
    try:
        return sodium.crypto_scalarmult_ed25519_noclamp(factor, point)
    except SodiumError:
        raise Malformed("a ciphertext holds a point outside the group") from None


def add(one: bytes, other: bytes) -> bytes:
    """The sum of two points; `Malformed` where one is not on the curve."""
    try:
        return sodium.crypto_core_ed25519_add(one, other)
    except SodiumError:
        raise Malformed("a ciphertext holds a point outside the group") from None


def negative(point: bytes) -> bytes:
    """-P: the sign of x is a point's highest bit."""
    return point if point == ZERO else point[:-1] + bytes([point[-1] ^ 0x80])


def sum_of(one: Ciphertext, other: Ciphertext) -> Ciphertext:
    return add(one[0], other[0]), add(one[1], other[1])


def scaled(factor: bytes, ciphertext: Ciphertext) -> Ciphertext:
    return multiple(factor, ciphertext[0]), multiple(factor, ciphertext[1])


@dataclass(frozen=True)
class ElGamalSecret:
    """The private key x."""

    x: bytes = field(repr=False)

    @cached_property
    def public(self) -> bytes:
        return multiple_of_base(self.x)

    def encrypt(self, number: int) -> Ciphertext:
        """A fresh ciphertext of an integer."""
        randomness = random_scalar()
        shared = sodium.crypto_core_ed25519_scalar_mul(randomness, self.x)
        message = sodium.crypto_core_ed25519_scalar_add(shared, scalar(number)) if number else shared
        return multiple_of_base(randomness), multiple_of_base(message)

    def is_zero(self, ciphertext: Ciphertext) -> bool:
        """Whether it holds 0."""
        return multiple(self.x, ciphertext[0]) == ciphertext[1]

    def decrypt(self, ciphertext: Ciphertext) -> bytes:
        """The point m G."""
        return add(ciphertext[1], negative(multiple(self.x, ciphertext[0])))


def encryption_of_zero(public: bytes) -> Ciphertext:
    """A fresh ciphertext of 0 under somebody's public key."""
    randomness = random_scalar()
    return multiple_of_base(randomness), multiple(randomness, public)


def encrypt(public: bytes, number: int) -> Ciphertext:
    """A fresh ciphertext of an integer under somebody's public key."""
    first, second = encryption_of_zero(public)
    return first, add(second, multiple_of_base(scalar(number)))


_BABY_BITS = 15


@lru_cache(maxsize=1)
def _baby_steps() -> dict[bytes, int]:
    """j G → j for |j| <= 2^15; made once a process, in about half a second."""
    one, steps = multiple_of_base(scalar(1)), {ZERO: 0}
    point = ZERO
    for number in range(1, 2**_BABY_BITS + 1):
        point = add(point, one)
        steps[point] = number
        steps[negative(point)] = -number
    return steps


def discrete_logarithm(point: bytes, bound: int) -> int | None:
    """m with |m| <= bound and m G = point; None where there is none (baby and giant steps).

    Giant steps go once round the range from a random place, so that how many are needed says nothing of m.
    """
    steps, giant = _baby_steps(), 2 ** (_BABY_BITS + 1) + 1
    reach = -(-bound // giant)
    count = 2 * reach + 1
    down, to_top = multiple_of_base(scalar(-giant)), multiple_of_base(scalar((count - 1) * giant))
    place = secrets.randbelow(count) - reach
    here = add(point, multiple_of_base(scalar(-place * giant)))
    for _ in range(count):
        if (found := steps.get(here)) is not None:
            number = found + place * giant
            return number if abs(number) <= bound else None
        place = place + 1 if place < reach else -reach
        here = add(here, down if place > -reach else to_top)
    return None
