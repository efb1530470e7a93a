"""A server of two processes or three, over a shelf that tests change while it runs."""

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pandas as pd
import pytest

from components.encryption.client import EncryptedModelClient
from tests.components.encryption.trial_server import MODEL, Stand, grant, schema_of, user

RUN = """
import sys
from components.encryption.server import Serving, run
if __name__ == "__main__":
    certificate, key = sys.argv[4:] or (None, None)
    about = {"port": int(sys.argv[2]), "workers": int(sys.argv[3]), "tls_certificate": certificate, "tls_key": key}
    run(Serving(sys.argv[1], **about))
"""


class Server:
    """The processes; `pids` are those of the workers."""

    def __init__(self, folder: Path, *, workers: int, tls: tuple[str, str] | None = None) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.folder, self.workers, self.tls = folder, workers, tls
        self.script = folder / "run.py"
        self.start()

    @property
    def address(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.script.write_text(RUN)
        words = [
            sys.executable,
            str(self.script),
            str(self.folder),
            str(self.port),
            str(self.workers),
            *(self.tls or ()),
        ]
        with (self.folder / "log").open("ab") as log:
            environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[4])}
            self.process = subprocess.Popen(words, stdout=log, stderr=log, env=environment)
        self.wait()

    def wait(self) -> None:
        deadline = time.monotonic() + 240
        while True:
            try:
                trusted = ssl.create_default_context(cafile=self.tls[0]) if self.tls else None
                return urllib.request.urlopen(f"{self.address}/v2/health/live", timeout=5, context=trusted).close()
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.process.terminate()
                    raise AssertionError((self.folder / "log").read_text()) from None
                time.sleep(0.1)

    def pids(self) -> list[int]:
        """Children that serve; one child looks after shared resources."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]

    def kill(self) -> None:
        """As a power cut would."""
        for pid in (self.process.pid, *self.pids()):
            os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@pytest.fixture(scope="module")
def lasting(tmp_path_factory) -> Stand:
    """A shelf for the tests of a file."""
    return Stand(tmp_path_factory.mktemp("server") / "shelf")


@pytest.fixture(scope="module")
def server(lasting) -> Server:
    started = Server(lasting.shelf.parent, workers=2)
    yield started
    if started.process.poll() is None:
        started.stop()


@pytest.fixture
def asking(server):
    """A function that makes a client for a user."""
    made = []

    def client(name: str) -> EncryptedModelClient:
        made.append(EncryptedModelClient(server.address, MODEL, user(name), grant(name)))
        return made[-1].__enter__()

    yield client
    for one in made:
        one.__exit__()


@pytest.fixture(scope="session")
def frame_of():
    """A function: encoded rows as people write them."""

    def frame(rows, kind: str = "binary") -> pd.DataFrame:
        schema = schema_of(kind)
        data = pd.DataFrame(rows, columns=list(schema.features))
        towns = dict(enumerate(schema.features["town"].categories))
        return data.assign(town=data["town"].map(towns).astype(object))

    return frame
