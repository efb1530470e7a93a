"""The embedded MLflow store, made whole or not at all.

MLflow makes its tables in a long series of migrations, and two processes that start on nothing, or one that is killed
meanwhile, leave a database that no later start can use. So the first one makes it aside and renames it into place,
under a lock. Its calls are whole too: what Ctrl-C leaves of a transaction is held by the exception's own traceback and
keeps the database locked, so that the run could not even be said to have ended.
"""

import fcntl
import inspect
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from pathlib import Path
from urllib.parse import urlsplit

from mlflow import MlflowClient

from components.uninterrupted import uninterrupted
from tasks.settings import Settings


class EmbeddedClient(MlflowClient):
    """A client of stores in files, whose calls put off Ctrl-C and SIGTERM until they are done."""


def _whole(method: Callable) -> Callable:
    @wraps(method)
    def call(*arguments, **options):
        with uninterrupted():
            return method(*arguments, **options)

    return call


for _name, _method in inspect.getmembers(MlflowClient, inspect.isfunction):
    if not _name.startswith("_"):
        setattr(EmbeddedClient, _name, _whole(_method))


def is_embedded(settings: Settings) -> bool:
    """Whether runs and models are kept in files of this machine: for a server nobody who presses Ctrl-C has to wait."""
    return all(_file(uri) for uri in (settings.tracking_uri, settings.registry_uri))


def whole(client: MlflowClient) -> AbstractContextManager[None]:
    """Within it several calls are done or none, where the client's own are."""
    return uninterrupted() if isinstance(client, EmbeddedClient) else nullcontext()


def ensure_store(settings: Settings) -> None:
    """Make the database files that `settings` name and that do not exist yet; servers look after their own."""
    for uri in {settings.tracking_uri, settings.registry_uri}:
        path = _file(uri)
        if path and not path.exists():
            _make(path)


def _file(uri: str) -> Path | None:
    address = urlsplit(uri)
    is_file = address.scheme.partition("+")[0] == "sqlite" and len(address.path) > 1
    return Path(address.path[1:]) if is_file else None


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if path.exists():
            return
        draft = path.with_name(f".{path.name}.draft")
        draft.unlink(missing_ok=True)
        client = MlflowClient(f"sqlite:///{draft}")
        client.search_experiments(max_results=1)
        client._tracking_client.store.engine.dispose()
        draft.rename(path)
    finally:
        os.close(handle)
