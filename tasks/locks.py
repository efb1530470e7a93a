"""A lock for each request, so that the same run is not on its way twice.

Locks are the system's own (`flock`), which frees them with the process that held them: one that is free belongs to no
living run.
"""

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.errors import InvalidInput
from components.secret_file import create_once
from tasks.settings import Settings

_PATIENCE = 1.0
"""Seconds; whoever only looks whether a lock is free holds it for less."""


@contextmanager
def alone(settings: Settings, key: str, name: str) -> Iterator[None]:
    """Hold the lock of `key` for run `name`.

    Raises
    ------
    InvalidInput
        A living run holds it.
    """
    deadline = time.monotonic() + _PATIENCE
    while True:
        with if_free(settings, key) as is_ours:
            if is_ours:
                yield
                return
        if time.monotonic() > deadline:
            raise InvalidInput(f"run {name} with these parameters is in progress already; wait for it to end")
        time.sleep(0.05)


@contextmanager
def waiting(settings: Settings, key: str) -> Iterator[None]:
    """Hold the lock of `key`, however long another run keeps it."""
    handle = os.open(_folder(settings) / f"{key[:32]}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def if_free(settings: Settings, key: str) -> Iterator[bool]:
    """Hold the lock of `key` where nobody else does, and say whether that is so."""
    handle = os.open(_folder(settings) / f"{key[:32]}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = True
        except BlockingIOError:
            is_ours = False
        yield is_ours
    finally:
        os.close(handle)


def name_of_locks(settings: Settings) -> str:
    """The name of this home's locks, made up on first use: what other locks say of a run says nothing here."""
    path = _folder(settings) / "name"
    if not path.exists():
        create_once(path, secrets.token_hex(8).encode())
    return path.read_text()


def _folder(settings: Settings) -> Path:
    folder = settings.root / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
