"""The Ed25519 keys of the ledger (RFC 8032): one private key signs, every trusted public key verifies.

The public file may list several keys, one PEM block after another: one for each machine that promotes, and the retired
ones. Nothing is trusted by default: a private key is made only where there is no key of either kind yet.
"""

import hashlib
import os
import re
import secrets
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
        _create(private, _private_pem(Ed25519PrivateKey.generate()), mode=0o600)
    _refuse_readable_by_others(private)
    try:
        key = load_pem_private_key(private.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidInput(f"private key {private} is not an Ed25519 key in PKCS8 PEM; restore it from a backup")
    if not public.exists():
        pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        _create(public, pem, mode=0o644)
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


def _create(path: Path, content: bytes, *, mode: int) -> None:
    """Write `path` whole or not at all; where another process was first, its file stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # A link, unlike a rename, fails where the name is taken: two first uses end with one key.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _refuse_readable_by_others(private: Path) -> None:
    mode = private.stat().st_mode & 0o777
    if mode & 0o077:
        raise InvalidInput(f"private key {private} has mode {mode:04o}: others can sign with it; run chmod 600 on it")
