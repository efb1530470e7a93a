"""The server with its follower: one process looks at the registry, workers answer from the shelf that it fills."""

import os
import signal
from threading import Event, Thread

from components.encryption.server import Serving, run
from components.encryption.server.observed import Log
from tasks.published import Follower
from tasks.settings import Settings


def serve_published(settings: Settings, serving: Serving) -> None:
    """Serve what is live until SIGINT or SIGTERM; for a process's main thread.

    Raises
    ------
    InvalidInput
        The address is taken or may not be served on, or the registry does not answer at the start.
    RuntimeError
        The registry is followed no longer, for a fault of ours; without revocations nobody may be served.
    """
    log, failed = Log(), []
    follower = Follower(settings, serving.shelf, log.line)
    log.line("serving", address=serving.address, workers=serving.workers, models=follower.look())
    stop = Event()

    def follow() -> None:
        try:
            follower.follow(stop)
        except BaseException as error:
            failed.append(error)
            os.kill(os.getpid(), signal.SIGTERM)

    following = Thread(target=follow, daemon=True)
    following.start()
    try:
        run(serving)
    finally:
        stop.set()
        following.join(5)
    if failed:
        raise RuntimeError("the registry is followed no longer, so the server ended; start it again") from failed[0]
