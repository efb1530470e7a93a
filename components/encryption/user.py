"""A user's own keys: made on the user's machine, from one secret, of which the proxy sees the public halves alone.

    seed, 32 random bytes;  X25519 key = HKDF(seed, "opens"), to which bundles are sealed
                            Ed25519 key = HKDF(seed, "signs"), which signs requests to the server

Does not withstand: somebody who swaps the card on its way to the proxy, so hand it over where swapping is noticed; the
theft of the seed, which opens every bundle there ever was (revoke the user, and issue keys on a new card).
"""

import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from components.encryption.keys import derive
from components.encryption.refusal import Malformed
from components.encryption.sealed import KEY_BYTES, is_protected, new_user_key, public_user_key, read_protected
from components.encryption.sealed import write_protected as protect
from components.errors import InvalidInput
from components.secret_file import create_once

KEY_FILE, CARD_FILE, GRANT_FILE = "user.key", "user.card", "user.grant"
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
"""A user's name is part of addresses and of names in the registry."""


@dataclass(frozen=True)
class Card:
    """What a user gives to the proxy: a name and the public halves of two keys."""

    user: str
    opens: bytes
    signs: bytes

    def text(self) -> str:
        return json.dumps({"user": self.user, "opens": self.opens.hex(), "signs": self.signs.hex()}, indent=1) + "\n"


@dataclass(frozen=True)
class Grant:
    """What the proxy gives back: the key that signs its bundles. The client trusts no other."""

    user: str
    proxy: bytes

    def text(self) -> str:
        return json.dumps({"user": self.user, "proxy": self.proxy.hex()}, indent=1) + "\n"


@dataclass(frozen=True)
class UserKeys:
    """Both private keys."""

    user: str
    seed: bytes = field(repr=False)

    @cached_property
    def opening(self) -> bytes:
        """The X25519 key."""
        return derive(self.seed, "user", "opens")

    @cached_property
    def signing(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(derive(self.seed, "user", "signs"))

    @property
    def card(self) -> Card:
        return Card(self.user, public_user_key(self.opening), self.signing.public_key().public_bytes_raw())


def require_name(user: str) -> str:
    """`user`, or `InvalidInput` where it can be no user's name."""
    if not NAME.fullmatch(user):
        raise InvalidInput(
            f"'{user[:80]}' is no user's name; use up to 63 small letters, digits, '-' and '_', a letter or digit first"
        )
    return user


def make_user(folder: Path, user: str, *, passphrase: str | None = None) -> UserKeys:
    """A new user's folder: the key, mode 0600 and under a passphrase if one is given, and the card.

    Raises
    ------
    InvalidInput
        The name cannot be, the passphrase is empty, or there are keys in the folder.
    """
    keys = UserKeys(require_name(user), new_user_key())
    path = folder / KEY_FILE
    if path.exists():
        raise InvalidInput(f"{path} exists already; keep it, or make the new keys in another folder")
    # The card first: without a key it is replaced by the next attempt, a key without a card would be stuck.
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / CARD_FILE).write_text(keys.card.text())
    content = json.dumps({"user": user, "seed": keys.seed.hex()}).encode()
    if passphrase is None:
        create_once(path, content)
    else:
        protect(path, content, passphrase)
    return keys


def is_locked(folder: Path) -> bool:
    """Whether the key in a user's folder asks for a passphrase."""
    return is_protected(folder / KEY_FILE)


def read_user(folder: Path, *, passphrase: str | None = None) -> UserKeys:
    """The keys in a user's folder.

    Raises
    ------
    InvalidInput
        There are none, others may read them, or a passphrase is asked for and none is given.
    WrongKey
        The passphrase is another.
    """
    path = folder / KEY_FILE
    if not path.exists():
        raise InvalidInput(f"{folder} holds no {KEY_FILE}; make keys with 'troth keys new NAME --folder {folder}'")
    if is_protected(path):
        if passphrase is None:
            raise InvalidInput(f"{path} is under a passphrase; give it when asked, or in TROTH_PASSPHRASE")
        content = read_protected(path, passphrase)
    else:
        if (mode := path.stat().st_mode & 0o777) & 0o077:
            raise InvalidInput(f"key file {path} has mode {mode:04o}: others can read it; run chmod 600 on it")
        content = path.read_bytes()
    try:
        facts = json.loads(content)
        return UserKeys(require_name(facts["user"]), _key(facts["seed"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Malformed(f"{path} is no user's key; restore it from a backup") from None


def read_card(path: Path) -> Card:
    """A user's card.

    Raises
    ------
    InvalidInput
        The file is missing or no card.
    """
    facts = _public(path, "card", ("user", "opens", "signs"))
    return Card(require_name(facts["user"]), facts["opens"], facts["signs"])


def read_grant(folder: Path, user: str) -> Grant:
    """The proxy's grant in a user's folder.

    Raises
    ------
    InvalidInput
        The file is missing, no grant, or another user's.
    """
    facts = _public(folder / GRANT_FILE, "grant", ("user", "proxy"))
    if facts["user"] != user:
        theirs = facts["user"][:80]
        raise InvalidInput(f"{folder / GRANT_FILE} is for '{theirs}', not '{user}'; ask the proxy for yours")
    return Grant(user, facts["proxy"])


def verifying(public: bytes) -> Ed25519PublicKey:
    """An Ed25519 key that came from outside, of 32 bytes."""
    return Ed25519PublicKey.from_public_bytes(public)


def _public(path: Path, what: str, names: tuple[str, ...]) -> dict:
    """The user's name, and keys as bytes."""
    try:
        facts = json.loads(path.read_text())
        if facts.keys() == set(names) and isinstance(facts["user"], str):
            return {"user": facts["user"], **{name: _key(facts[name]) for name in names[1:]}}
    except OSError as error:
        raise InvalidInput(f"{what} {path} cannot be read: {(error.strerror or str(error)).lower()}") from None
    except (ValueError, TypeError, AttributeError):
        pass
    raise InvalidInput(f"{path} is no {what}; ask for the file again")


def _key(text: str) -> bytes:
    key = bytes.fromhex(text)
    if len(key) != KEY_BYTES:
        raise ValueError("a key of another length")
    return key
