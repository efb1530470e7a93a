"""What a command works with: the stores, or a whole pipeline run with its story told on this terminal.

Both prepare the environment before Prefect or MLflow is imported, and both ask first whether the servers in use answer,
so that one that does not costs a sentence and no waiting.
"""

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from troth.terminal import console, tell_the_story

_SECONDS_UNTIL_AGAIN = 1.0
"""Enough for runs to be closed as failed, where the dropped call failed for want of what it was to return."""

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from tasks.settings import Settings


def stores() -> tuple["Settings", "MlflowClient"]:
    """Settings, and a client of the tracking store and the registry, which answer."""
    settings = prepared()
    from tasks.tracking import client_of

    return settings, client_of(settings)


def proxy() -> "Settings":
    """Settings for what needs no store: the proxy's own files."""
    from tasks.environment import prepare_environment
    from tasks.settings import load_settings

    settings = load_settings()
    prepare_environment(settings)
    return settings


def prepared(*, published: bool = False) -> "Settings":
    """Settings, with the stores in use (or those of encrypted models alone) known to answer."""
    from tasks.registry_reach import check_reachable

    settings = proxy()
    check_reachable(settings.published if published else settings)
    _hush()
    return settings


@contextmanager
def session() -> Iterator[None]:
    """While it lasts flows run in this process, against the server in use or an embedded one."""
    prepared()
    from tasks.environment import require_prefect

    require_prefect()
    _hush()
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    from tasks.embedded_server import start_server

    # Joining the heartbeat thread takes a second a flow; a person at the terminal sees for themselves whether it lives.
    with _ended_by_sigterm(), temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}), tell_the_story():
        console.print("starting …", style="dim")
        start_server()
        yield


def require_a_ui() -> None:
    """Check that there is a Prefect server whose pages a person can answer on.

    Raises
    ------
    InvalidInput
        There is only the embedded server, which shows no page.
    """
    prepared()
    from components.errors import InvalidInput

    if not os.environ.get("PREFECT_API_URL"):
        raise InvalidInput(
            "--ask waits for an answer on Prefect's pages; start them with 'troth up', then run this again"
        )


def require_a_server() -> None:
    """Check that there is a Prefect server that others use too, and that it answers.

    Raises
    ------
    InvalidInput
        PREFECT_API_URL is not set, or nothing answers there.
    """
    from components.errors import InvalidInput
    from tasks.environment import prepare_environment, require_prefect
    from tasks.settings import load_settings

    prepare_environment(load_settings())
    if not os.environ.get("PREFECT_API_URL"):
        raise InvalidInput("PREFECT_API_URL is not set; set it to the Prefect server that the pipeline uses")
    require_prefect()


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """While it lasts SIGTERM is an exit like any other, in which runs are closed and the embedded server is ended.

    It remains that exit whatever goes wrong on the way out, or was going wrong when it came. Where it came while C was
    calling Python (XGBoost reads its rows so), Python drops what was raised; then the signal is sent once more, as is
    Ctrl-C, once what the dropped call may have broken has had its time to be tidied up.
    """
    told: list[SystemExit] = []

    def end(number: int, _) -> NoReturn:
        signal.signal(number, signal.SIG_IGN)  # what it takes to end is not to be cut short by a second one
        told.append(SystemExit(128 + number))
        raise told[-1]

    def dropped(what) -> None:
        number = _number_of(what.exc_value)
        if number is None:
            return hook(what)
        if number == signal.SIGTERM:
            told.append(SystemExit(128 + number))
            if signal.getsignal(number) is signal.SIG_IGN:
                signal.signal(number, end)
        again = threading.Timer(_SECONDS_UNTIL_AGAIN, _once_more, (number, running))
        again.daemon = True
        again.start()

    running, hook, before = threading.Event(), sys.unraisablehook, signal.signal(signal.SIGTERM, end)
    running.set()
    sys.unraisablehook = dropped
    try:
        yield
    finally:
        running.clear()
        sys.unraisablehook = hook
        if signal.getsignal(signal.SIGTERM) is end:
            signal.signal(signal.SIGTERM, before)
        if told:
            raise told[-1] from None


def _number_of(raised: BaseException | None) -> int | None:
    """The signal that an exception stands for, if it does for one."""
    from prefect.exceptions import TerminationSignal

    match raised:
        case KeyboardInterrupt():
            return signal.SIGINT
        case TerminationSignal(signal=number):
            return number
        case SystemExit(code=int(code)) if code > 128:
            return code - 128
    return None


def _once_more(number: int, running: threading.Event) -> None:
    if running.is_set():
        os.kill(os.getpid(), number)


def _hush() -> None:
    """Stores log the first use of a database table by table, and errors they raise as well; Prefect, that it ends."""
    if not os.environ.get("TROTH_VERBOSE"):
        for name in ("mlflow.store.db.utils", "EventsWorker", "APILogWorker"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        os.environ.setdefault("PREFECT_LOGGING_SERVER_LEVEL", "CRITICAL")
