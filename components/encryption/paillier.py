"""Paillier's cryptosystem with randomness from a fixed base: sums of numbers that only the key's owner reads.

    n = p q,  p = q = 3 (mod 4),  gcd(p - 1, q - 1) = 2;  s = (-x^2)^n mod n^2 for a random x
    Enc(m) = (1 + m n) s^a mod n^2,  modulo p^2 and q^2 with independent random a;  Enc(m) Enc(m') = Enc(m + m')
    Dec(c) by the Chinese remainder of L_p(c^(p-1) mod p^2) and L_q(c^(q-1) mod q^2),  L_p(u) = (u - 1) / p

The proxy makes the key and so encrypts with the factors at hand: exponents of full length cost less than half of
what they would modulo n^2, and tables of powers of s a quarter of that.
Security: semantic under decisional composite residuosity and, should s generate less than all n-th residues, the
subgroup assumption of Damgard, Jurik and Nielsen; 128 bits at |n| = 3072, 112 at 2048 (NIST SP 800-57, table 2).
Does not withstand: anyone may add to a ciphertext or multiply it, so it gives no integrity; a decryption oracle
opens everything; gmpy2 is not constant in time, so decryption must not be timed by the server.
Source: Paillier, EUROCRYPT 1999; Damgard, Jurik and Nielsen, Int. J. Inf. Secur. 9, 2010, section 4.
"""

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property

import gmpy2
from gmpy2 import mpz

from components.encryption.refusal import Malformed

PROFILES = {3072: 128, 2048: 112}
"""Bits of the modulus → bits of security."""

_WINDOW = 7
"""Bits of the exponent looked up at a time: the table costs as much as 130 encryptions."""


@dataclass(frozen=True)
class PaillierKey:
    """The public key: the modulus."""

    n: mpz

    @property
    def bits(self) -> int:
        return self.n.bit_length()

    @property
    def length(self) -> int:
        """Bytes of a ciphertext."""
        return self.bits // 4

    @cached_property
    def square(self) -> mpz:
        return self.n * self.n

    def sum(self, ciphertexts: Iterable[mpz]) -> mpz:
        """A ciphertext of the sum of what the ciphertexts hold; not re-randomised."""
        result, square = mpz(1), self.square
        for one in ciphertexts:
            result = result * one % square
        return result

    def shift(self, ciphertext: mpz, bits: int) -> mpz:
        """A ciphertext of 2^bits times what it holds."""
        return gmpy2.powmod(ciphertext, mpz(1) << bits, self.square)

    @property
    def octets(self) -> bytes:
        """The key as bytes."""
        return int(self.n).to_bytes(self.bits // 8, "big")

    def to_bytes(self, ciphertext: mpz) -> bytes:
        return int(ciphertext).to_bytes(self.length, "big")

    def from_bytes(self, content: bytes) -> list[mpz]:
        """The ciphertexts that lie one after the other in `content`, each checked to be a unit modulo n^2.

        Raises
        ------
        Malformed
            The length is no multiple of a ciphertext's; or one is 0, is not below n^2, or shares a factor with n.
        """
        if len(content) % self.length:
            raise Malformed(f"{len(content)} bytes are no whole number of ciphertexts of {self.length} bytes")
        found = [
            mpz(int.from_bytes(content[start : start + self.length], "big"))
            for start in range(0, len(content), self.length)
        ]
        product = mpz(1)
        for position, one in enumerate(found):
            if not 0 < one < self.square:
                raise Malformed(f"ciphertext {position} is not between 0 and n^2")
            product = product * one % self.n
        # One greatest common divisor for all: a factor shared by any is shared by the product.
        if found and gmpy2.gcd(product, self.n) != 1:
            raise Malformed("a ciphertext shares a factor with the modulus")
        return found


@dataclass(frozen=True)
class _Factor:
    """What is computed modulo the square of one factor f."""

    f: mpz = field(repr=False)
    square: mpz = field(repr=False)
    inverse: mpz = field(repr=False)
    """Of L_f((1 + n)^(f - 1)) modulo f."""
    base: mpz = field(repr=False)

    @cached_property
    def _powers(self) -> list[list[mpz]]:
        """s^(v 2^(w i)) for every window i and value v of w bits."""
        table, base = [], self.base
        for _ in range(-(-self.f.bit_length() // _WINDOW)):
            row = [mpz(1)]
            for _ in range(2**_WINDOW - 1):
                row.append(row[-1] * base % self.square)
            table.append(row)
            base = row[-1] * base % self.square
        return table

    def random_residue(self) -> mpz:
        """s^a for a random a below f - 1."""
        exponent, result = secrets.randbelow(int(self.f - 1)), mpz(1)
        for row in self._powers:
            result = result * row[exponent & (2**_WINDOW - 1)] % self.square
            exponent >>= _WINDOW
        return result

    def decrypt(self, ciphertext: mpz) -> mpz:
        """The message modulo f."""
        return (gmpy2.powmod(ciphertext, self.f - 1, self.square) - 1) // self.f * self.inverse % self.f


@dataclass(frozen=True)
class PaillierSecret:
    """The private key: the factors of n; `root` is x."""

    p: mpz = field(repr=False)
    q: mpz = field(repr=False)
    root: mpz = field(repr=False)

    @cached_property
    def public(self) -> PaillierKey:
        return PaillierKey(self.p * self.q)

    @cached_property
    def _factors(self) -> tuple[_Factor, _Factor]:
        n, made = self.p * self.q, []
        for f in (self.p, self.q):
            inverse = gmpy2.invert((gmpy2.powmod(1 + n, f - 1, f * f) - 1) // f, f)
            made.append(_Factor(f, f * f, inverse, gmpy2.powmod(-self.root * self.root, n, f * f)))
        return tuple(made)

    @cached_property
    def _square_inverse(self) -> mpz:
        return gmpy2.invert(self.q * self.q, self.p * self.p)

    def encrypt(self, number: int) -> mpz:
        """A fresh ciphertext of an integer with |number| < n / 2."""
        at_p, at_q = (factor.random_residue() for factor in self._factors)
        residue = at_q + self.q * self.q * ((at_p - at_q) * self._square_inverse % (self.p * self.p))
        return (1 + number * self.public.n) * residue % self.public.square

    @cached_property
    def _inverse(self) -> mpz:
        return gmpy2.invert(self.q, self.p)

    def decrypt(self, ciphertext: mpz) -> int:
        """The integer a ciphertext holds, in (-n / 2, n / 2)."""
        at_p, at_q = (factor.decrypt(ciphertext) for factor in self._factors)
        number = at_q + self.q * ((at_p - at_q) * self._inverse % self.p)
        return int(number - self.public.n if 2 * number > self.public.n else number)


def generate(bits: int, octets: Callable[[int, int], bytes]) -> PaillierSecret:
    """A key of `bits` bits from secret octets, of which `octets(attempt, length)` gives as many as are wanted."""
    attempt, primes = 0, []
    while len(primes) < 2:
        drawn = int.from_bytes(octets(attempt, bits // 16), "big")
        # The two highest bits set, so that the product has all its bits.
        candidate = gmpy2.next_prime(mpz(drawn) | (mpz(3) << (bits // 2 - 2)))
        attempt += 1
        if candidate % 4 == 3 and candidate.bit_length() == bits // 2 and gmpy2.is_prime(candidate, 40):
            primes.append(candidate)
        if len(primes) == 2 and gmpy2.gcd(primes[0] - 1, primes[1] - 1) != 2:
            primes.pop()
    p, q = primes
    return PaillierSecret(p, q, mpz(int.from_bytes(octets(attempt, bits // 8), "big")) % (p * q))


def public_key(n: int) -> PaillierKey:
    """A public key that came from outside.

    Raises
    ------
    Malformed
        The modulus is of no profile's size, or even.
    """
    if n.bit_length() not in PROFILES or n % 2 == 0:
        raise Malformed(
            f"a modulus of {n.bit_length()} bits is no Paillier modulus of {', '.join(map(str, PROFILES))} bits"
        )
    return PaillierKey(mpz(n))


def signed_slots(number: int, slots: int, width: int) -> list[int]:
    """The signed integers s_k of sum_k s_k 2^(width k), each |s_k| < 2^(width - 1)."""
    found = []
    for _ in range(slots):
        low = number & ((1 << width) - 1)
        low -= (low >> (width - 1)) << width
        found.append(low)
        number = (number - low) >> width
    return found
