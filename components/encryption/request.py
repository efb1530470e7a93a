"""A request signed by a user: who asks, when, once, and exactly what.

    signed: "troth request 2" | method | target | user | time | nonce | length of the JSON part | SHA-256 of the body

Each on a line of its own. The digest is a header too, so that a server knows who asks before it takes a body in. The
time bounds how long a server must remember nonces. What is signed names no server: one server may pass a request on to
another, which gives it an answer it could have computed by itself.
Source: RFC 8032 (Ed25519); the idea of RFC 9421 without its choices.
"""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from components.encryption.user import UserKeys

USER, TIME, NONCE, SIGNATURE = "troth-user", "troth-time", "troth-nonce", "troth-signature"
DIGEST = "troth-digest"
JSON_LENGTH = "inference-header-content-length"
"""The Open Inference Protocol's header: where in a binary body the JSON ends and tensors begin."""
NONCE_BYTES, DIGEST_BYTES, SIGNATURE_BYTES = 16, 32, 64


@dataclass(frozen=True)
class Signed:
    """What stands in a request's headers; `time` in milliseconds since 1970."""

    user: str
    time: int
    nonce: bytes
    digest: bytes
    """SHA-256 that the body is to have."""
    signature: bytes


def signing_text(
    method: str, target: str, user: str, time: int, nonce: bytes, json_length: str, digest: bytes
) -> bytes:
    """What a signature is over."""
    return "\n".join(
        ("troth request 2", method, target, user, str(time), nonce.hex(), json_length, digest.hex())
    ).encode()


def sign(keys: UserKeys, method: str, target: str, body: bytes, *, json_length: str, now: float) -> dict[str, str]:
    """The headers that sign a request made at `now` (seconds since 1970)."""
    time, nonce, digest = round(1000 * now), secrets.token_bytes(NONCE_BYTES), hashlib.sha256(body).digest()
    text = signing_text(method, target, keys.user, time, nonce, json_length, digest)
    octets = {NONCE: nonce, DIGEST: digest, SIGNATURE: keys.signing.sign(text)}
    return {USER: keys.user, TIME: str(time), **{name: one.hex() for name, one in octets.items()}}


def read_signed(headers: Mapping[str, str]) -> Signed | None:
    """What the headers say; None where they are missing or no such thing."""
    time, *texts = (headers.get(name, "") for name in (TIME, NONCE, DIGEST, SIGNATURE))
    if not (time.isascii() and time.isdecimal() and len(time) <= 15):
        return None
    try:
        octets = [bytes.fromhex(text) for text in texts]
    except ValueError:
        return None
    if [*map(len, octets)] != [NONCE_BYTES, DIGEST_BYTES, SIGNATURE_BYTES]:
        return None
    return Signed(headers.get(USER, ""), int(time), *octets)
