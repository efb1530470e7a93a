"""ElGamal over edwards25519 against small multiples counted one by one, and points that are none."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.encryption import elgamal
from components.encryption.elgamal import (
    ORDER,
    ZERO,
    ElGamalSecret,
    add,
    discrete_logarithm,
    encrypt,
    encryption_of_zero,
    multiple,
    multiple_of_base,
    negative,
    random_scalar,
    scalar,
    scaled,
    sum_of,
)
from components.encryption.refusal import Malformed

BASE = bytes([0x58] + [0x66] * 31)
"""The base point of RFC 8032, section 5.1."""
OF_ORDER_TWO = (2**255 - 20).to_bytes(32, "little")
OF_ORDER_FOUR = bytes(32)


@pytest.fixture(scope="module")
def secret():
    return ElGamalSecret(random_scalar())


def test_multiples_are_repeated_sums():
    point = ZERO
    for number in range(40):
        assert multiple_of_base(scalar(number)) == point
        assert multiple_of_base(scalar(-number)) == negative(point)
        assert number == 0 or multiple(scalar(number), BASE) == point
        point = add(point, BASE)
    assert add(multiple_of_base(scalar(ORDER - 1)), BASE) == ZERO


@settings(max_examples=8, deadline=None)
@given(numbers=st.lists(st.integers(-1000, 1000), min_size=1, max_size=5), factor=st.integers(1, 100))
def test_sums_and_multiples_of_ciphertexts(secret, numbers, factor):
    total = encryption_of_zero(secret.public)
    for place, number in enumerate(numbers):
        total = sum_of(total, secret.encrypt(number) if place % 2 else encrypt(secret.public, number))
    expected = factor * sum(numbers)
    point = secret.decrypt(scaled(scalar(factor), total))
    assert point == multiple_of_base(scalar(expected))
    assert discrete_logarithm(point, 2**20) == expected
    assert secret.is_zero(total) == (sum(numbers) == 0)


@pytest.mark.parametrize("number", [0, 1, -1, 2**15, 2**15 + 1, -(2**16), -(2**24) - 1, 2**28])
def test_logarithms_are_found_up_to_the_bound(number):
    assert discrete_logarithm(multiple_of_base(scalar(number)), 2**28) == number


def test_the_time_of_a_logarithm_does_not_depend_on_it(monkeypatch):
    added = 0

    def counted(one: bytes, other: bytes) -> bytes:
        nonlocal added
        added += 1
        return add(one, other)

    def mean(number: int, turns: int = 400) -> float:
        """Giant steps, of which each is one addition, in a range of 33."""
        nonlocal added
        added = 0
        for _ in range(turns):
            discrete_logarithm(multiple_of_base(scalar(number)), 2**20)
        return added / turns

    mean(0, 1)
    monkeypatch.setattr(elgamal, "add", counted)
    # Uniform on 33 counts: a mean of 400 has a standard deviation of 0.48. Outwards from 0 it were 2 and 33.
    small, large = mean(0), mean(2**20)
    assert abs(small - 17) < 3
    assert abs(large - 17) < 3


def test_logarithms_beyond_the_bound_are_not():
    for number in (1001, -1001, 2**40):
        assert discrete_logarithm(multiple_of_base(scalar(number)), 1000) is None


def test_points_outside_the_group_are_refused(secret):
    off_the_curve = next(point for y in range(2, 50) if not _is_on_curve(point := y.to_bytes(32, "little")))
    with_torsion = add(secret.public, OF_ORDER_TWO)
    assert with_torsion != secret.public
    for point in (OF_ORDER_TWO, OF_ORDER_FOUR, off_the_curve, with_torsion, b"\xff" * 32):
        with pytest.raises(Malformed):
            multiple(scalar(5), point)


def _is_on_curve(point: bytes) -> bool:
    """-x^2 + y^2 = 1 + d x^2 y^2 has a solution x (RFC 8032, section 5.1.3)."""
    prime = 2**255 - 19
    y = int.from_bytes(point, "little")
    d = -121665 * pow(121666, -1, prime)
    square = (y * y - 1) * pow(d * y * y + 1, -1, prime) % prime
    return pow(square, (prime - 1) // 2, prime) in (0, 1)
