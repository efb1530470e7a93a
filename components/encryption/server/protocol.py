"""The Open Inference Protocol, version 2, as an encrypted model speaks it: one input, `query`; one output, `answer`.

Both are a BYTES tensor of one element. In JSON the element is base64, as MLServer writes it; in a binary body
(`Inference-Header-Content-Length`) the tensor follows the JSON, its element after four bytes of length, as KServe and
Triton write it. Rows are batched inside of a query, which says how many there are.
Source: Open Inference Protocol, REST and binary tensor data extension (github.com/kserve/open-inference-protocol).
"""

import base64
import binascii
import json
import struct
from dataclasses import dataclass

from components.encryption.frame import MOST_ROWS_OF
from components.encryption.server.refused import Refused
from components.encryption.server.shelf import Entry

INPUT, OUTPUT = "query", "answer"
EXTENSIONS = ["binary_tensor_data"]
_LENGTH = struct.Struct("<I")
_TYPE, _SHAPE = "BYTES", [1]


@dataclass(frozen=True)
class Asked:
    """An inference request: the query, the caller's id of it, and whether the answer is to be binary."""

    query: bytes
    id: str | None
    is_binary: bool


def read_asked(body: bytes, json_length: str | None) -> Asked:
    """The request in a body.

    Raises
    ------
    Refused
        It does not follow the protocol; says where.
    """
    head = body
    if json_length is not None:
        # The int of a text of thousands of digits raises.
        is_number = json_length.isascii() and json_length.isdecimal() and len(json_length) <= 12
        if not is_number or int(json_length) > len(body):
            raise _malformed(f"Inference-Header-Content-Length does not fit a body of {len(body)} bytes")
        head = body[: int(json_length)]
    try:
        document = json.loads(head)
    except (ValueError, RecursionError):
        raise _malformed("the body is no JSON") from None
    if not isinstance(document, dict):
        raise _malformed("the body is no JSON object")
    inputs, name = document.get("inputs"), document.get("id")
    if name is not None and not (isinstance(name, str) and len(name) <= 256):
        raise _malformed("'id' is no text of at most 256 characters")
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise _malformed(f"'inputs' is not one tensor, '{INPUT}'")
    tensor = inputs[0]
    if (tensor.get("name"), tensor.get("datatype"), tensor.get("shape")) != (INPUT, _TYPE, _SHAPE):
        raise _malformed(f"the input is not '{INPUT}' of datatype {_TYPE} and shape {_SHAPE}")
    size = _parameters(tensor).get("binary_data_size")
    if json_length is None or size is None:
        return Asked(_from_text(tensor.get("data")), name, _wants_binary(document))
    tail = body[int(json_length) :]
    if size != len(tail) or len(tail) < _LENGTH.size or _LENGTH.unpack_from(tail)[0] != len(tail) - _LENGTH.size:
        raise _malformed(f"{len(tail)} bytes follow the JSON; the tensor's sizes say otherwise")
    return Asked(tail[_LENGTH.size :], name, _wants_binary(document))


def write_asked(query: bytes) -> tuple[bytes, str]:
    """A binary request and the length of its JSON: what a client sends."""
    tensor = {"name": INPUT, "datatype": _TYPE, "shape": _SHAPE}
    tensor["parameters"] = {"binary_data_size": len(query) + _LENGTH.size}
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    return head + _LENGTH.pack(len(query)) + query, str(len(head))


def write_answer(asked: Asked, entry: Entry, answer: bytes) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a response."""
    tensor = {"name": OUTPUT, "datatype": _TYPE, "shape": _SHAPE}
    document = {"model_name": entry.model, "model_version": entry.version, "outputs": [tensor]}
    if asked.id is not None:
        document["id"] = asked.id
    if not asked.is_binary:
        tensor["data"] = [base64.b64encode(answer).decode()]
        return json.dumps(document).encode(), {"content-type": "application/json"}
    tensor["parameters"] = {"binary_data_size": len(answer) + _LENGTH.size}
    head = json.dumps(document).encode()
    headers = {"content-type": "application/octet-stream", "inference-header-content-length": str(len(head))}
    return head + _LENGTH.pack(len(answer)) + answer, headers


def read_answer(body: bytes, json_length: str) -> bytes:
    """The answer in a binary response; `ValueError` where it holds none."""
    tail = body[int(json_length) :]
    if len(tail) < _LENGTH.size or _LENGTH.unpack_from(tail)[0] != len(tail) - _LENGTH.size:
        raise ValueError("no tensor of one element")
    return tail[_LENGTH.size :]


def metadata(entry: Entry) -> dict:
    """What the protocol shows of a model."""
    tensor = {"datatype": _TYPE, "shape": _SHAPE}
    return {
        "name": entry.model,
        "versions": [entry.version],
        "platform": f"troth_{entry.mode}",
        "inputs": [{"name": INPUT, **tensor}],
        "outputs": [{"name": OUTPUT, **tensor}],
        "parameters": {"epoch": entry.epoch, "fingerprint": entry.fingerprint, "most_rows": MOST_ROWS_OF[entry.mode]},
    }


def _from_text(data: object) -> bytes:
    if not (isinstance(data, list) and len(data) == 1 and isinstance(data[0], str)):
        raise _malformed("'data' is not one text, the query in base64")
    try:
        return base64.b64decode(data[0], validate=True)
    except (binascii.Error, ValueError):
        raise _malformed("'data' is no base64") from None


def _wants_binary(document: dict) -> bool:
    if _parameters(document).get("binary_data_output") is True:
        return True
    outputs = document.get("outputs")
    first = outputs[0] if isinstance(outputs, list) and len(outputs) == 1 else None
    return isinstance(first, dict) and _parameters(first).get("binary_data") is True


def _parameters(section: dict) -> dict:
    found = section.get("parameters")
    return found if isinstance(found, dict) else {}


def _malformed(sentence: str) -> Refused:
    return Refused(400, "malformed", sentence)
