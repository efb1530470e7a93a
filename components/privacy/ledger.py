"""The budget ledger of a data set: what all trainings on it have spent together, and the refusal of the one too many.

A training reserves its whole plan before its first step, and none of it is given back. Renyi divergences add up
over trainings whose parameters were chosen in the light of earlier ones (a privacy filter: Feldman and Zrnic 2021;
Lecuyer 2021), which is not known of tighter accountants; so the total here is some 10 percent above what one training
alone is told. Entries are lines of JSON, chained by hash, each on the disk before it is believed. Whoever can write the
file can write another history: keep a copy of the last hash elsewhere.

Plain trainings have entries too, without a budget: nothing bounds what they gave away, and the total, which counts
private ones alone, does not say so by itself.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from components.durable import flush
from components.errors import InvalidInput
from components.privacy.renyi import renyi_epsilon
from components.privacy.steps import Steps, merged, require_delta

GENESIS = "0" * 64


@dataclass(frozen=True)
class Budget:
    """At most `epsilon` at `delta` for each unit of the kind `unit`, over all trainings; units may come and go."""

    epsilon: float
    delta: float
    unit: str = "utterance"

    def __post_init__(self):
        require_delta(self.delta)
        if not self.epsilon > 0:
            raise InvalidInput(f"a budget of epsilon {self.epsilon:g} makes no sense; it is above 0")

    def __str__(self) -> str:
        return f"epsilon {self.epsilon:g} at delta {self.delta:g} for one {self.unit}"


@dataclass(frozen=True)
class Entry:
    """Line `sequence` of a ledger: training `run` has the right to `steps`; its last line counts.

    Without a `budget` it is a plain training.
    """

    sequence: int
    time: str
    previous: str
    budget: Budget | None
    run: str
    steps: tuple[Steps, ...]
    hash: str = ""

    @property
    def digest(self) -> str:
        return hashlib.sha256(_canonical(asdict(self) | {"hash": ""})).hexdigest()


@dataclass(frozen=True)
class BudgetLedger:
    """The ledger at `path` of one data set and its `budget`, which never changes; None before a private training."""

    path: Path
    budget: Budget | None = None

    @classmethod
    def begun(cls, path: Path) -> "BudgetLedger":
        """The ledger at `path` with the budget that its first private training was given."""
        lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
        entries = (_read(line) for line in lines)
        return cls(path, next((entry.budget for entry in entries if entry and entry.budget), None))

    def entries(self) -> tuple[Entry, ...]:
        """All entries, checked.

        Raises
        ------
        InvalidInput
            A line is damaged, out of its place, or of another budget.
        """
        try:
            *lines, torn = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return ()
        entries = []
        for number, line in enumerate(lines, 1):
            entry = _read(line)
            previous = entries[-1].hash if entries else GENESIS
            if entry is None or (entry.sequence, entry.previous, entry.hash) != (number, previous, entry.digest):
                raise InvalidInput(
                    f"entry {number} of budget ledger {self.path} is damaged; restore the file from a copy"
                )
            if entry.budget not in (None, self.budget):
                raise InvalidInput(
                    f"budget ledger {self.path} was begun with {entry.budget}, not {self.budget}; a data set keeps the "
                    "budget it was given"
                )
            entries.append(entry)
        return tuple(entries)

    @property
    def spent(self) -> float:
        """Epsilon of everything reserved, at the budget's delta; plain trainings spend beyond it."""
        entries = self.entries()
        return _total(entries, self.budget.delta) if self.budget else 0.0

    @property
    def plain(self) -> int:
        """How many plain trainings there were."""
        return sum(entry.budget is None for entry in self.entries())

    @property
    def head(self) -> str:
        """The hash of the last entry, for a copy kept elsewhere."""
        entries = self.entries()
        return entries[-1].hash if entries else GENESIS

    def reserve(self, run: str, steps: Sequence[Steps]) -> Entry:
        """Give training `run` the right to `steps`.

        Raises
        ------
        InvalidInput
            They do not fit into what is left, or the run has spent already: one that starts anew is another run.
        """
        with self._locked():
            entries = self.entries()
            self._require_new(run, entries)
            total = _total((*entries, self._entry(entries, run, steps)), self.budget.delta)
            if total > self.budget.epsilon:
                now = _total(entries, self.budget.delta)
                raise InvalidInput(
                    f"training '{run}' would bring the data set to epsilon {total:.3f} of {self.budget.epsilon:g} at "
                    f"delta {self.budget.delta:g} (now {now:.3f}); plan it with less, or use other data"
                )
            return self._append(self._entry(entries, run, steps))

    def note_plain(self, run: str) -> Entry:
        """Write down that `run` trains plainly.

        Raises
        ------
        InvalidInput
            The run stands there already.
        """
        with self._locked():
            entries = self.entries()
            self._require_new(run, entries)
            return self._append(replace(self, budget=None)._entry(entries, run, ()))

    def _require_new(self, run: str, entries: Sequence[Entry]) -> None:
        if any(entry.run == run for entry in entries):
            raise InvalidInput(
                f"training '{run}' stands in budget ledger {self.path} already, and training again spends again; "
                "give the new one another name"
            )

    def _entry(self, entries: Sequence[Entry], run: str, steps: Sequence[Steps]) -> Entry:
        previous = entries[-1].hash if entries else GENESIS
        time = datetime.now(UTC).isoformat(timespec="seconds")
        unsealed = Entry(len(entries) + 1, time, previous, self.budget, run, merged(steps))
        return Entry(**vars(unsealed) | {"hash": unsealed.digest})

    def _append(self, entry: Entry) -> Entry:
        content = self.path.read_bytes() if self.path.exists() else b""
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            # Torn off by a crash before its reservation was believed.
            os.truncate(self.path, whole)
        is_new = not self.path.exists()
        with self.path.open("ab") as file:
            file.write(_canonical(asdict(entry)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            flush(self.path.parent)
        return entry

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_suffix(".lock").open("ab") as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX)
            yield


def _total(entries: Sequence[Entry], delta: float) -> float:
    last = {entry.run: entry for entry in entries}
    steps = merged(part for entry in last.values() for part in entry.steps)
    return renyi_epsilon(steps, delta) if steps else 0.0


def _read(line: bytes) -> Entry | None:
    try:
        document = json.loads(line)
        document["budget"] = document["budget"] and Budget(**document["budget"])
        document["steps"] = tuple(Steps(**part) for part in document["steps"])
        entry = Entry(**document)
    except (ValueError, TypeError, KeyError):
        return None
    return entry if _canonical(asdict(entry)) == line else None


def _canonical(document: dict) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
