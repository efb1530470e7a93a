"""What all workers of a server must agree on: nonces that were used, and rows that each user has asked.

A file of SQLite in WAL mode, one transaction a request, without waiting for the disk. It outlives the server; what a
machine that lost power forgets matters little, because a server refuses requests made before it was started. Counts of
rows are of the current minute and day (UTC).
"""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from components.encryption.server.refused import Refused
from components.errors import InvalidInput

MINUTE, DAY = 60, 86_400

_TABLES = """
CREATE TABLE IF NOT EXISTS nonces (nonce BLOB PRIMARY KEY, time INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS used (user TEXT PRIMARY KEY, minute INTEGER NOT NULL, in_minute INTEGER NOT NULL,
day INTEGER NOT NULL, in_day INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS started (time REAL NOT NULL);
"""
_USE = """
INSERT INTO used VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
in_minute = excluded.in_minute + iif(minute = excluded.minute, in_minute, 0), minute = excluded.minute,
in_day = excluded.in_day + iif(day = excluded.day, in_day, 0), day = excluded.day
RETURNING in_minute, in_day
"""


@dataclass(frozen=True)
class Quota:
    """Rows that one user may ask of all models together; one of mode `hidden` counts as a thousand."""

    rows_a_minute: int
    rows_a_day: int


def prepare_spent(path: Path, *, now: float) -> None:
    """Go on from what was spent; requests made before `now` (seconds since 1970) are refused from here on.

    A file that is damaged, as by a loss of power in the middle of a write, is made anew.

    Raises
    ------
    InvalidInput
        The file cannot be used for another reason, such as a full disk; what was spent stays.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        if not _prepare(path, now):
            for ending in ("", "-wal", "-shm"):
                path.with_name(path.name + ending).unlink(missing_ok=True)
            _prepare(path, now)
    except sqlite3.DatabaseError as error:
        raise InvalidInput(
            f"{path} cannot be used ({error}); end what else uses it, or see to the disk and its permissions"
        ) from error


def _prepare(path: Path, now: float) -> bool:
    """False where the file is damaged."""
    with closing(sqlite3.connect(path, isolation_level=None)) as book:
        try:
            book.execute("PRAGMA journal_mode = WAL")
            if book.execute("PRAGMA quick_check").fetchone() != ("ok",):
                return False
            book.executescript(_TABLES)
            book.execute("DELETE FROM started")
            book.execute("INSERT INTO started VALUES (?)", (now,))
        except sqlite3.DatabaseError as error:
            # The lower octet of an extended code is the code.
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                return False
            raise
    return True


class Spent:
    """One worker's way to the file; to be used by one thread."""

    def __init__(self, path: Path, quota: Quota, *, keep: float) -> None:
        """`keep`: seconds for which a nonce is remembered."""
        self.quota, self.keep = quota, keep
        self._book = sqlite3.connect(path, isolation_level=None, timeout=10, check_same_thread=False)
        self._book.execute("PRAGMA synchronous = OFF")
        self.started: float = self._book.execute("SELECT time FROM started").fetchone()[0]
        self._pruned = 0.0

    def spend(self, user: str, nonce: bytes, rows: int, *, now: float) -> None:
        """Note a nonce and rows.

        Raises
        ------
        Refused
            The nonce was used, or the rows are more than the user may ask; then nothing is noted.
        """
        self._book.execute("BEGIN IMMEDIATE")
        try:
            self._note(user, nonce, rows, now)
        except BaseException:
            self._book.execute("ROLLBACK")
            raise
        self._book.execute("COMMIT")

    def _note(self, user: str, nonce: bytes, rows: int, now: float) -> None:
        if now - self._pruned > self.keep:
            self._book.execute("DELETE FROM nonces WHERE time < ?", (int(now - self.keep),))
            self._pruned = now
        noted = self._book.execute(
            "INSERT OR IGNORE INTO nonces VALUES (?, ?)", (user.encode() + b"\0" + nonce, int(now))
        )
        if not noted.rowcount:
            raise Refused(409, "replay", "this very request was answered before; sign a new one")
        minute, day = int(now) // MINUTE, int(now) // DAY
        in_minute, in_day = self._book.execute(_USE, (user, minute, rows, day, rows)).fetchone()
        for used, most, span, word in (
            (in_minute, self.quota.rows_a_minute, MINUTE, "minute"),
            (in_day, self.quota.rows_a_day, DAY, "day"),
        ):
            if used > most:
                rows = f"{used} rows (one of mode hidden counts as 1000)"
                what = f"{rows} are more than the {most} that a user may ask in a {word}"
                raise Refused(429, "quota", what, retry_after=span - int(now) % span)
