"""Where a user's bundle is safe: on its way, sealed to the user's X25519 key; at rest, under a passphrase.

    sealed: magic | E | AES-256-GCM(k, bundle), k = HKDF(X25519(e, U), E, U, context) with a fresh key pair (e, E)
    at rest: magic | salt | nonce | AES-256-GCM(k, content), k = scrypt(passphrase, salt, N = 2^17, r = 8, p = 1)

Does not withstand: somebody who seals in the proxy's name (the seal names no sender; `bundle` signs), theft of the
user's X25519 key later on, a passphrase guessed at some three guesses a second and core.
Source: RFC 7748 (X25519); RFC 5869 (HKDF); RFC 7914 (scrypt); NIST SP 800-38D (GCM).
"""

import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from components.encryption.keys import derive
from components.encryption.refusal import Malformed, WrongKey
from components.errors import InvalidInput
from components.secret_file import create_once

KEY_BYTES = 32
_SEALED, _PROTECTED = b"TrS1", b"TrP1"
_NONCE = bytes(12)
_SALT_BYTES = 16


def new_user_key() -> bytes:
    """A user's private X25519 key, made where the user is."""
    return X25519PrivateKey.generate().private_bytes_raw()


def public_user_key(private: bytes) -> bytes:
    """What the user gives to the proxy."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def seal(content: bytes, public: bytes, context: str) -> bytes:
    """`content` for the holder of a public X25519 key, valid for one `context` (user, model and epoch).

    Raises
    ------
    InvalidInput
        The key is no X25519 key that can be agreed with.
    """
    ephemeral = X25519PrivateKey.generate()
    try:
        shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        raise InvalidInput(
            f"the user's public key of {len(public)} bytes is no usable X25519 key; ask for it again"
        ) from None
    shown = ephemeral.public_key().public_bytes_raw()
    # The key seals once, so its nonce need not vary.
    return _SEALED + shown + AESGCM(derive(shared, "seal", shown, public, context)).encrypt(_NONCE, content, None)


def unseal(sealed: bytes, private: bytes, context: str) -> bytes:
    """What was sealed to this user in this context.

    Raises
    ------
    Malformed
        It is no sealed bundle.
    WrongKey
        It was sealed to another user, for another context, or was changed.
    """
    magic, shown, content = sealed[:4], sealed[4 : 4 + KEY_BYTES], sealed[4 + KEY_BYTES :]
    if magic != _SEALED or len(shown) != KEY_BYTES:
        raise Malformed("the file is no sealed bundle; fetch it again from the proxy")
    try:
        shared = X25519PrivateKey.from_private_bytes(private).exchange(X25519PublicKey.from_public_bytes(shown))
        return AESGCM(derive(shared, "seal", shown, public_user_key(private), context)).decrypt(_NONCE, content, None)
    except (InvalidTag, ValueError):
        raise WrongKey(
            f"the bundle for {context} does not open with this user's key; ask the proxy for yours"
        ) from None


def write_protected(path: Path, content: bytes, passphrase: str) -> None:
    """Keep a secret in a file of mode 0600 under a passphrase.

    Raises
    ------
    InvalidInput
        The passphrase is empty, or there is such a file already.
    """
    if not passphrase:
        raise InvalidInput(f"the passphrase for {path} is empty; choose one of several words")
    if path.exists():
        raise InvalidInput(f"{path} exists already; keep it, or remove it first")
    salt, nonce = os.urandom(_SALT_BYTES), os.urandom(len(_NONCE))
    create_once(path, _PROTECTED + salt + nonce + AESGCM(_stretched(passphrase, salt)).encrypt(nonce, content, None))


def is_protected(path: Path) -> bool:
    """Whether a file is one that `write_protected` wrote."""
    with path.open("rb") as file:
        return file.read(len(_PROTECTED)) == _PROTECTED


def read_protected(path: Path, passphrase: str) -> bytes:
    """The secret in a file.

    Raises
    ------
    InvalidInput
        The file is missing, or others may read it.
    Malformed
        It is no protected file.
    WrongKey
        The passphrase is another, or the file was changed.
    """
    try:
        mode, file = path.stat().st_mode & 0o777, path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"key file {path} cannot be read: {(error.strerror or str(error)).lower()}") from None
    if mode & 0o077:
        raise InvalidInput(f"key file {path} has mode {mode:04o}: others can read it; run chmod 600 on it")
    start = len(_PROTECTED) + _SALT_BYTES
    if not file.startswith(_PROTECTED) or len(file) < start + len(_NONCE):
        raise Malformed(f"{path} is no key file; restore it from a backup")
    salt, nonce, content = file[len(_PROTECTED) : start], file[start : start + len(_NONCE)], file[start + len(_NONCE) :]
    try:
        return AESGCM(_stretched(passphrase, salt)).decrypt(nonce, content, None)
    except InvalidTag:
        raise WrongKey(f"the passphrase does not open {path}; try again") from None


def _stretched(passphrase: str, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=KEY_BYTES, n=2**17, r=8, p=1).derive(passphrase.encode())
