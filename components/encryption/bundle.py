"""What the proxy sends a user by way of the server: a model's keys and meaning, sealed to the user and signed.

    bundle = magic | length of terms | terms (JSON) | signature | sealed;  signature over magic, terms and sealed
    word   = serial, signature over terms and serial: these are live since change number `serial`

The server keeps and hands out bundles it cannot open. Without the signature it could make up one of its own, and read
every query under it; so the client trusts the one key that it got from the proxy by another way. Serials rise with
every change, a rollback too, so that a client who has seen one takes no earlier bundle for the live one.
Does not withstand: a server that hands out an older bundle with its word to a client that has seen no newer one.
"""

import json
from dataclasses import asdict, dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from components.data.schema import Schema
from components.encryption.keys import derive
from components.encryption.publish import Client, read_client
from components.encryption.refusal import Malformed, WrongKey
from components.encryption.sealed import seal, unseal
from components.encryption.user import Card, Grant, UserKeys, verifying

_MAGIC = b"TrU1"
_SIGNATURE = 64
_LENGTH = 4


@dataclass(frozen=True)
class Terms:
    """What a bundle is for: public, and what its signature speaks of."""

    user: str
    model: str
    """The plain model's registered name."""
    digest: str
    epoch: int
    mode: str
    bits: int
    cut_points: str
    fingerprint: str

    def text(self) -> bytes:
        return json.dumps(asdict(self), sort_keys=True).encode()


@dataclass(frozen=True)
class Opened:
    """A bundle opened: who it is for, how rows are read, and the keys."""

    terms: Terms
    serial: int
    schema: Schema
    client: Client


def proxy_key(master: bytes) -> Ed25519PrivateKey:
    """The key by which users know the proxy."""
    return Ed25519PrivateKey.from_private_bytes(derive(master, "proxy", "signs"))


def make_bundle(terms: Terms, client: Client, schema: Schema, card: Card, signing: Ed25519PrivateKey) -> bytes:
    """The bundle of a publication."""
    text, described = terms.text(), schema.model_dump_json().encode()
    content = len(described).to_bytes(_LENGTH, "big") + described + client.to_bytes()
    sealed = seal(content, card.opens, text.decode())
    head = _MAGIC + len(text).to_bytes(_LENGTH, "big") + text
    return head + signing.sign(head + sealed) + sealed


def live_word(terms: Terms, serial: int, signing: Ed25519PrivateKey) -> str:
    """The proxy's word that a bundle is live since change number `serial`."""
    return f"{serial} {signing.sign(_spoken(terms, serial)).hex()}"


def read_terms(bundle: bytes, proxy: bytes) -> Terms:
    """What the proxy of public key `proxy` signed a bundle for.

    Raises
    ------
    Malformed, WrongKey
        It is no bundle, or this proxy did not sign it.
    """
    return _read(bundle, proxy)[0]


def open_bundle(bundle: bytes, word: str, keys: UserKeys, grant: Grant, model: str) -> Opened:
    """What the proxy sent `keys.user` for `model`, and since when it is live.

    Raises
    ------
    Malformed
        It is no bundle.
    WrongKey
        The proxy did not sign it, or its word, it is another user's or another model's, or does not open.
    """
    terms, text, sealed = _read(bundle, grant.proxy)
    if (terms.user, terms.model) != (keys.user, model):
        raise WrongKey(
            f"the bundle is for user '{terms.user}' and model '{terms.model}', not '{keys.user}' and '{model}'; "
            "ask whoever runs the server"
        )
    serial, _, signature = word.partition(" ")
    if not (serial.isascii() and serial.isdecimal() and len(serial) <= 15):
        raise Malformed("the server sent a bundle without the proxy's word that it is live; ask whoever runs it")
    _verify(grant.proxy, signature, _spoken(terms, int(serial)))
    content = unseal(sealed, keys.opening, text)
    middle = _LENGTH + int.from_bytes(content[:_LENGTH], "big")
    client = read_client(content[middle:])
    if client.fingerprint.hex() != terms.fingerprint:
        raise Malformed("the bundle holds other keys than it says; ask the proxy to publish the model again")
    return Opened(terms, int(serial), Schema.model_validate_json(content[_LENGTH:middle]), client)


def _read(bundle: bytes, proxy: bytes) -> tuple[Terms, str, bytes]:
    """Terms, their text, and what is sealed, of a bundle that `proxy` signed."""
    start = len(_MAGIC) + _LENGTH
    end = start + int.from_bytes(bundle[len(_MAGIC) : start], "big")
    head, signature, sealed = bundle[:end], bundle[end : end + _SIGNATURE], bundle[end + _SIGNATURE :]
    if not bundle.startswith(_MAGIC) or not sealed:
        raise Malformed("the server sent no bundle; ask whoever runs it")
    _verify(proxy, signature.hex(), head + sealed)
    try:
        return Terms(**json.loads(head[start:])), head[start:].decode(), sealed
    except (ValueError, TypeError):
        raise Malformed("the bundle is of another version; update Troth") from None


def _verify(proxy: bytes, signature: str, text: bytes) -> None:
    try:
        verifying(proxy).verify(bytes.fromhex(signature), text)
    except (InvalidSignature, ValueError):
        raise WrongKey(
            "the bundle is not signed by the proxy that issued your keys; trust this server no further"
        ) from None


def _spoken(terms: Terms, serial: int) -> bytes:
    return b"troth live 1\n" + terms.text() + f"\n{serial}".encode()
