"""Keys that live for one batch: agreed between two by X25519, derived by HKDF-SHA256, used to seal by AES-256-GCM.

A derived key carries its whole context (what for, which agreement, which message, who and whom), so that a key of one
place opens nothing at another. Secrets are held in `bytearray`s, which can be overwritten.
Source: RFC 7748 (X25519); RFC 5869 (HKDF); NIST SP 800-38D (GCM).
"""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SECRET_BYTES = 32
PUBLIC_BYTES = 32
TAG_BYTES = 16

_NONCE = bytes(12)
_ANY = X25519PrivateKey.from_private_bytes(bytes(SECRET_BYTES))


def fresh_secret() -> bytearray:
    """32 octets from the operating system."""
    return bytearray(os.urandom(SECRET_BYTES))


def erase(secret: bytearray) -> None:
    """Overwrite a secret. Copies that a library made of it are beyond reach, so this shortens its life, no more."""
    secret[:] = bytes(len(secret))


def public_of(secret: bytes | bytearray) -> bytes:
    """The X25519 public key of a secret."""
    return X25519PrivateKey.from_private_bytes(bytes(secret)).public_key().public_bytes_raw()


def is_usable(public: bytes) -> bool:
    """Whether a public key is none of the few that make every agreement the same."""
    try:
        _ANY.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        return False
    return True


def agree(secret: bytes | bytearray, public: bytes, context: bytes) -> bytes:
    """The key of two who each have one secret and the other's public key, for one `context`."""
    shared = X25519PrivateKey.from_private_bytes(bytes(secret)).exchange(X25519PublicKey.from_public_bytes(public))
    return derive(shared, context)


def derive(secret: bytes | bytearray, context: bytes) -> bytes:
    """A 32-byte key from a secret, for one `context`."""
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=context).derive(bytes(secret))


def seal(key: bytes, context: bytes, content: bytes) -> bytes:
    """`content`, readable with `key` and valid under `context` alone."""
    # A key seals once, so its nonce need not vary.
    return AESGCM(key).encrypt(_NONCE, content, context)


def unseal(key: bytes, context: bytes, sealed: bytes) -> bytes | None:
    """What was sealed; None where it was sealed by someone else, for another context, or changed."""
    try:
        return AESGCM(key).decrypt(_NONCE, sealed, context)
    except InvalidTag:
        return None
