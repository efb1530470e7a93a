"""One member of a run as a process of its own: `python -m components.mpc.process JOB.json`.

Of several jobs each is done in a process that is forked from one (`forked`). A member says how far it is in JSON lines
on its standard output, and its last line says how it ended. What a program prints goes to the log with everything else;
no line ever holds data.
"""

import ctypes
import gc
import json
import os
import re
import resource
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.abc import MetaPathFinder
from pathlib import Path

from components.data.schema import validated
from components.errors import InvalidInput
from components.mpc.forked import fork_members
from components.mpc.meeting import PartyStopped
from components.mpc.network import PartyLost
from components.mpc.programs import Job, Outcome, Task, find_program, store
from components.mpc.tls_network import Session, join
from components.parties.file import Parties, read_parties

_GRACE = 5.0
_SWITCH = 0.0005
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Of `mallopt` (malloc.h)."""
_STATUS, _TITLE = Path("/proc/self/status"), Path("/proc/self/comm")

Say = Callable[..., None]
Work = Callable[[Job, Say, Callable[[str], None]], tuple[Outcome, dict]]
"""Does a job, saying how far it is and, for whoever reads of a failure, where it got to; its outcome and its counts."""


def main(paths: Sequence[str], work: Work | None = None) -> int:
    """Do the jobs of files, in a session of protocols unless other `work` is given; the exit code."""
    sys.meta_path.insert(0, _WithoutPandas())
    path, shared = Path(paths[0]), 0.0
    if len(paths) > 1:
        path, shared = fork_members(list(map(Path, paths)))
    say = _speaker()
    job = validated(Job, json.loads(path.read_text()), path)
    # For lists of processes.
    with suppress(OSError):
        _TITLE.write_text(f"troth {job.name}")
    signal.signal(signal.SIGTERM, _told_to_stop)
    # What a crash leaves behind must not hold rows or keys.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # A thread that reads or writes a link waits this long at most for one that computes in Python.
    sys.setswitchinterval(_SWITCH)
    # What was imported stays; looking through it again and again is a tenth of the work of many small messages.
    gc.freeze()
    if job.private is None:
        _keep_what_is_freed()
    if job.attached:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    places = ["before the first round"]
    try:
        started = time.monotonic()
        outcome, counts = (work or _in_session)(job, say, places.append)
        store(outcome, job.folder)
        say("finished", **counts, **_spent(started, shared))
        return 0
    except BaseException as error:
        kind, sentence = _verdict(error, job, places[-1])
        say("failed", kind=kind, sentence=sentence, where=places[-1])
        return 1 if kind == "crashed" else 2


class _WithoutPandas(MetaPathFinder):
    """Keeps Arrow from importing pandas, as it does where that is installed: a third of a second, and nobody's need.

    Whoever only asks whether it is there (`importlib.util.find_spec`) hears the same error.
    """

    def find_spec(self, name: str, path: object, target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("members do without pandas", name=name)


def _in_session(job: Job, say: Say, at: Callable[[str], None]) -> tuple[Outcome, dict]:
    program, parties = find_program(job.program), read_parties(job.parties)
    listener = None if job.listener is None else socket.socket(fileno=job.listener)
    with join(
        parties,
        job.name,
        job.agreement,
        finished=job.finished,
        latency=job.latency,
        listener=listener,
    ) as session:
        say("met", resume_from=session.resume_from)
        try:
            outcome = program(session.engine, _task(job, parties, session, say)) or {}
        finally:
            at(session.network.where())
    return outcome, {**_counts(session), "revealed": dict(session.engine.revealed)}


def _keep_what_is_freed() -> None:
    """For members without rows, under glibc: messages of all owners are many megabytes, anew each time, and the kernel
    would clear memory for them each time."""
    if allocation := getattr(ctypes.CDLL(None), "mallopt", None):
        for option, size in ((_MMAP_THRESHOLD, 32 << 20), (_TRIM_THRESHOLD, 64 << 20)):
            allocation(option, size)


def _speaker() -> Say:
    """The one way to standard output; everything else printed there goes to standard error."""
    sys.stdout.flush()
    lines = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    lock = threading.Lock()

    def say(event: str, **facts) -> None:
        # Whoever listened may be gone.
        with lock, suppress(BrokenPipeError):
            lines.write(json.dumps({"event": event, **facts}) + "\n")

    return say


def _task(job: Job, parties: Parties, session: Session, say: Say) -> Task:
    def report(**progress) -> None:
        say("progress", **_counts(session), **progress)

    analyst = parties.names.index(parties.analyst)
    return Task(job.name, job.agreement, analyst, job.private, job.folder, session.resume_from, session.tag, report)


def _counts(session: Session) -> dict:
    traffic = getattr(session.network, "traffic", None)
    if traffic is None:
        return {"dealt": session.network.dealt}
    return {"rounds": traffic.rounds, "sent": traffic.sent, "dealt": traffic.dealt}


def _spent(started: float, shared: float) -> dict:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "seconds": round(time.monotonic() - started, 3),
        "cpu_seconds": round(used.ru_utime + used.ru_stime + shared, 3),
        "peak_bytes": highest_memory(),
    }


def highest_memory() -> int:
    """The most this process has held, in octets."""
    # On Linux `getrusage` tells the peak of the process that started this one, where that was higher.
    if found := re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text() if _STATUS.exists() else ""):
        return int(found[1]) * 1024
    # macOS counts in bytes.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _verdict(error: BaseException, job: Job, where: str) -> tuple[str, str]:
    """What kind of end an error is, and its sentence."""
    match error:
        case PartyStopped():
            return "relayed", str(error)
        case PartyLost():
            return "lost", str(error)
        case InvalidInput():
            return "refused", str(error)
        case KeyboardInterrupt() | SystemExit():
            return "stopped", f"party '{job.name}' was told to stop {where}"
    traceback.print_exception(error)
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(last.filename).name}, line {last.lineno}"
    # Its text may hold data; the log, which stays with the party, has it.
    what = f"{type(error).__name__} in {place}; its log in {job.folder} says more"
    return "crashed", f"party '{job.name}' failed {where}: {what}"


def _told_to_stop(*_) -> None:
    raise SystemExit(143)


def _end_with_parent() -> None:
    """End when the process that started this one is gone: then its end of our standard input closes."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_GRACE)
    os._exit(143)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
