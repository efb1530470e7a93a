"""How artifacts and bundles are stored: one `.npz` of plain arrays, of which one holds facts as JSON; never a pickle.

Written without compression, so that a stored length is a real one. Reading checks kind, version, and every array's
type and number of axes, before anything is made of them.
"""

import io
import json
import tokenize
import zipfile
import zlib
from collections.abc import Mapping

import numpy as np

from components.encryption.refusal import Malformed

VERSION = 1

_UNREADABLE = (
    *(ValueError, KeyError, TypeError, SyntaxError, tokenize.TokenError),
    *(OSError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error),
)
"""What numpy and zipfile raise for files that are damaged, encrypted, compressed in odd ways, or too large."""

Layout = Mapping[str, tuple[str, int]]
"""Name of an array → its dtype and number of axes."""


def octets(content: bytes) -> np.ndarray:
    """Bytes as an array."""
    return np.frombuffer(content, dtype=np.uint8)


def store(kind: str, facts: dict, arrays: Mapping[str, np.ndarray]) -> bytes:
    """The file of an artifact."""
    file = io.BytesIO()
    header = json.dumps({"kind": kind, "version": VERSION, **facts}).encode()
    np.savez(file, facts=octets(header), **arrays)
    return file.getvalue()


def restore(content: bytes, kind: str, layout: Layout) -> tuple[dict, dict[str, np.ndarray]]:
    """Facts and arrays of an artifact.

    Raises
    ------
    Malformed
        It is no `.npz`, of another kind or version, or an array is missing, in excess, or of another type or shape.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        facts = json.loads(arrays.pop("facts").tobytes())
    except _UNREADABLE:
        raise Malformed(f"the file is no {kind}: it is damaged or something else; fetch it again") from None
    if not isinstance(facts, dict) or facts.get("kind") != kind or facts.get("version") != VERSION:
        raise Malformed(f"the file is not version {VERSION} of {kind}; publish the model again")
    if arrays.keys() != layout.keys():
        raise Malformed(f"the {kind} has arrays {sorted(arrays)}, not {sorted(layout)}; publish the model again")
    for name, (dtype, axes) in layout.items():
        if arrays[name].dtype != np.dtype(dtype) or arrays[name].ndim != axes:
            raise Malformed(
                f"array '{name}' of the {kind} is not of type {dtype} with {axes} axes; publish the model again"
            )
    return facts, arrays


def require_indices(name: str, indices: np.ndarray, below: int) -> None:
    """Raise `Malformed` unless all `indices` of array `name` lie in 0..below-1."""
    if indices.size and (indices.min() < 0 or indices.max() >= below):
        raise Malformed(f"array '{name}' points outside of what there is; publish the model again")


def require_trees(roots: np.ndarray, children: np.ndarray, inner: np.ndarray) -> None:
    """Raise `Malformed` unless every node has one parent at most and roots none, so that each walk ends."""
    pointed = np.concatenate([roots, children[inner].ravel()])
    if not len(roots) or len(np.unique(pointed)) != len(pointed):
        raise Malformed("the nodes form no trees; publish the model again")


def kind_of(content: bytes) -> str | None:
    """The kind an artifact says it is of; None where it is no artifact."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return json.loads(file["facts"].tobytes()).get("kind")
    except (*_UNREADABLE, AttributeError):
        return None
