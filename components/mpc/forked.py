"""Members of one machine as processes forked from one that has imported what they run.

To import is most of what a short run costs, and here happens once. Whoever forks has one thread and has read nothing
but jobs: members read their rows, draw their secrets and start their threads afterwards, each for itself. Random
numbers are the operating system's, or OpenSSL's, which notices that it was forked.
Where a process cannot safely be forked once libraries are in it (anywhere but Linux), members are started singly.
"""

import json
import os
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

CAN_FORK = sys.platform == "linux"


class Forked:
    """A forked member as `subprocess.Popen` would show it; what forks it tells its number, and how it ended."""

    def __init__(self, stdin: int, stdout: int):
        self.stdin, self.stdout = os.fdopen(stdin, "wb"), os.fdopen(stdout, "rb")
        self.pid: int | None = None
        self.returncode: int | None = None
        self._changed = threading.Condition()

    def learn(self, *, pid: int | None = None, returncode: int | None = None) -> None:
        """Take what was told; how it ended stays as it was told first."""
        with self._changed:
            self.pid = self.pid or pid
            self.returncode = returncode if self.returncode is None else self.returncode
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
            self._changed.wait_for(lambda: self.pid is not None or self.returncode is not None)
            if self.returncode is None:
                with suppress(ProcessLookupError):
                    os.kill(self.pid, number)


def start_forked(command: Sequence[str], jobs: Sequence[Job], write: Callable[[Job], Path], **options) -> list[Forked]:
    """Run `command` with the paths of several jobs; its process is to call `fork_members`.

    Parameters
    ----------
    write
        Writes a job, which says by now where its input and output are; the path of its file.
    options
        Of `subprocess.Popen`.
    """
    members, paths, inherited = [], [], [job.listener for job in jobs if job.listener is not None]
    with ExitStack() as stack:
        for job in jobs:
            (stdin, ours), (theirs, stdout) = os.pipe(), os.pipe()
            members.append(Forked(ours, theirs))
            for end in (stdin, stdout):
                stack.callback(os.close, end)
                inherited.append(end)
            paths.append(str(write(job.model_copy(update={"streams": (stdin, stdout)}))))
        # Until members have logs of their own, what goes wrong is in that of the first.
        forking = subprocess.Popen(
            [*command, *paths],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stack.enter_context((jobs[0].folder / LOG).open("ab")),
            pass_fds=inherited,
            **options,
        )
    threading.Thread(target=_follow, args=(forking, members), daemon=True).start()
    return members


def _follow(forking: subprocess.Popen, members: Sequence[Forked]) -> None:
    codes: dict[int, int] = {}
    with forking.stdout as lines:
        for line in lines:
            # Half a line, if it was killed.
            with suppress(ValueError):
                number, told = json.loads(line)
                codes |= {number: told["returncode"]} if "returncode" in told else {}
                # When the last of them has ended, so has what forked them, in a moment.
                if len(codes) < len(members):
                    members[number].learn(**told)
    # Of whom nothing was told, it was not forked, or nobody knows any more.
    code = forking.wait()
    for number, member in enumerate(members):
        member.learn(returncode=codes.get(number, code))


def fork_members(paths: Sequence[Path]) -> tuple[Path, float]:
    """Become the member of each job, in a process of its own: the path of its job, and its share of the start in
    processor seconds. What is forked from ends with the last of them, without ever returning.
    """
    jobs = [validated(Job, json.loads(path.read_text()), path) for path in paths]
    for name in {job.program for job in jobs}:
        make_ready(name)
    share = time.process_time() / len(jobs)
    numbers = {}
    for number, (path, job) in enumerate(zip(paths, jobs, strict=True)):
        pid = os.fork()
        if pid == 0:
            _become(job, jobs)
            return path, share
        numbers[pid] = number
        _tell(number, pid=pid)
    _let_go(jobs)
    while numbers:
        pid, status = os.wait()
        _tell(numbers.pop(pid), returncode=os.waitstatus_to_exitcode(status))
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


def _tell(number: int, **told: int) -> None:
    # Whoever listened may be gone.
    with suppress(BrokenPipeError):
        os.write(1, f"{json.dumps([number, told])}\n".encode())
