"""Paillier against its textbook: plain powers with lambda and mu, computed here by other means."""

import math

import gmpy2
import pytest
from gmpy2 import mpz
from hypothesis import given, settings
from hypothesis import strategies as st

from components.encryption.paillier import PaillierKey, public_key, signed_slots
from components.encryption.refusal import Malformed

SLOT = st.integers(-(2**63) + 1, 2**63 - 1)


@pytest.fixture(scope="module")
def secret(published):
    return published("binary").client.secret


def textbook(secret, ciphertext) -> int:
    """m = L(c^lambda mod n^2) mu mod n (Paillier 1999, section 4)."""
    n, lam = int(secret.public.n), math.lcm(int(secret.p) - 1, int(secret.q) - 1)
    number = (pow(int(ciphertext), lam, n * n) - 1) // n * pow((pow(n + 1, lam, n * n) - 1) // n, -1, n) % n
    return number - n if 2 * number > n else number


def test_the_key_is_what_the_scheme_asks_for(secret):
    p, q = int(secret.p), int(secret.q)
    assert (p % 4, q % 4, math.gcd(p - 1, q - 1)) == (3, 3, 2)
    assert secret.public.bits == 2048
    assert all(gmpy2.is_prime(mpz(one), 40) for one in (p, q))


@settings(max_examples=5, deadline=None)
@given(number=st.integers(-(2**1900), 2**1900))
def test_decrypts_what_was_encrypted_as_the_textbook_does(secret, number):
    ciphertext = secret.encrypt(number)
    assert secret.decrypt(ciphertext) == textbook(secret, ciphertext) == number


@settings(max_examples=15, deadline=None)
@given(numbers=st.lists(st.integers(-(2**60), 2**60), min_size=1, max_size=8))
def test_the_product_of_ciphertexts_holds_the_sum(secret, numbers):
    assert secret.decrypt(secret.public.sum(secret.encrypt(number) for number in numbers)) == sum(numbers)


def test_a_ciphertext_is_an_nth_residue_times_the_message_and_fresh(secret):
    key = secret.public
    one, other = secret.encrypt(5), secret.encrypt(5)
    assert one != other
    # Without its message a ciphertext is a residue: its power to lambda is 1.
    residue = one * gmpy2.invert(1 + 5 * key.n, key.square) % key.square
    assert gmpy2.powmod(residue, gmpy2.lcm(secret.p - 1, secret.q - 1), key.square) == 1


def test_shifting_multiplies_by_a_power_of_two(secret):
    assert secret.decrypt(secret.public.shift(secret.encrypt(-7), 64)) == -7 * 2**64


@given(values=st.lists(SLOT, min_size=1, max_size=30))
def test_slots_hold_signed_numbers(values):
    assert signed_slots(sum(value << (64 * place) for place, value in enumerate(values)), len(values), 64) == values


def test_ciphertexts_that_no_one_made_are_refused(secret):
    key = secret.public
    good = key.to_bytes(secret.encrypt(1))
    assert key.from_bytes(good * 2) == [mpz(int.from_bytes(good, "big"))] * 2
    bad = {
        "zero": bytes(key.length),
        "n squared": key.to_bytes(key.square),
        "all ones": b"\xff" * key.length,
        "a factor": key.to_bytes(secret.p * 3),
        "the modulus": key.to_bytes(key.n),
        "too short": good[:-1],
        "too long": good + b"\0",
    }
    for content in bad.values():
        with pytest.raises(Malformed):
            key.from_bytes(content)
        if len(content) == key.length:
            with pytest.raises(Malformed):
                key.from_bytes(good + content)


def test_moduli_of_other_sizes_are_refused():
    for n in (2**1023 + 1, 2**2047, 2**4095 + 1):
        with pytest.raises(Malformed):
            public_key(n)
    assert public_key(2**3071 + 1) == PaillierKey(mpz(2**3071 + 1))
