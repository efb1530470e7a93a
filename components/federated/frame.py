"""How everything is written that members and the collector tell one another: a kind, a small document, octet strings.

The document is JSON, the octet strings follow it with their lengths declared in front, and a frame that is a byte too
short or too long is refused. There is no pickling and no type that decides what code runs.
"""

import hashlib
import json
import math
import struct
from collections.abc import Mapping, Sequence

from components.federated.violation import ProtocolViolation

Json = None | bool | int | float | str | list | dict
Octets = bytes | bytearray | memoryview

_HEADER = struct.Struct("<4sI")
_MAGIC = b"TrF1"
_DOCUMENT_BYTES = 16 << 20
_MARKS = {bytes: b"b", str: b"s", int: b"i"}


def pack(kind: str, document: Mapping[str, Json], parts: Sequence[Octets] = ()) -> bytes:
    """The octets of a frame."""
    head = canonical([kind, dict(document), [memoryview(part).nbytes for part in parts]])
    # Spaces at its end are nothing to JSON, and words that follow lie where the processor likes them.
    head += b" " * (-(_HEADER.size + len(head)) % 8)
    return b"".join([_HEADER.pack(_MAGIC, len(head)), head, *parts])


def unpack(content: Octets, kind: str, *, sender: str) -> tuple[dict[str, Json], list[memoryview]]:
    """Document and octet strings of a frame of the expected kind.

    Raises
    ------
    ProtocolViolation
        It is no such frame; `sender` is blamed.
    """
    content = memoryview(content)
    try:
        magic, length = _HEADER.unpack_from(content)
        start = _HEADER.size + length
        if magic != _MAGIC or length > _DOCUMENT_BYTES or start > len(content):
            raise ValueError
        found, document, sizes = _DECODER.decode(str(content[_HEADER.size : start], "utf-8"))
        if found != kind or not isinstance(document, dict):
            raise ValueError
        if not all(type(size) is int and size >= 0 for size in sizes) or start + sum(sizes) != len(content):
            raise ValueError
    except (ValueError, TypeError, struct.error, RecursionError):
        raise ProtocolViolation(sender, f"sent something that is no '{kind}'") from None
    parts = []
    for size in sizes:
        parts.append(content[start : start + size])
        start += size
    return document, parts


def canonical(document: Json | tuple) -> bytes:
    """JSON of which there is one spelling, to be signed or hashed."""
    return _ENCODER.encode(document).encode()


def bind(*fields: str | int | bytes) -> bytes:
    """Fields written so that no other fields read the same: each with its type and length in front."""
    written = bytearray()
    for field in fields:
        mark, octets = _MARKS[type(field)], field if isinstance(field, bytes) else str(field).encode()
        written += mark + struct.pack("<Q", len(octets)) + octets
    return bytes(written)


def digest(*fields: str | int | bytes) -> bytes:
    """SHA-256 of fields bound together."""
    return hashlib.sha256(bind(*fields)).digest()


def _finite(written: str) -> float:
    value = float(written)
    if not math.isfinite(value):
        raise ValueError(written)
    return value


# Made once: json.loads and json.dumps with options make one at every call, which many small messages feel.
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)
_DECODER = json.JSONDecoder(parse_constant=_finite, parse_float=_finite)
