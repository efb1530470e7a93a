"""Members of one machine as processes forked from one that has imported what they run.

To import is most of what a short run costs, and here happens once. Whoever forks has one thread and has read nothing
but jobs: members read their rows, draw their secrets and start their threads afterwards, each for itself. Random
numbers are the operating system's, or OpenSSL's, which notices that it was forked; NumPy's common generator would be
the same in all, and nobody uses it.
Where a process cannot safely be forked once libraries are in it (anywhere but Linux), members are started singly.
"""

import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from components.data.schema import validated
from components.mpc.programs import Job, make_ready

LOG = "log.txt"
"""Where a member's errors go, in its folder."""


def _can_fork() -> bool:
    """Whether processes can be forked here, and be known by handles, which some builds of Python and sandboxes lack."""
    if sys.platform != "linux" or not (hasattr(os, "pidfd_open") and hasattr(signal, "pidfd_send_signal")):
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        return False
    return True


CAN_FORK = _can_fork()


class Forked:
    """A forked member as `subprocess.Popen` would show it; `forking` tells its number, and how it ended."""

    def __init__(self, forking: subprocess.Popen, stdin: int, stdout: int):
        self.stdin, self.stdout = os.fdopen(stdin, "wb"), os.fdopen(stdout, "rb")
        self.pid: int | None = None
        self.returncode: int | None = None
        self._forking, self._handle = forking, None
        self._changed = threading.Condition()

    def begun(self, pid: int) -> None:
        """It runs, as this process."""
        with self._changed:
            self.pid = pid
            # A number may come to be another process's, a handle not.
            with suppress(ProcessLookupError):
                self._handle = os.pidfd_open(pid)

    def ended(self, returncode: int) -> None:
        """It ended so, or is about to: it is waited for. How it ended stays as it was told first."""
        if self._handle is not None:
            waiting = select.poll()
            waiting.register(self._handle, select.POLLIN)
            waiting.poll()
        with self._changed:
            self.returncode = returncode if self.returncode is None else self.returncode
            if self._handle is not None:
                os.close(self._handle)
                self._handle = None
            self._changed.notify_all()

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        with self._changed:
            if not self._changed.wait_for(lambda: self.returncode is not None, timeout):
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
        return self.returncode

    def terminate(self) -> None:
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        with self._changed:
            if self.returncode is None and self.pid is None:
                # What does not run yet will not, without what is to fork it.
                self._forking.send_signal(number)
            elif self._handle is not None:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._handle, number)


def start_forked(command: Sequence[str], jobs: Sequence[Job], write: Callable[[Job], Path], **options) -> list[Forked]:
    """Run `command` with the paths of several jobs; its process is to call `fork_members`.

    Parameters
    ----------
    write
        Writes a job, which says by now where its input and output are; the path of its file.
    options
        Of `subprocess.Popen`.
    """
    paths, inherited, ours = [], [job.listener for job in jobs if job.listener is not None], []
    with ExitStack() as theirs, ExitStack() as unless_started:
        for job in jobs:
            (stdin, to_member), (from_member, stdout) = _pipe(), _pipe()
            for end in (stdin, stdout):
                theirs.callback(os.close, end)
            for end in (to_member, from_member):
                unless_started.callback(os.close, end)
            inherited += (stdin, stdout)
            ours.append((to_member, from_member))
            paths.append(str(write(job.model_copy(update={"streams": (stdin, stdout)}))))
        # Until members have logs of their own, what goes wrong is in that of the first.
        forking = subprocess.Popen(
            [*command, *paths],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=theirs.enter_context((jobs[0].folder / LOG).open("ab")),
            pass_fds=inherited,
            **options,
        )
        unless_started.pop_all()
    members = [Forked(forking, *ends) for ends in ours]
    threading.Thread(target=_follow, args=(forking, members), daemon=True).start()
    return members


def _pipe() -> list[int]:
    """A pipe whose ends are none of the first three of a process, which a member replaces."""
    ends = os.pipe()
    try:
        return [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 3) for end in ends]
    finally:
        for end in ends:
            os.close(end)


def _follow(forking: subprocess.Popen, members: Sequence[Forked]) -> None:
    codes: dict[int, int] = {}
    try:
        with forking.stdout as lines:
            for line in lines:
                # What something printed when it was imported, or half a line of a process that was killed.
                with suppress(ValueError, TypeError, LookupError):
                    number, what, value = json.loads(line)
                    if what == "begun":
                        members[number].begun(value)
                    elif what == "ended":
                        codes[number] = value
                        # When the last of them has ended, so has what forked them, in a moment.
                        if len(codes) < len(members):
                            members[number].ended(value)
    finally:
        # Of whom nothing was told, it was not forked, or nobody knows any more.
        code = forking.wait()
        # Each by itself: one may live on for long after another.
        for number, member in enumerate(members):
            threading.Thread(target=member.ended, args=(codes.get(number, code),), daemon=True).start()


def fork_members(paths: Sequence[Path]) -> tuple[Path, float]:
    """Become the member of each job, in a process of its own: the path of its job, and its share of the start in
    processor seconds. What is forked from ends with the last of them, without ever returning.
    """
    jobs = [validated(Job, json.loads(path.read_text()), path) for path in paths]
    # What is printed goes to the log, and this alone to whoever started it.
    told = os.dup(1)
    os.dup2(2, 1)

    def tell(*facts: int | str) -> None:
        with suppress(BrokenPipeError):
            os.write(told, f"{json.dumps(facts)}\n".encode())

    for name in {job.program for job in jobs}:
        make_ready(name)
    # What is left of it here would be every member's, and be written where each is listened to.
    sys.stdout.flush()
    share = time.process_time() / len(jobs)
    numbers = {}
    for number, (path, job) in enumerate(zip(paths, jobs, strict=True)):
        pid = os.fork()
        if pid == 0:
            os.close(told)
            _become(job, jobs)
            return path, share
        numbers[pid] = number
        tell(number, "begun", pid)
    _let_go(jobs)
    while numbers:
        pid, status = os.wait()
        tell(numbers.pop(pid), "ended", os.waitstatus_to_exitcode(status))
    os._exit(0)


def _become(job: Job, jobs: Sequence[Job]) -> None:
    """Take the member's own input, output and log, and let go of everybody's."""
    log = os.open(job.folder / LOG, os.O_WRONLY | os.O_APPEND)
    for number, end in enumerate((*job.streams, log)):
        os.dup2(end, number)
    os.close(log)
    _let_go(jobs, but=job.listener)


def _let_go(jobs: Sequence[Job], but: int | None = None) -> None:
    """Close what was inherited for members, so that each end is closed when the one who has it ends."""
    for job in jobs:
        for end in {*job.streams, job.listener} - {but, None}:
            os.close(end)
