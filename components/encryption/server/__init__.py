"""The untrusted side: encrypted models behind HTTP, for signed requests, on a machine that can read neither.

`Serving` and `run` start workers over a folder, which `put_file` and `put_index` fill from wherever encrypted models
are published. What the server refuses it refuses before computing anything, with a reason (`Refused`).
"""

from components.encryption.server.loopback import is_loopback
from components.encryption.server.run import Serving, check, run
from components.encryption.server.shelf import (
    LIVE,
    REVOKED,
    Entry,
    Former,
    has_file,
    put_file,
    put_index,
    read_index,
    sweep,
)

__all__ = [
    "LIVE",
    "REVOKED",
    "Entry",
    "Former",
    "Serving",
    "check",
    "has_file",
    "is_loopback",
    "put_file",
    "put_index",
    "read_index",
    "run",
    "sweep",
]
