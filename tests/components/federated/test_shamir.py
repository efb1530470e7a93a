"""Shares against brute force over a small field, and over the real one."""

from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.federated import shamir
from components.federated.shamir import PRIME, SHARE_BYTES, combine, interpolate, split


def is_prime(number: int) -> bool:
    """Miller and Rabin's test with forty bases."""
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in range(2, 42):
        power = pow(base, odd, number)
        if power in (1, number - 1):
            continue
        for _ in range(twos - 1):
            power = power * power % number
            if power == number - 1:
                break
        else:
            return False
    return True


def test_the_field_is_of_the_smallest_prime_that_holds_every_secret():
    assert PRIME > 2**256
    assert is_prime(PRIME)
    assert not any(is_prime(number) for number in range(2**256 + 1, PRIME, 2))
    assert (PRIME - 1).bit_length() <= 8 * SHARE_BYTES


@settings(max_examples=40, deadline=None)
@given(st.binary(min_size=32, max_size=32), st.data())
def test_any_threshold_of_shares_gives_the_secret_and_any_point(secret, data):
    count = data.draw(st.integers(2, 9))
    threshold = data.draw(st.integers(1, count))
    shares = split(secret, threshold=threshold, points=range(1, count + 1))
    for points in combinations(shares, threshold):
        chosen = {point: shares[point] for point in points}
        assert combine(chosen) == secret
        assert all(interpolate(chosen, point) == int.from_bytes(share, "big") for point, share in shares.items())


@pytest.mark.parametrize("secret", [bytes(32), b"\xff" * 32])
def test_the_smallest_and_the_largest_secret_come_back(secret):
    assert combine(split(secret, threshold=2, points=[1, 5])) == secret


def test_shares_of_no_short_secret_are_told():
    assert combine({1: (PRIME - 1).to_bytes(SHARE_BYTES, "big")}) is None


@pytest.mark.parametrize("threshold", [2, 3])
def test_fewer_shares_fit_every_secret_equally_often(threshold, monkeypatch):
    """Over a field of 11 elements every polynomial is tried: shares of fewer than t have one distribution."""
    prime = 11
    monkeypatch.setattr(shamir, "PRIME", prime)
    views = {}
    for secret in range(prime):
        seen = []
        for number in range(prime ** (threshold - 1)):
            coefficients = [number // prime**power % prime for power in range(threshold - 1)]
            monkeypatch.setattr(shamir.secrets, "randbelow", lambda _, left=coefficients: left.pop())
            shares = split(bytes([secret]), threshold=threshold, points=range(1, threshold))
            seen.append(tuple(shares.values()))
        views[secret] = sorted(seen)
    assert all(seen == views[0] for seen in views.values())
    assert len(set(views[0])) == prime ** (threshold - 1)
