"""Progress of long work: a bar in the terminal of whoever listens, an artifact in the Prefect UI.

The work itself calls a plain function with (done, total, note). The UI's artifact is updated at most once a second,
since every update is a request; the last one is always sent.
"""

import time
from collections.abc import Callable
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.context import TaskRunContext

Listener = Callable[[str, int, int, str], None]

_listeners: list[Listener] = []
_EVERY_SECONDS = 1.0


def listen(listener: Listener) -> None:
    """Call `listener(task, done, total, note)` at every step of any task in this process."""
    _listeners.append(listener)


def stop_listening(listener: Listener) -> None:
    """The opposite of `listen`."""
    _listeners.remove(listener)


def reporter(task: str) -> Callable[[int, int, str], None]:
    """A function to report steps of `task` with: (done, total, note)."""
    artifact: UUID | None = None
    in_run = TaskRunContext.get() is not None
    started = last = time.monotonic()

    def report(done: int, total: int, note: str = "") -> None:
        nonlocal artifact, last
        for listener in _listeners:
            listener(task, done, total, note)
        now = time.monotonic()
        finished = done >= total
        # What ends within the first second was not worth a bar in the UI.
        if not in_run or now - last < _EVERY_SECONDS and not (finished and artifact) or now - started < _EVERY_SECONDS:
            return
        last = now
        percent = 100.0 * done / max(total, 1)
        if artifact is None:
            artifact = create_progress_artifact(progress=percent, description=f"{task} {note}".strip())
        else:
            update_progress_artifact(artifact_id=artifact, progress=percent, description=f"{task} {note}".strip())

    return report
