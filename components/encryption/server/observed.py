"""What is told of requests: a line of JSON each, and Prometheus metrics; never a query, a key, a nonce or a signature.

What a caller typed (an unknown address, a user nobody knows) is not repeated either: a line names routes as the server
knows them, and users once their signature is verified. Errors are named by kind and place, not by their text.
"""

import json
import logging
import os
import sys
import time
import traceback
from contextlib import suppress
from typing import TextIO

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""The library's name for the folder in which workers add up their counts."""


class Log:
    """Lines of JSON, each written at once, so that workers do not mix them."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stdout

    def line(self, event: str, **facts: object) -> None:
        """Write a line, or lose it where that cannot be: whoever reads the log must not decide who is served."""
        moment = time.time()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment)) + f".{int(moment % 1 * 1000):03d}Z"
        with suppress(OSError, ValueError):  # the latter of a stream that was closed
            self.stream.write(json.dumps({"time": stamp, "event": event, "worker": os.getpid(), **facts}) + "\n")
            self.stream.flush()


class Lines(logging.Formatter):
    """The web server's own messages in the same form; of an exception its kind and where it was raised."""

    def format(self, record: logging.LogRecord) -> str:
        facts = {"event": "server", "level": record.levelname.lower(), "worker": record.process}
        facts["message"] = "exception" if record.exc_info else record.getMessage()
        if record.exc_info and record.exc_info[1]:
            facts |= fault(record.exc_info[1])
        return json.dumps(facts)


def fault(error: BaseException) -> dict[str, str]:
    """An exception without what it says."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""
    return {"kind": type(error).__name__, "where": where}


class Metrics:
    """Counts and times of this worker, or of all of them where they share a folder."""

    def __init__(self) -> None:
        own = CollectorRegistry()
        self._shown = own
        if os.environ.get(SHARED):
            self._shown = CollectorRegistry()
            MultiProcessCollector(self._shown)
        self._requests = Counter("troth_requests", "Requests", ("route", "status", "reason"), registry=own)
        self._seconds = Histogram(
            "troth_request_seconds", "Seconds from the last byte of a request to its answer", ("route",),
            buckets=_SECONDS, registry=own,
        )  # fmt: skip
        self._rows = Counter("troth_rows", "Rows answered", ("mode",), registry=own)
        self._loads = Counter("troth_models_loaded", "Encrypted models read from the shelf", registry=own)

    def request(self, route: str, status: int, reason: str, seconds: float) -> None:
        self._requests.labels(route, str(status), reason).inc()
        self._seconds.labels(route).observe(seconds)

    def rows(self, mode: str, count: int) -> None:
        self._rows.labels(mode).inc(count)

    def loaded(self) -> None:
        self._loads.inc()

    def page(self) -> bytes:
        """Prometheus's text format."""
        return generate_latest(self._shown)
