"""One line of the ledger: a statement, its place in the chain, and the signature under both.

An entry is written as canonical JSON (keys sorted, no spaces, ASCII), so that the same entry has one spelling, one hash
and one signature. The hash covers every field but itself and the signature, the previous entry's hash among them: to
change, drop or insert an entry is to break the chain behind it (Haber and Stornetta, J. Cryptology 1991, section 5).
"""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from enum import StrEnum

from components.ledger.keys import SigningKey

GENESIS = "0" * 64
"""What the first entry names as the hash of its predecessor."""


class Action(StrEnum):
    """What an entry records. `promote`, `override` and `rollback` are intents; the next entry says how they ended."""

    PROMOTE = "promote"
    OVERRIDE = "override"
    ROLLBACK = "rollback"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    ABANDON = "abandon"
    HOLD = "hold"
    REJECT = "reject"
    REFUSE = "refuse"


@dataclass(frozen=True, kw_only=True)
class Statement:
    """What is being said, before it has a place in the chain.

    `version` is the version the action is about, on a rollback the one returned to; `replaces` the champion it takes
    over from, None for the first. `model_digest`, `schema_digest` and `data_digest` are SHA-256 (hex) of the model, of
    the schema it encodes rows by, and of the data it was judged on. `verdict` is the gate's decision, also on an
    override, which goes against it. `run` is the MLflow run.
    """

    action: Action
    version: str
    replaces: str | None
    model_digest: str
    schema_digest: str
    data_digest: str
    verdict: str
    policy: str
    policy_digest: str
    reasons: tuple[str, ...]
    run: str
    who: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Entry(Statement):
    """A statement about `model` in its place: the `sequence`-th, after the entry of `previous_hash`, under `key`."""

    model: str
    sequence: int
    time: str
    previous_hash: str
    key: str
    hash: str = ""
    signature: str = ""

    @property
    def body(self) -> bytes:
        """The canonical JSON that is hashed and signed."""
        return _canonical({name: value for name, value in asdict(self).items() if name not in ("hash", "signature")})

    @property
    def line(self) -> bytes:
        """The entry as it stands in the file, without the newline."""
        return _canonical(asdict(self))


@dataclass(frozen=True)
class Reading:
    """A line as it was found: its entry, or None where the line is not the canonical JSON of one."""

    number: int
    entry: Entry | None


def seal(statement: Statement, *, model: str, time: str, previous: Entry | None, key: SigningKey) -> Entry:
    """Put a statement behind `previous`, and sign it there."""
    place = {
        "model": model,
        "sequence": previous.sequence + 1 if previous else 1,
        "time": time,
        "previous_hash": previous.hash if previous else GENESIS,
        "key": key.name,
    }
    unsigned = Entry(**asdict(statement), **place)
    signed = {"hash": hash_of(unsigned), "signature": key.sign(unsigned.body)}
    return Entry(**asdict(statement), **place, **signed)


def hash_of(entry: Entry) -> str:
    """SHA-256 (hex) of everything but the hash and the signature."""
    return hashlib.sha256(entry.body).hexdigest()


def read_line(number: int, line: bytes) -> Reading:
    """Read one line strictly: known keys, known action, and no spelling but the canonical one."""
    try:
        document = json.loads(line)
        document["action"] = Action(document["action"])
        document["reasons"] = tuple(document["reasons"])
        entry = Entry(**document)
    except (ValueError, TypeError, KeyError):
        return Reading(number, None)
    return Reading(number, entry if entry.line == line and type(entry.sequence) is int else None)


def statement_of(entry: Entry, action: Action) -> Statement:
    """What `entry` says, with another action: an intent becomes its completion."""
    said = {field.name: getattr(entry, field.name) for field in fields(Statement)}
    return Statement(**said | {"action": action})


def _canonical(document: dict) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
