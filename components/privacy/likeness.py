"""Whether texts, or who said them, were trained on before under another name, told from keyed digests.

A budget holds for a data set, and a data set is a name that somebody gives; a copy under another name would begin a
budget of its own. So texts and users of a training leave digests of eight bytes each beside their ledger, HMAC-SHA256
under a key of this home, without which nobody can try whether a text is among them. It guards against mistakes and not
against malice: whoever changes every text a little, or has the files, gets around it.
"""

import hashlib
import hmac
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import numpy as np

BYTES = 8
"""Of a digest: among a million texts two meet by chance once in forty million data sets."""
ALIKE = 0.5
"""Two data sets that share more than that of either, or one of which others hold more, are not two."""


def digests(key: bytes, texts: Iterable[tuple[str, ...]]) -> np.ndarray:
    """(distinct texts,) sorted uint64, one for each different tuple of strings, such as a user and what they said."""
    found = {hmac.new(key, json.dumps(text).encode(), hashlib.sha256).digest()[:BYTES] for text in texts}
    return np.frombuffer(b"".join(sorted(found)), ">u8").astype(np.uint64)


def read_digests(path: Path) -> np.ndarray:
    """The digests at `path`; none where there is no file."""
    return np.frombuffer(path.read_bytes(), ">u8").astype(np.uint64) if path.exists() else np.zeros(0, np.uint64)


def write_digests(path: Path, found: np.ndarray) -> None:
    """Digests as a file for its owner alone, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(found.astype(">u8").tobytes())
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


@dataclass(frozen=True)
class Likeness:
    """The largest share there is, and with whom: of `ours`, of `theirs`, or of ours among `all` others together."""

    share: float = 0.0
    name: str = ""
    of: str = "ours"


def most_alike(found: np.ndarray, others: Mapping[str, np.ndarray]) -> Likeness:
    """How much `found` and other data sets have in common; a part of one, or parts of many, tell as much as a copy."""
    others = {name: other for name, other in others.items() if len(other)}
    if not len(found) or not others:
        return Likeness()
    common = {name: int(np.isin(found, other).sum()) for name, other in others.items()}
    closest = max(common, key=common.get)
    together = reduce(np.union1d, others.values())
    shares = [Likeness(count / len(found), name, "ours") for name, count in common.items()]
    shares += [Likeness(common[name] / len(other), name, "theirs") for name, other in others.items()]
    shares += [Likeness(float(np.isin(found, together).mean()), closest, "all")]
    return max(shares, key=lambda one: one.share)
