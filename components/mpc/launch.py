"""Start members of a run as processes, follow them, and say what happened.

`run_parties` starts all on this machine, over loopback, with certificates made for the occasion unless it is given
some; `run_party` starts one, where its machine's worker calls it. When one fails, the others are ended, and the
sentence is that of the first cause: what the others then had to say follows from it.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue
from socket import create_server, socket

import numpy as np

from components.errors import InvalidInput
from components.mpc.forked import CAN_FORK, LOG, Forked, start_forked
from components.mpc.hello import Json
from components.mpc.network import PartyLost
from components.mpc.programs import Job
from components.parties.file import make_parties, read_parties
from components.secret_file import create_once

COMMAND = (sys.executable, "-m", "components.mpc.process")

OnProgress = Callable[[str, dict], None]

_GRACE, _LOOK = 3.0, 0.2

ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
"""Libraries start no threads when they are imported: there is no work for them, and with them nothing can be forked."""

_ORDER = ("refused", "crashed", "died", "lost", "relayed", "stopped")
"""Kinds of failure; of several, the earliest of the first kind is the cause."""


class PartyCrashed(RuntimeError):
    """A party's process failed by a fault of its program."""


@dataclass(frozen=True)
class Ended:
    """What a member left: `document` is what its program returned, arrays apart; `counts` its traffic and time."""

    name: str
    folder: Path
    document: dict[str, Json]
    counts: dict[str, Json]

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays its program returned: shares, as a rule, which are this party's alone."""
        path = self.folder / "result.npz"
        if not path.exists():
            return {}
        with np.load(path, allow_pickle=False) as stored:
            return dict(stored)


def run_parties(
    program: str,
    agreement: Mapping[str, Json],
    *,
    folder: Path,
    private: Mapping[str, Path],
    parties: Path | None = None,
    analyst: str | None = None,
    finished: Mapping[str, Mapping[int, str]] | None = None,
    timeout: float = 30,
    latency: float = 0,
    on_progress: OnProgress | None = None,
    command: Sequence[str] = COMMAND,
) -> dict[str, Ended]:
    """Run `program` as all owners and the dealer, each a process on this machine.

    Parameters
    ----------
    program
        A function of `components` marked `@program`, as "module:function".
    agreement
        Public, the same for all, JSON.
    folder
        Gets a folder for each member with its job, log and results.
    private
        Path of each owner's input, by owner; the owners are its keys, in this order, unless `parties` names them.
    parties
        A parties.yaml with its certificates; without one, both are made for this run and removed after it.
    analyst
        The owner to whom results may be opened, the first unless told; a parties.yaml has its own.
    finished
        The steps each owner can go on from, each with a tag of the tries it is of.
    timeout
        Seconds without a sign of life; a parties.yaml has its own.
    on_progress
        Called with a member's name and what it reports.

    Raises
    ------
    PartyLost
        A party died or fell silent.
    InvalidInput
        A party refused its input.
    PartyCrashed
        A party's program failed.
    """
    with ExitStack() as stack:
        listeners: dict[str, socket] = {}
        if parties is None:
            secret = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="troth-parties-")))
            listeners = {name: stack.enter_context(create_server(("127.0.0.1", 0), backlog=64)) for name in private}
            parties = secret / "parties"
            hosts = {name: ("127.0.0.1", one.getsockname()[1]) for name, one in listeners.items()}
            waits = {"timeout": timeout, "gather": max(60.0, timeout)}
            make_parties(parties, list(private), analyst=analyst, hosts=hosts, **waits)
        known = read_parties(parties)
        if strangers := sorted(private.keys() - set(known.names)):
            raise InvalidInput(f"'{strangers[0]}' has an input but is no owner in {parties}")
        jobs = [
            Job(
                program=program,
                parties=parties,
                name=name,
                agreement=dict(agreement),
                private=private.get(name),
                folder=folder / name,
                finished=(finished or {}).get(name, {}),
                latency=latency,
                listener=listeners[name].fileno() if name in listeners else None,
            )
            for name in (*known.names, known.dealer.name)
        ]
        return run_jobs(jobs, on_progress or _silent, command)


def run_party(
    job: Job,
    *,
    on_progress: OnProgress | None = None,
    command: Sequence[str] = COMMAND,
    stop: threading.Event | None = None,
) -> Ended:
    """Run one member in a process of its own, the others being started elsewhere; raises as `run_parties`.

    When `stop` is set, since another is known to have failed, it is ended.
    """
    return run_jobs([job], on_progress or _silent, command, stop)[job.name]


@dataclass
class _Child:
    """A member's process and what it said last."""

    job: Job
    process: subprocess.Popen | Forked
    ending: dict | None = None
    failures: list = field(default_factory=list)


def run_jobs(
    jobs: Sequence[Job],
    on_progress: OnProgress,
    command: Sequence[str],
    stop: threading.Event | None = None,
    *,
    dispensable: Collection[str] = (),
) -> dict[str, Ended]:
    """Run members as processes of this machine; who is `dispensable` may be lost as long as the others go on."""
    said: Queue[tuple[_Child, dict | None]] = Queue()
    children: list[_Child] = []
    try:
        _start(jobs, command, children)
        for child in children:
            threading.Thread(target=_listen, args=(child, said), daemon=True).start()
        failures = _follow(children, said, on_progress, stop, dispensable)
    finally:
        _end(children)
    if _end_all(failures, dispensable):
        raise _cause(failures)
    failed = {child.job.name for child, _ in failures}
    return {child.job.name: _ended(child) for child in children if child.job.name not in failed}


def _start(jobs: Sequence[Job], command: Sequence[str], children: list[_Child]) -> None:
    """Start members, and add each to `children` as soon as it has to be ended again."""
    # Ctrl-C reaches this process alone, which then ends them.
    options = {"env": os.environ | ENVIRONMENT, "start_new_session": True}
    for job in jobs:
        job.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        job.folder.chmod(0o700)
        log = job.folder / LOG
        log.unlink(missing_ok=True)
        create_once(log, b"")
    if len(jobs) > 1 and CAN_FORK:
        children += map(_Child, jobs, start_forked(command, jobs, _write, **options))
        return
    for job in jobs:
        children.append(_Child(job, _start_alone(job, command, **options)))


def _start_alone(job: Job, command: Sequence[str], **options) -> subprocess.Popen:
    with (job.folder / LOG).open("ab") as errors:
        return subprocess.Popen(
            [*command, str(_write(job))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            pass_fds=[] if job.listener is None else [job.listener],
            **options,
        )


def _write(job: Job) -> Path:
    path = job.folder / "job.json"
    path.unlink(missing_ok=True)
    create_once(path, job.model_copy(update={"attached": True}).model_dump_json(indent=1).encode())
    return path


def _listen(child: _Child, said: Queue) -> None:
    try:
        with child.process.stdout as lines:
            for line in lines:
                # What something printed before it could be kept apart, or half a line of a process that was killed.
                with suppress(ValueError):
                    if isinstance(event := json.loads(line), dict) and "event" in event:
                        said.put((child, event))
    finally:
        said.put((child, None))


def _follow(
    children: list[_Child],
    said: Queue,
    on_progress: OnProgress,
    stop: threading.Event | None,
    dispensable: Collection[str],
) -> list[tuple[_Child, dict]]:
    """Hand on what the members report until all have ended, or until some time after the first failed."""
    running, failures, deadline = len(children), [], None
    while running and (deadline is None or time.monotonic() < deadline):
        if stop is not None and stop.is_set() and deadline is None:
            return [
                (child, {"kind": "stopped", "sentence": f"party '{child.job.name}' was stopped"}) for child in children
            ]
        try:
            child, event = said.get(timeout=_patience(deadline, stop))
        except Empty:
            continue
        if event is None:
            running -= 1
            if child.ending is None:
                failures.append((child, {"kind": "died", "code": child.process.wait()}))
        elif event["event"] in ("finished", "failed"):
            child.ending = event
            if event["event"] == "failed":
                failures.append((child, event))
        else:
            on_progress(child.job.name, event)
        if deadline is None and _end_all(failures, dispensable):
            deadline = time.monotonic() + _GRACE
    return failures


def _end_all(failures: list[tuple[_Child, dict]], dispensable: Collection[str]) -> bool:
    """Whether the run is over: somebody failed who is needed, or by its own fault."""
    return any(
        child.job.name not in dispensable or event["kind"] in ("refused", "crashed") for child, event in failures
    )


def _patience(deadline: float | None, stop: threading.Event | None) -> float | None:
    """Seconds until there is something else to look at."""
    if deadline is not None:
        return max(0.01, deadline - time.monotonic())
    return None if stop is None else _LOOK


def _end(children: list[_Child]) -> None:
    """End what still runs: asked first, then not."""
    for child in children:
        if child.process.poll() is None and child.ending is None:
            child.process.terminate()
    deadline = time.monotonic() + _GRACE
    for child in children:
        try:
            child.process.wait(max(0.01, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.process.kill()
            child.process.wait()
        child.process.stdin.close()


def _cause(failures: list[tuple[_Child, dict]]) -> Exception:
    """The failure that the others follow from, as an exception."""
    child, event = min(failures, key=lambda failure: _ORDER.index(failure[1]["kind"]))
    name = child.job.name
    match event["kind"]:
        case "died":
            # The dealer counts no rounds, so what an owner says of the moment comes first.
            told = [(one.job.private is None, other) for one, other in failures if other["kind"] in ("lost", "relayed")]
            noticed = min(told, key=lambda one: one[0])[1]["where"] if told else ""
            return PartyLost(
                f"party '{name}' ended {_how(event['code'])} {noticed}".rstrip()
                + f"; its log is in {child.job.folder}, and the same command goes on from the last finished step"
            )
        case "crashed":
            return PartyCrashed(event["sentence"])
        case "refused":
            return InvalidInput(f"party '{name}': {event['sentence']}")
        case _:
            return PartyLost(event["sentence"])


def _how(code: int) -> str:
    if code >= 0:
        return f"with exit code {code}"
    name = signal.Signals(-code).name
    return f"by {name}" + (" (if nobody sent it, the machine ran out of memory)" if name == "SIGKILL" else "")


def _ended(child: _Child) -> Ended:
    document = json.loads((child.job.folder / "result.json").read_text())
    counts = {name: value for name, value in child.ending.items() if name != "event"}
    return Ended(child.job.name, child.job.folder, document, counts)


def _silent(name: str, event: dict) -> None:
    pass
