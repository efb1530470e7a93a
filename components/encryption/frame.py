"""The frame of every message: what it is, under whose key, of how many rows, and nothing of variable length besides.

    magic (4 bytes) | fingerprint of the key (16) | rows (4, little-endian) | payload, whose length follows from rows

So a receiver knows the exact length before it looks at a byte of the payload.
"""

import struct
from collections.abc import Callable

from components.encryption.keys import FINGERPRINT_BYTES
from components.encryption.refusal import Malformed, WrongKey

_HEADER = struct.Struct(f"<4s{FINGERPRINT_BYTES}sI")
MOST_ROWS = 4096
MOST_ROWS_OF = {"order": MOST_ROWS, "hidden": 16}
"""Rows of a query that a server takes, by mode: seconds of a core."""

ORDER_QUERY, ORDER_ANSWER, HIDDEN_QUERY, HIDDEN_ANSWER = b"TrO1", b"TrA1", b"TrH1", b"TrB1"


def framed(magic: bytes, fingerprint: bytes, rows: int, payload: bytes) -> bytes:
    """The message."""
    return _HEADER.pack(magic, fingerprint, rows) + payload


def heading(content: bytes) -> tuple[bytes, bytes, int] | None:
    """Magic, fingerprint and rows that a message claims; None where it is shorter than that."""
    return _HEADER.unpack_from(content) if len(content) >= _HEADER.size else None


def unframed(
    content: bytes, magic: bytes, fingerprint: bytes, length: Callable[[int], int], *, most_rows: int = MOST_ROWS
) -> tuple[int, memoryview]:
    """Rows and payload of a message under the key of `fingerprint`, `length(rows)` giving the payload's bytes.

    Raises
    ------
    Malformed
        It is too short, of another kind or version, has no rows or too many, or another length than they need.
    WrongKey
        It is under another key.
    """
    if len(content) < _HEADER.size:
        raise Malformed(f"a message of {len(content)} bytes is shorter than its header of {_HEADER.size}")
    found, theirs, rows = _HEADER.unpack_from(content)
    if found != magic:
        raise Malformed(f"the message is marked {found!r}, not {magic!r}: it is of another kind or version")
    if theirs != fingerprint:
        raise WrongKey(
            f"the message is under key {theirs.hex()}, not {fingerprint.hex()}; "
            "use the keys of that user, model and epoch"
        )
    if not 1 <= rows <= most_rows:
        raise Malformed(f"the message has {rows} rows; send 1 to {most_rows}")
    if len(content) - _HEADER.size != length(rows):
        raise Malformed(f"{len(content) - _HEADER.size} bytes follow the header where {rows} rows need {length(rows)}")
    return rows, memoryview(content)[_HEADER.size :]
