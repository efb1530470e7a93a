"""Is the ledger whole? Every line is checked against its signature, its hash, its predecessor and its place.

What is wrong comes back as findings, all of them, because the person who looks into a damaged ledger needs the extent
of it and not the first symptom. Entries cut off the end leave a shorter chain that is sound in itself; only a copy of
the head kept elsewhere shows it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from components.ledger.entry import GENESIS, Entry, Reading, hash_of
from components.ledger.keys import TrustedKeys


@dataclass(frozen=True)
class Head:
    """The last entry's sequence number and hash, as a mirror remembers them; the default is that of no entry."""

    sequence: int = 0
    hash: str = GENESIS


@dataclass(frozen=True)
class Finding:
    """What is wrong with entry `sequence`; `problem` is one of unreadable, model, gap, order, chain, hash, unknown key,
    signature, head."""

    sequence: int
    problem: str
    detail: str


def verify(readings: Sequence[Reading], *, model: str, keys: TrustedKeys, mirror: Head | None) -> tuple[Finding, ...]:
    """Everything that is wrong with a ledger of `model`; empty when nothing is.

    `mirror` is the head remembered elsewhere, None to do without. It is written after the entry, so it may lag behind
    by the one entry that a crash kept from being mirrored.
    """
    findings: list[Finding] = []
    sequence, head = 0, GENESIS
    for reading in readings:
        entry = reading.entry
        if entry is None:
            findings.append(Finding(reading.number, "unreadable", f"line {reading.number} is not an entry"))
            sequence += 1
            continue
        findings += _place(entry, model=model, expected=sequence + 1, previous=head)
        findings += _seal(entry, keys)
        sequence, head = entry.sequence, entry.hash
    return (*findings, *(_head([r.entry for r in readings if r.entry], mirror) if mirror else ()))


def _place(entry: Entry, *, model: str, expected: int, previous: str) -> list[Finding]:
    found = []
    if entry.model != model:
        found.append(("model", f"it speaks of model '{entry.model}', not '{model}'"))
    if entry.sequence > expected:
        found.append(("gap", f"entry {expected} is missing before it"))
    elif entry.sequence < expected:
        found.append(("order", f"it stands where entry {expected} should"))
    if entry.previous_hash != previous:
        found.append(("chain", "it does not follow the entry before it"))
    return [Finding(entry.sequence, *finding) for finding in found]


def _seal(entry: Entry, keys: TrustedKeys) -> list[Finding]:
    found = []
    if entry.hash != hash_of(entry):
        found.append(("hash", "its content is not what was hashed"))
    if entry.key not in keys.keys:
        found.append(("unknown key", f"key {entry.key} is not a trusted one"))
    elif not keys.verifies(entry.key, entry.body, entry.signature):
        found.append(("signature", f"key {entry.key} did not sign it"))
    return [Finding(entry.sequence, *finding) for finding in found]


def _head(entries: list[Entry], mirror: Head) -> list[Finding]:
    """The mirror's two halves are written one after the other, so each may lag behind by one entry on its own."""
    allowed = [Head(), *(Head(entry.sequence, entry.hash) for entry in entries)][-2:]
    if mirror.sequence in {head.sequence for head in allowed} and mirror.hash in {head.hash for head in allowed}:
        return []
    last = allowed[-1].sequence
    return [
        Finding(
            last,
            "head",
            f"the ledger ends with entry {last}, the registry remembers entry {mirror.sequence} "
            f"({mirror.hash[:12]}); entries were cut off, or the registry's tags changed",
        )
    ]
