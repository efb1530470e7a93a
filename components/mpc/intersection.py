"""Which rows of vertically split tables are of the same people: private set intersection by Diffie and Hellman.

Every side i draws a key k_i for this run alone. An id is hashed to a point P of the curve X25519; k_1 k_2 … P does not
depend on the order in which the keys are applied. Each side sends its ids, as k_i P and in a random order of its own,
round the ring of sides; each multiplies by its key and passes the list on. When all keys have been applied the lists
are shown to everybody: equal values are equal ids. Nobody can compute such a value for an id of his choice, as he lacks
the others' keys; nobody but its sender knows which row a place in a list belongs to.

*What is learnt.* Each side learns the number of ids of every side, and which of its own ids which others hold. With
three or more sides: also, of people it does not hold itself, how many are held by each set of other sides, but not who.
Sides that pool what they saw learn this of their ids together. A side that lies about its ids tests others for them.
Lists are shown without the engine's `reveal`; who calls this counts the ids.

Ids are hashed to the curve itself and never to its twist: which of the two a point is on can be seen under any key.
Keys are multiples of the cofactor 8, so no small subgroup shows either.
Source: Meadows, IEEE S&P 1986; Huberman, Franklin, Hogg, ACM EC 1999; X25519: RFC 7748; hashing by trial: Boneh, Lynn,
Shacham, ASIACRYPT 2001, section 3.3. Secure against honest-but-curious sides under decisional Diffie-Hellman, the hash
being a random oracle.
"""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from components.errors import InvalidInput

POINT_BYTES = 32

DOMAIN = b"troth row alignment 1\0"

PRIME = 2**255 - 19

Exchange = Callable[[str, Mapping[int, bytes], Mapping[int, int]], dict[int, memoryview]]
"""One round, as `Network.round`: octets for each peer, and how many are due from each."""


def common_rows(
    ids: Sequence[str], party: int, parties: int, exchange: Exchange, *, site: str = "intersection"
) -> np.ndarray:
    """Rows whose ids all sides hold, in an order common to all: the k-th of one is the person of the k-th of another.

    Parameters
    ----------
    ids : one a row, each once.
    exchange : `network.round` of this side's links, or the like. parties + 1 rounds are made.

    Returns
    -------
    Positions in `ids`, int64. Their order is random: by the masked values.

    Raises
    ------
    InvalidInput
        An id is there twice.
    """
    _require_distinct(ids)
    peers = [peer for peer in range(parties) if peer != party]
    size = len(ids).to_bytes(8, "little")
    told = exchange(f"{site}.sizes", dict.fromkeys(peers, size), dict.fromkeys(peers, len(size)))
    sizes = {party: len(ids)} | {peer: int.from_bytes(told[peer], "little") for peer in peers}

    key = X25519PrivateKey.generate()
    order = np.argsort(np.frombuffer(os.urandom(8 * len(ids)), dtype=np.uint64), kind="stable")
    points = _multiplied(key, [_to_curve(ids[row]) for row in order])
    before, after = (party - 1) % parties, (party + 1) % parties
    for step in range(1, parties):
        due = POINT_BYTES * sizes[(party - step) % parties]
        received = exchange(f"{site}.masked", {after: b"".join(points)}, {before: due})[before]
        points = _multiplied(key, _split(received))

    # What is here now came from the next side, all the way round.
    finished = {after: points}
    shown = b"".join(points)
    received = exchange(
        f"{site}.finished",
        dict.fromkeys(peers, shown),
        {peer: POINT_BYTES * sizes[(peer + 1) % parties] for peer in peers},
    )
    finished |= {(peer + 1) % parties: _split(content) for peer, content in received.items()}
    row_of = dict(zip(finished[party], order, strict=True))
    common = set.intersection(*(set(points) for points in finished.values()))
    return np.array([row_of[point] for point in sorted(common)], dtype=np.int64)


def _require_distinct(ids: Sequence[str]) -> None:
    first: dict[str, int] = {}
    for row, name in enumerate(ids):
        if name in first:
            raise InvalidInput(f"rows {first[name]} and {row} have the same id; keep one row for each")
        first[name] = row


def _to_curve(name: str) -> bytes:
    """The id's point, by its u-coordinate: the first hash for which v^2 = u^3 + 486662 u^2 + u has a solution."""
    octets = name.encode()
    for trial in range(256):
        digest = hashlib.sha256(DOMAIN + bytes([trial]) + octets).digest()
        u = int.from_bytes(digest, "little") % 2**255
        if _jacobi(u * (u * u + 486662 * u + 1) % PRIME, PRIME) == 1:
            return digest
    raise AssertionError("256 hashes off the curve: of probability 2^-256")


def _jacobi(a: int, n: int) -> int:
    """Whether a is a square modulo the odd prime n (1) or not (-1); four times as fast as Euler's power."""
    sign = 1
    while a:
        twos = (a & -a).bit_length() - 1
        a >>= twos
        if twos & 1 and n & 7 in (3, 5):
            sign = -sign
        if a & n & 3 == 3:
            sign = -sign
        a, n = n % a, a
    return sign if n == 1 else 0


def _multiplied(key: X25519PrivateKey, points: Sequence[bytes]) -> list[bytes]:
    return [key.exchange(X25519PublicKey.from_public_bytes(point)) for point in points]


def _split(content: memoryview) -> list[bytes]:
    octets = bytes(content)
    return [octets[start : start + POINT_BYTES] for start in range(0, len(octets), POINT_BYTES)]
