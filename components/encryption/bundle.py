"""What the proxy sends a user by way of the server: a model's keys and meaning, sealed to the user and signed.

    bundle = magic | length of terms | terms (JSON) | signature | sealed;  signature over magic, terms and sealed

The server keeps and hands out bundles it cannot open. Without the signature it could make up one of its own, and read
every query under it; so the client trusts the one key that it got from the proxy by another way.
Does not withstand: a server that hands out an older bundle than it should, while the client has seen no newer one.
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
    fingerprint: str

    def text(self) -> bytes:
        return json.dumps(asdict(self), sort_keys=True).encode()


@dataclass(frozen=True)
class Opened:
    """A bundle opened: who it is for, how rows are read, and the keys."""

    terms: Terms
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


def open_bundle(bundle: bytes, keys: UserKeys, grant: Grant, model: str) -> Opened:
    """What the proxy sent `keys.user` for `model`.

    Raises
    ------
    Malformed
        It is no bundle.
    WrongKey
        The proxy did not sign it, it is another user's or another model's, or does not open.
    """
    start = len(_MAGIC) + _LENGTH
    end = start + int.from_bytes(bundle[len(_MAGIC) : start], "big")
    head, signature, sealed = bundle[:end], bundle[end : end + _SIGNATURE], bundle[end + _SIGNATURE :]
    if not bundle.startswith(_MAGIC) or not sealed:
        raise Malformed("the server sent no bundle; ask whoever runs it")
    try:
        verifying(grant.proxy).verify(signature, head + sealed)
    except InvalidSignature:
        raise WrongKey(
            "the bundle is not signed by the proxy that issued your keys; trust this server no further"
        ) from None
    try:
        terms = Terms(**json.loads(head[start:]))
    except (ValueError, TypeError):
        raise Malformed("the bundle is of another version; update Troth") from None
    if (terms.user, terms.model) != (keys.user, model):
        raise WrongKey(
            f"the bundle is for user '{terms.user}' and model '{terms.model}', not '{keys.user}' and '{model}'; "
            "ask whoever runs the server"
        )
    content = unseal(sealed, keys.opening, head[start:].decode())
    middle = _LENGTH + int.from_bytes(content[:_LENGTH], "big")
    client = read_client(content[middle:])
    if client.fingerprint.hex() != terms.fingerprint:
        raise Malformed("the bundle holds other keys than it says; ask the proxy to publish the model again")
    return Opened(terms, Schema.model_validate_json(content[_LENGTH:middle]), client)
