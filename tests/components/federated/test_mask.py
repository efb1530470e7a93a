"""Keys and masks against vectors from their standards and against OpenSSL used the other way round."""

import hashlib
import hmac

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.federated.keys import agree, derive, fresh_secret, is_usable, public_of, seal, unseal
from components.federated.mask import add_mask, subtract_mask


def extract_and_expand(secret: bytes, info: bytes, length: int) -> bytes:
    """HKDF-SHA256 with an empty salt, as RFC 5869 writes it."""
    key, block, stream, number = hmac.digest(bytes(32), secret, hashlib.sha256), b"", b"", 1
    while len(stream) < length:
        block = hmac.digest(key, block + info + bytes([number]), hashlib.sha256)
        stream, number = stream + block, number + 1
    return stream[:length]


def ladder(scalar: bytes, point: int) -> bytes:
    """X25519 by the Montgomery ladder of RFC 7748, section 5, in Python's integers."""
    prime = 2**255 - 19
    k = int.from_bytes(scalar, "little") & ((1 << 254) - 8) | 1 << 254
    x2, z2, x3, z3 = 1, 0, point, 1
    for bit in range(254, -1, -1):
        if k >> bit & 1:
            x2, z2, x3, z3 = x3, z3, x2, z2
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        da, cb = d * a, c * b
        x3, z3 = (da + cb) ** 2 % prime, point * (da - cb) ** 2 % prime
        aa, bb = a * a % prime, b * b % prime
        x2, z2 = aa * bb % prime, (aa - bb) * (aa + 121665 * (aa - bb)) % prime
        if k >> bit & 1:
            x2, z2, x3, z3 = x3, z3, x2, z2
    return (x2 * pow(z2, -1, prime) % prime).to_bytes(32, "little")


def test_agreement_is_that_of_the_ladder_in_rfc_7748():
    alice, bob = fresh_secret(), fresh_secret()
    assert public_of(alice) == ladder(alice, 9)
    shared = ladder(bytes(bob), int.from_bytes(public_of(alice), "little"))
    assert agree(alice, public_of(bob), b"place") == extract_and_expand(shared, b"place", 32)


def test_both_ends_agree_and_every_context_gives_another_key():
    one, other = fresh_secret(), fresh_secret()
    assert agree(one, public_of(other), b"a") == agree(other, public_of(one), b"a")
    assert agree(one, public_of(other), b"a") != agree(one, public_of(other), b"b")


def test_rfc_5869_gives_the_same_key():
    # Test case 3: no salt, no info.
    expected = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
    assert derive(b"\x0b" * 22, b"").hex() == expected


@pytest.mark.parametrize(
    "point", [0, 1, 2**255 - 20, 325606250916557431795983626356110631294008115727848805560023387167927233504]
)
def test_a_key_with_which_anybody_agrees_is_told(point):
    assert not is_usable(point.to_bytes(32, "little"))
    assert is_usable(public_of(fresh_secret()))


def test_what_is_sealed_opens_with_its_key_and_context_only():
    key = bytes(fresh_secret())
    sealed = seal(key, b"here", b"secret")
    assert unseal(key, b"here", sealed) == b"secret"
    assert unseal(key, b"there", sealed) is None
    assert unseal(bytes(32), b"here", sealed) is None
    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1
        assert unseal(key, b"here", bytes(changed)) is None


def test_nist_sp_800_38a_gives_the_same_stream():
    # Section F.5.5 checks AES-256; the counter there begins elsewhere, so the first block is taken from ECB (F.1.5).
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    key = bytes.fromhex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4")
    block = Cipher(algorithms.AES256(key), modes.ECB()).encryptor()
    expected = b"".join(block.update(counter.to_bytes(16, "big")) for counter in range(20_000))
    assert block.update(bytes.fromhex("6bc1bee22e409f96e93d7e117393172a")).hex() == "f3eed1bdb5d2a03c064b5a7e3db181f8"
    vector = np.zeros(40_000, dtype=np.uint64)
    add_mask(vector, key)
    assert vector.tobytes() == expected


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 70_000), st.binary(min_size=32, max_size=32), st.integers(0, 2**64 - 1))
def test_a_mask_added_and_subtracted_is_gone_and_a_longer_vector_begins_alike(length, key, value):
    vector = np.full(length, value, dtype=np.uint64)
    add_mask(vector, key)
    longer = np.full(length + 3, value, dtype=np.uint64)
    add_mask(longer, key)
    np.testing.assert_array_equal(longer[:length], vector)
    subtract_mask(vector, key)
    assert (vector == value).all()
