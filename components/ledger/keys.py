"""The Ed25519 keys of the ledger (RFC 8032): one private key signs, every trusted public key verifies.

The public file may list several keys, one PEM block after another: one for each machine that promotes, and the retired
ones. Nothing is trusted by default: a private key is made only where there is no key of either kind yet.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from components.errors import InvalidInput
from components.secret_file import create_once

_PEM = re.compile(rb"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----", re.DOTALL)


@dataclass(frozen=True)
class SigningKey:
    """A private key, never shown, and the `name` of its public half."""

    name: str
    private: Ed25519PrivateKey

    def __repr__(self) -> str:
        return f"SigningKey({self.name})"

    def sign(self, body: bytes) -> str:
        """The signature (hex) of `body`."""
        return self.private.sign(body).hex()


@dataclass(frozen=True)
class TrustedKeys:
    """Public keys by name."""

    keys: dict[str, Ed25519PublicKey]

    def verifies(self, name: str, body: bytes, signature: str) -> bool:
        """Whether the key called `name`, which is one of ours, made `signature` (hex) under `body`."""
        try:
            self.keys[name].verify(bytes.fromhex(signature), body)
        except (InvalidSignature, ValueError):
            return False
        return True


def signing_key(private: Path, public: Path) -> SigningKey:
    """The key this machine signs with, made on first use (folder 0700, file 0600).

    Raises
    ------
    InvalidInput
        Others may read the private key; it is missing where a public one exists; or the public file does not list it.
    """
    if not private.exists():
        if public.exists():
            raise InvalidInput(
                f"private key {private} is missing while {public} exists; put the key back, or add this machine's key "
                "by the steps of docs/promotion.md"
            )
        create_once(private, _private_pem(Ed25519PrivateKey.generate()))
    _refuse_readable_by_others(private)
    try:
        key = load_pem_private_key(private.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidInput(f"private key {private} is not an Ed25519 key in PKCS8 PEM; restore it from a backup")
    if not public.exists():
        pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        create_once(public, pem, mode=0o644)
    name = _name(key.public_key())
    if name not in trusted_keys(public).keys:
        raise InvalidInput(f"public key file {public} does not list the public half of {private}; append it")
    return SigningKey(name, key)


def trusted_keys(public: Path) -> TrustedKeys:
    """Every public key the file lists.

    Raises
    ------
    InvalidInput
        The file is missing, or holds something other than Ed25519 public keys in PEM.
    """
    try:
        blocks = _PEM.findall(public.read_bytes())
        keys = [load_pem_public_key(block) for block in blocks]
    except OSError as error:
        raise InvalidInput(
            f"public key {public} of the promotion ledger cannot be read ({error.strerror}); copy it from a machine "
            "that promotes"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        keys = []
    if not keys or not all(isinstance(key, Ed25519PublicKey) for key in keys):
        raise InvalidInput(f"public key file {public} must hold Ed25519 public keys in PEM and nothing else")
    return TrustedKeys({_name(key): key for key in keys})


def _name(key: Ed25519PublicKey) -> str:
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:16]


def _private_pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _refuse_readable_by_others(private: Path) -> None:
    mode = private.stat().st_mode & 0o777
    if mode & 0o077:
        raise InvalidInput(f"private key {private} has mode {mode:04o}: others can sign with it; run chmod 600 on it")
