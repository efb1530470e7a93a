"""The ledger's file: one JSON line an entry, one writer at a time, nothing acknowledged before it is on the disk.

A crash in the middle of a write leaves a last line without its newline. It was never acknowledged, so the next writer
moves it aside; damage anywhere else is nobody's to repair and is only reported.
"""

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from components.durable import flush
from components.errors import InvalidInput
from components.ledger.entry import Entry, Reading, Statement, read_line, seal
from components.ledger.keys import SigningKey

PATIENCE = 120.0
"""Seconds to wait for another writer; a promotion takes about one."""


@dataclass(frozen=True)
class Ledger:
    """The ledger of `model` in `folder`."""

    folder: Path
    model: str

    @property
    def path(self) -> Path:
        return self.folder / f"{quote(self.model, safe=' ')}.jsonl"

    def read(self) -> tuple[Reading, ...]:
        """Every complete line, sound or not; none where there is no file yet."""
        try:
            lines = self.path.read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:
            return ()
        return tuple(read_line(number, line) for number, line in enumerate(lines, 1))

    def entries(self) -> tuple[Entry, ...]:
        """The entries, in order.

        Raises
        ------
        InvalidInput
            A line is not an entry; names its sequence number.
        """
        return readable(self.read(), self.path)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other writers out, of this machine or of another on a shared file system, until the block ends.

        The lock goes with the process that holds it, so a crash leaves none behind.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.path.with_suffix(".lock").open("ab") as file:
            _wait_for(file.fileno(), self.model)
            yield

    def append(self, statement: Statement, key: SigningKey) -> Entry:
        """Write a statement behind the last entry and return it signed, once it is on the disk; needs the lock."""
        self._move_torn_line_aside()
        entries = self.entries()
        entry = seal(
            statement,
            model=self.model,
            time=datetime.now(UTC).isoformat(timespec="seconds"),
            previous=entries[-1] if entries else None,
            key=key,
        )
        is_new = not self.path.exists()
        with self.path.open("ab") as file:
            file.write(entry.line + b"\n")
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            flush(self.folder)
        return entry

    def _move_torn_line_aside(self) -> None:
        if not self.path.exists():
            return
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with self.path.with_suffix(".torn").open("ab") as aside:
                aside.write(content[whole:] + b"\n")
            os.truncate(self.path, whole)


def readable(readings: Sequence[Reading], path: Path) -> tuple[Entry, ...]:
    """The entries of `readings`, or one sentence about the first line that is none."""
    for reading in readings:
        if reading.entry is None:
            raise InvalidInput(f"entry {reading.number} of ledger {path} is damaged; restore the file from a backup")
    return tuple(reading.entry for reading in readings)


def _wait_for(descriptor: int, model: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise InvalidInput(
                    f"another promotion of model '{model}' has been under way for {PATIENCE:.0f} seconds; wait for it "
                    "or stop it, then try again"
                ) from None
            time.sleep(0.02)
