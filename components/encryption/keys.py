"""The keys of one user for one model and epoch, all derived from the proxy's master secret.

HKDF-SHA256 with the whole context in `info`, each part preceded by its length, so that no two uses share a key. Nothing
but the master is stored: a crashed publication repeated gives the same keys, and a rotation is the next epoch. Who
holds the master can read every user's answers, so it stays on the proxy (`secret_file`, 0600).
Source: RFC 5869 (HKDF); NIST SP 800-38A, section 6.5 (AES in counter mode).
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from components.encryption.elgamal import SCALAR_BYTES, ElGamalSecret, reduced
from components.encryption.paillier import PROFILES, PaillierSecret, generate
from components.errors import InvalidInput
from components.secret_file import create_once

SECRET_BYTES = 32
FINGERPRINT_BYTES = 16
TAG_BYTES = 32


def derive(secret: bytes, *context: str | bytes, length: int = SECRET_BYTES) -> bytes:
    """`length` bytes from a secret, for one context."""
    parts = [part.encode() if isinstance(part, str) else part for part in ("troth encryption 1", *context)]
    info = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=None, info=info).derive(secret)


def words(key: bytes, nonce: bytes, count: int) -> np.ndarray:
    """The first `count` words (uint64) of the AES-CTR stream of a key and a nonce of at most 12 bytes."""
    encryptor = Cipher(algorithms.AES(key), modes.CTR(nonce.ljust(12, b"\0") + bytes(4))).encryptor()
    return np.frombuffer(encryptor.update(bytes(8 * count)), dtype="<u8")


def permutation(key: bytes, count: int) -> np.ndarray:
    """A keyed order of 0..count-1."""
    return np.argsort(words(key, b"", count), kind="stable")


def tag(key: bytes, *parts: str | bytes) -> bytes:
    """32 bytes of HMAC-SHA256 over parts, each preceded by its length."""
    octets = [part.encode() if isinstance(part, str) else part for part in parts]
    return hmac.digest(key, b"".join(len(part).to_bytes(4, "big") + part for part in octets), hashlib.sha256)


def master_secret(path: Path) -> bytes:
    """The proxy's master secret, made on first use.

    Raises
    ------
    InvalidInput
        The file is of another length, or others may read it.
    """
    if not path.exists():
        create_once(path, secrets.token_bytes(SECRET_BYTES))
    if (mode := path.stat().st_mode & 0o777) & 0o077:
        raise InvalidInput(f"master secret {path} has mode {mode:04o}: others can read it; run chmod 600 on it")
    content = path.read_bytes()
    if len(content) != SECRET_BYTES:
        raise InvalidInput(
            f"master secret {path} has {len(content)} bytes, not {SECRET_BYTES}; restore it from a backup"
        )
    return content


@dataclass(frozen=True)
class IssuedKeys:
    """What `issue` makes; secret as a whole, the user's and the proxy's alike."""

    user: str
    model: str
    """Digest of the plain model."""
    epoch: int
    bits: int
    """Of the Paillier modulus."""
    root: bytes = field(repr=False)
    decoys: bytes = field(repr=False)
    """Of all champions of a name, not of the user: what bundles have in common must not be the model's cuts alone."""

    def key(self, purpose: str) -> bytes:
        """A 32-byte key for one purpose."""
        return derive(self.root, purpose)

    @cached_property
    def paillier(self) -> PaillierSecret:
        """Made on first use, which takes about a second."""
        return generate(self.bits, lambda attempt, length: derive(self.root, "paillier", str(attempt), length=length))

    @cached_property
    def elgamal(self) -> ElGamalSecret:
        return ElGamalSecret(reduced(derive(self.root, "elgamal", length=2 * SCALAR_BYTES)))


def issue(master: bytes, *, user: str, model: str, epoch: int, bits: int = 3072, name: str | None = None) -> IssuedKeys:
    """The keys of `user` for the model of digest `model` in an epoch; the same arguments give the same keys.

    `name`: the model's registered name, whose champions have their decoys from one key; the digest unless given.

    Raises
    ------
    InvalidInput
        The master secret is too short, or the size of the modulus is none of the profiles.
    """
    if len(master) < SECRET_BYTES:
        raise InvalidInput(f"the master secret has {len(master)} bytes; it needs {SECRET_BYTES}")
    if bits not in PROFILES:
        raise InvalidInput(f"bits is {bits}; a Paillier modulus has one of {', '.join(map(str, PROFILES))} bits")
    context = (user, model, str(epoch), str(bits))
    return IssuedKeys(
        user, model, epoch, bits, derive(master, "user", *context), derive(master, "decoys", name or model)
    )


def fingerprint(scheme: str, public: bytes, binding: bytes) -> bytes:
    """16 bytes that name a key and the terms it is used on: shown to people in hexadecimal, carried by every message.

    `binding` is a tag over what client and artifact must agree on besides the key, such as the grid.
    """
    return hashlib.sha256(f"troth {scheme} key ".encode() + public + binding).digest()[:FINGERPRINT_BYTES]
