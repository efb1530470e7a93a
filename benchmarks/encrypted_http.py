"""What encrypted answers cost a server over HTTP, singly and in batches, against plain XGBoost.

    python benchmarks/encrypted_http.py [--requests 1500] [--models breast_cancer rand_hie digits] [--workers 1 2]
        [--schemes order-2048 order-3072 hidden]: the first two unless told; of hidden a hundredth of the requests

A server of real processes on this machine, asked over four connections by a process of its own: binary tensors, each
request signed, replay protection, quotas, log and metrics on. `CPU ms` is the workers' processor time a request, the
least of six windows; `a core` is how many rows that makes a second. `wall` is what came about on this machine, which
the asking process shares. Beside each stands plain XGBoost's `inplace_predict` of the same rows in
processor milliseconds. Goals on breast cancer, one core: 700 rows a second singly, 1400 in batches of 32.
"""

import argparse
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import numpy as np
from encrypted import MODELS, median

from components.boosting import model_digest
from components.encryption import issue, publish
from components.encryption.request import JSON_LENGTH, sign
from components.encryption.server import LIVE, Entry, Serving, put_file, put_index, run
from components.encryption.server.protocol import write_asked
from components.encryption.user import UserKeys

SCHEMES = {"order-2048": ("order", 2048), "order-3072": ("order", 3072), "hidden": ("hidden", 2048)}
BATCHES = {"order": (1, 32), "hidden": (1, 4)}
CONNECTIONS, QUERIES, WINDOWS = 4, 16, 6
USER = UserKeys("ada", bytes(32))


class Connection:
    """One connection, kept alive."""

    def __init__(self, port: int, name: str) -> None:
        self.target = f"/v2/models/{name}/infer"
        self.wire = socket.create_connection(("127.0.0.1", port))
        self.wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.answers = self.wire.makefile("rb")

    def ask(self, body: bytes, length: str) -> None:
        headers = sign(USER, "POST", self.target, body, json_length=length, now=time.time())
        headers |= {"host": "server", "content-length": str(len(body)), JSON_LENGTH: length}
        lines = [f"POST {self.target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        self.wire.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        status, size = self.answers.readline(), 0
        while (line := self.answers.readline()) != b"\r\n":
            if line.lower().startswith(b"content-length:"):
                size = int(line.split(b":")[1])
        content = self.answers.read(size)
        if b" 200 " not in status:
            raise RuntimeError(f"{status} {content[:200]}")


def ask_all(port: int, name: str, queries: list[tuple[bytes, str]], count: int) -> float:
    """Seconds that `count` requests took over all connections."""

    def part() -> None:
        connection = Connection(port, name)
        for number in range(count // CONNECTIONS):
            connection.ask(*queries[number % len(queries)])

    threads = [threading.Thread(target=part) for _ in range(CONNECTIONS)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - start


def processor_seconds(pids: list[int]) -> float:
    """Time on a processor of all threads of processes, those that have ended among them."""
    # The clock of another process, as clock_getcpuclockid(3) makes it: 2 stands for its scheduler's time.
    return sum(time.clock_gettime(~pid << 3 | 2) for pid in pids)


def started(folder: Path, workers: int) -> tuple[subprocess.Popen, int, list[int]]:
    """A server over a folder, its port and its workers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [sys.executable, __file__, "--serve", str(folder), str(port), str(workers)]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(words, stdout=log)
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/live").close()
            break
        except OSError:
            time.sleep(0.1)
    time.sleep(2)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return process, port, [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def least(port: int, name: str, queries: list[tuple[bytes, str]], count: int, pids: list[int]) -> tuple[float, float]:
    """Processor milliseconds and wall seconds of a request, each the least over windows: others' work only adds."""
    spent, walls = [], []
    for _ in range(WINDOWS):
        before = processor_seconds(pids)
        walls.append(ask_all(port, name, queries, count // WINDOWS) / (count // WINDOWS))
        spent.append(1000 * (processor_seconds(pids) - before) / (count // WINDOWS))
    return min(spent), min(walls)


def report(name: str, workers: list[int], requests: int, schemes: list[str]) -> None:
    booster, rows = MODELS[name]()
    plain = {batch: median(lambda batch=batch: booster.inplace_predict(rows[:batch]), 50) for batch in (1, 4, 32)}
    print(f"\n{name}: plain XGBoost {plain[1]:.3f} ms a row, {plain[32]:.3f} ms for 32")
    print(f"{'scheme':14}{'workers':>8}{'rows':>6}{'CPU ms':>9}{'rows/s a core':>15}{'wall req/s':>12}{'x plain':>9}")
    for mode, bits in map(SCHEMES.get, schemes):
        keys = issue(bytes(32), user=USER.user, model=model_digest(booster), epoch=1, bits=bits)
        made = publish(booster, keys, mode=mode)
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            shelf = Serving(place).shelf
            about = (name, USER.user, "1", 1, mode, made.client.fingerprint.hex())
            files = put_file(shelf, made.model.to_bytes()), put_file(shelf, b"no bundle")
            put_index(shelf, [Entry(*about, *files, USER.card.signs.hex(), LIVE, time.time() + 1e6)])
            for count in workers:
                process, port, pids = started(folder, count)
                try:
                    for batch in BATCHES[mode]:
                        starts = np.random.default_rng(0).integers(0, len(rows) - batch, QUERIES)
                        queries = [write_asked(made.client.encrypt(rows[one : one + batch])) for one in starts]
                        asked, warm = requests if batch == 1 else requests // 4, 40
                        if mode == "hidden":
                            asked, warm = max(asked // 100, WINDOWS * CONNECTIONS), CONNECTIONS
                        ask_all(port, name, queries, warm * count)
                        spent, wall = least(port, name, queries, asked, pids)
                        print(
                            f"{mode + ' ' + str(bits):14}{count:>8}{batch:>6}{spent:>9.3f}{1000 * batch / spent:>15.0f}"
                            f"{1 / wall:>12.0f}{spent / plain[batch]:>9.1f}",
                            flush=True,
                        )
                finally:
                    process.terminate()
                    process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=1500)
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--workers", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--schemes", nargs="+", choices=list(SCHEMES), default=["order-2048", "order-3072"])
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        folder, port, workers = arguments.serve
        run(Serving(folder, port=int(port), workers=int(workers), rows_a_minute=10**9, rows_a_day=10**9))
        return
    for name in arguments.models:
        report(name, arguments.workers, arguments.requests, arguments.schemes)


if __name__ == "__main__":
    main()
