"""The embedded Prefect server, which lives exactly as long as the process that needs it.

Prefect ends the server when its process ends by itself, and leaves it behind when that is killed. So a watcher stands
by that only reads from a pipe: the system closes the pipe with the process, however that dies, and the watcher ends the
server. It is in a session of its own, since Ctrl-C reaches all of the terminal's, and a run that is told to end has
something to tell the server yet.
"""

import atexit
import subprocess
import time
from contextlib import suppress
from functools import partial
from threading import Thread
from types import SimpleNamespace

from prefect.server.api import server as prefect_server
from prefect.server.api.server import SubprocessASGIServer
from prefect.settings import PREFECT_API_URL

_WATCH = """
cat > /dev/null
kill -TERM "$1"
for second in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$1" || exit 0; sleep 1; done
kill -KILL "$1"
"""


class _Apart(SubprocessASGIServer):
    """Prefect's own, but for the session; whoever asks Prefect for its embedded server is given this one."""

    def _run_uvicorn_command(self) -> subprocess.Popen:
        before = prefect_server.subprocess
        prefect_server.subprocess = SimpleNamespace(Popen=partial(subprocess.Popen, start_new_session=True))
        try:
            return super()._run_uvicorn_command()
        finally:
            prefect_server.subprocess = before


def start_server() -> None:
    """Start the embedded server, watched from its first moment; nothing where another server is in use.

    A failure is left to the first call that needs the server, which tries again and says what is wrong.
    """
    server = _Apart()
    if PREFECT_API_URL.value() or server.running:
        return
    watchers: dict[int, subprocess.Popen] = {}
    atexit.register(_dismiss, watchers)  # before the server's own, which then runs first
    starting = Thread(target=_start, args=(server,), daemon=True)
    starting.start()
    while starting.is_alive():
        _watch(server, watchers)
        time.sleep(0.01)
    _watch(server, watchers)


def _start(server: SubprocessASGIServer) -> None:
    with suppress(Exception):
        server.start()


def _watch(server: SubprocessASGIServer, watchers: dict[int, subprocess.Popen]) -> None:
    process = server.server_process
    if process is not None and process.pid not in watchers:
        watchers[process.pid] = subprocess.Popen(
            ["/bin/sh", "-c", _WATCH, "troth-watch", str(process.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


def _dismiss(watchers: dict[int, subprocess.Popen]) -> None:
    for watcher in watchers.values():
        watcher.kill()
        watcher.wait()
