"""What aggregator and owners say to one another: a small document and, where there is one, an array.

Only plain arrays of numbers travel, as raw octets with their type and shape beside them; a number that is none (NaN,
infinity) is refused on arrival, and its sender named.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from components.federated.frame import Json
from components.federated.violation import ProtocolViolation

_KINDS = frozenset({"|b1", "|u1", "<u2", "<u4", "<u8", "|i1", "<i2", "<i4", "<i8", "<f4", "<f8"})


@dataclass(frozen=True)
class Content:
    """`document` is JSON; `array` holds numbers of any shape.

    `batch` does not travel: it is the number of the batch that an owner's own end is asked for a vector of.
    """

    document: Mapping[str, Json] = field(default_factory=dict)
    array: np.ndarray | None = None
    batch: int = -1

    def written(self) -> tuple[dict[str, Json], list[memoryview]]:
        """Document and octet strings to put into a frame."""
        if self.array is None:
            return {"said": dict(self.document)}, []
        array = np.ascontiguousarray(self.array)
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        if array.dtype.str not in _KINDS:
            raise TypeError(f"arrays of {array.dtype} do not travel")
        about = {"type": array.dtype.str, "shape": list(self.array.shape)}
        return {"said": dict(self.document), "array": about}, [array.reshape(-1).view(np.uint8).data]


def read_content(document: Mapping[str, Json], parts: Sequence[memoryview], *, sender: str) -> Content:
    """The content that was written; the array is read-only.

    Raises
    ------
    ProtocolViolation
        It does not fit together, or holds a number that is none.
    """
    said, about = document.get("said"), document.get("array")
    try:
        if not isinstance(said, dict):
            raise ValueError
        if about is None:
            if parts:
                raise ValueError
            return Content(said)
        shape, (octets,) = about["shape"], parts
        if about["type"] not in _KINDS or not all(type(side) is int and side >= 0 for side in shape):
            raise ValueError
        array = np.frombuffer(octets, dtype=about["type"])
        if len(array) != math.prod(shape):
            raise ValueError
    except (ValueError, TypeError, KeyError):
        raise ProtocolViolation(sender, "sent a content that does not fit together") from None
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ProtocolViolation(sender, "sent numbers that are not finite")
    return Content(said, array.reshape(shape))
