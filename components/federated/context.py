"""What members and collector must compute alike: the key of each mask, and the sentence that survivors sign.

Of a pair (u, v) with u before v in order of names, u adds the mask PRG(s_uv) and v subtracts it, so it is gone from
the sum of both. Every key names agreement (hence run, batch and all public keys) and pair, and the key of a mask the
message too: no two masks have one key. It also names all that was asked in the batch so far, so that masks of members
that were asked different things cancel nowhere.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from components.federated.frame import Json, Octets, bind, canonical, digest
from components.federated.keys import agree, derive
from components.federated.mask import add_mask, subtract_mask

SHARES, DELIVERY, MASKED = "shares", "delivery", "masked vector"
SURVIVING, SIGNED, SIGNATURES, REVEALED = "survivors", "signature", "signatures", "revealed shares"
"""Kinds of the messages after the keys, in their order."""

SURVIVORS = "survivors"
"""The purpose of a signature on a `statement`."""


def pair_key(secret: bytes | bytearray, public: bytes, *, agreement: bytes, name: str, peer: str) -> bytes:
    """The key of a pair for one batch; `secret` is of one of the two and `public` of the other."""
    return agree(secret, public, bind("pair", agreement, *sorted((name, peer))))


def question_of(instruction: Mapping[str, Json], parts: Sequence[Octets]) -> bytes:
    """Digest of what a member is asked a vector for."""
    return digest("question", canonical(instruction), *map(bytes, parts))


def asked_after(before: bytes, question: bytes) -> bytes:
    """Digest of all that was asked in a batch, with one question more; `before` is empty at first."""
    return digest("asked", before, question)


def add_pair_mask(
    vector: np.ndarray, key: bytes | bytearray, *, message: int, asked: bytes, name: str, peer: str
) -> None:
    """Add to `vector` what `name` adds for `peer`; with the two exchanged, what takes it away again."""
    (add_mask if name < peer else subtract_mask)(vector, derive(key, bind("pair mask", message, asked)))


def own_mask_key(seed: bytes, *, agreement: bytes, message: int, name: str) -> bytes:
    """The key of the mask that a member shares with nobody."""
    return derive(seed, bind("own mask", agreement, message, name))


def sealing_context(agreement: bytes, sender: str, recipient: str) -> bytes:
    """Context of the one blob of shares from a member to another."""
    return bind("shares", agreement, sender, recipient)


def statement(agreement: bytes, message: int, sharers: Iterable[str], survivors: Iterable[str]) -> bytes:
    """What a survivor signs: who of those that dealt shares gave a vector to this sum."""
    return bind("statement", agreement, message, canonical([sorted(sharers), sorted(survivors)]))
