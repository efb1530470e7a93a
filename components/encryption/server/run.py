"""The server as processes: workers that share a socket, a shelf and what was spent, watched and replaced when they die.

Workers are started anew and not forked; they get the name of a folder, and no key but that of TLS. Queries are
encrypted and signed on plain HTTP too, but who asks what and when is seen, and answers can be swapped or held back; so
beyond this machine there is TLS or nothing.
"""

import json
import os
import signal
import socket
import ssl
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Thread

from fastapi import FastAPI
from uvicorn import Config
from uvicorn.supervisors import Multiprocess

from components.encryption.server.admission import SILENCE, WINDOW, Admission
from components.encryption.server.app import Limits, create_app
from components.encryption.server.loopback import is_loopback
from components.encryption.server.observed import SHARED
from components.encryption.server.shelf import Shelf
from components.encryption.server.spent import Quota, Spent, prepare_spent
from components.encryption.server.wire import GatheringProtocol
from components.errors import InvalidInput

_SETTINGS, _FIRST = "TROTH_SERVING", "TROTH_SERVING_PROCESS"
SHELF, SPENT = "shelf", "spent.db"
_MOST_CONNECTIONS, _BACKLOG = 1000, 2048


@dataclass(frozen=True)
class Serving:
    """How a server is run; its folder is its own."""

    folder: str
    host: str = "127.0.0.1"
    port: int = 8180
    workers: int = 2
    rows_a_minute: int = 100_000
    rows_a_day: int = 1_000_000
    most_models: int = 32
    """Encrypted models that a worker keeps in memory."""
    stale_seconds: float = 300.0
    """How long the registry may be silent before the server says that it is not ready."""
    silent_seconds: float = SILENCE
    """How long before it answers nobody."""
    tls_certificate: str | None = None
    tls_key: str | None = None

    @property
    def shelf(self) -> Path:
        return Path(self.folder) / SHELF

    @property
    def address(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls_certificate else 'http'}://{host}:{self.port}"


def check(serving: Serving) -> None:
    """Refuse what cannot be served, or should not.

    Raises
    ------
    InvalidInput
        Plain HTTP beyond this machine, half of what TLS needs, or files that are not there or do not go together.
    """
    files = {"certificate": serving.tls_certificate, "key": serving.tls_key}
    given = {name: path for name, path in files.items() if path}
    if len(given) == 1:
        raise InvalidInput("TLS needs both --tls-certificate and --tls-key; give both or neither")
    for name, path in given.items():
        if not Path(path).is_file():
            raise InvalidInput(f"--tls-{name} {path} is no file; give the {name} in PEM")
    if given:
        try:
            # A key under a passphrase is refused, since workers are started with nobody there to type it.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*given.values(), password="")
        except (ssl.SSLError, OSError) as error:
            raise InvalidInput(
                f"{given['certificate']} and {given['key']} are no certificate in PEM and its key without a passphrase "
                f"({getattr(error, 'reason', None) or 'unreadable'}); give the right files"
            ) from None
    if not given and not is_loopback(serving.host):
        raise InvalidInput(
            f"{serving.host} is not this machine alone, where plain HTTP ends; give --tls-certificate and --tls-key"
        )


def run(serving: Serving) -> None:
    """Serve until SIGINT or SIGTERM; for a process's main thread.

    Raises
    ------
    InvalidInput
        As in `check`, or the address is taken.
    """
    check(serving)
    folder = Path(serving.folder)
    serving.shelf.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _bound(serving) as listening, tempfile.TemporaryDirectory(prefix="troth-metrics-") as counts:
        prepare_spent(folder / SPENT, now=time.time())
        os.environ |= {_SETTINGS: json.dumps(asdict(serving)), _FIRST: str(os.getpid()), SHARED: counts}
        config = Config(
            f"{__name__}:worker",
            factory=True,
            http=GatheringProtocol,
            ws="none",
            workers=serving.workers,
            access_log=False,
            log_config=_logging(),
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=10,
            timeout_worker_healthcheck=60,
            limit_concurrency=_MOST_CONNECTIONS,
            ssl_certfile=serving.tls_certificate,
            ssl_keyfile=serving.tls_key,
        )
        _Workers(config, [listening]).run()


class _Workers(Multiprocess):
    """Workers of which a dead one is replaced at once.

    uvicorn keeps the worker's end of their pipe open too, so where one dies while it is asked how it is, the whole time
    for an answer goes by.
    """

    def init_processes(self) -> None:
        super().init_processes()
        self._let_go()

    def keep_subprocess_alive(self) -> None:
        super().keep_subprocess_alive()
        self._let_go()

    def _let_go(self) -> None:
        for process in self.processes:
            process.child_conn.close()


def worker() -> FastAPI:
    """The application of one worker, from what the first process left in the environment."""
    serving = Serving(**json.loads(os.environ[_SETTINGS]))
    # Whose process number it is told: the first process may have died while this one started.
    Thread(target=_end_with, args=(int(os.environ[_FIRST]),), daemon=True).start()
    quota = Quota(serving.rows_a_minute, serving.rows_a_day)
    spent = Spent(Path(serving.folder) / SPENT, quota, keep=3 * WINDOW)
    limits = Limits(cores=max(1, (os.cpu_count() or 1) // serving.workers), stale_seconds=serving.stale_seconds)
    shelf = Shelf(serving.shelf, most_models=serving.most_models)
    return create_app(Admission(shelf, spent, silence=serving.silent_seconds), limits=limits)


def _end_with(parent: int) -> None:
    """End this process after its parent has died: nobody follows the registry then."""
    while os.getppid() == parent:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


def _bound(serving: Serving) -> socket.socket:
    family = socket.AF_INET6 if ":" in serving.host else socket.AF_INET
    listening = socket.socket(family)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((serving.host, serving.port))
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise InvalidInput(
            f"cannot listen on {serving.host}:{serving.port} ({(error.strerror or str(error)).lower()}); end what uses "
            "it, or choose another --port"
        ) from None
    listening.set_inheritable(True)
    return listening


def _logging() -> dict:
    """The web server's messages, warnings and worse, as JSON on standard output."""
    handler = {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "lines"}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"lines": {"()": "components.encryption.server.observed.Lines"}},
        "handlers": {"lines": handler},
        "loggers": {
            name: {"handlers": ["lines"], "level": "WARNING", "propagate": False} for name in ("uvicorn", "asyncio")
        },
    }
