"""Members forked from one process are as apart as any: in what they draw, in how they end, in what they hold open."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from components.boosting.federated.programs import grow
from components.boosting.secret_shared.programs import train_together
from components.mpc.forked import start_forked
from components.mpc.launch import ENVIRONMENT, PartyCrashed, run_parties
from components.mpc.network import PartyLost
from components.mpc.programs import Job, reference

TRIAL = Path(__file__).with_name("trial_party.py")
OWNERS = ("hospital", "insurer")
THREADS = "import os; print(len(os.listdir('/proc/self/task')))"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="members are forked on Linux alone")


@pytest.fixture
def launch(tmp_path):
    """Runs a trial program as two owners and a dealer."""
    private = {}
    for number, name in enumerate(OWNERS):
        private[name] = tmp_path / f"{name}.npy"
        np.save(private[name], np.arange(5) * (number + 1.0))

    def run(program, **options):
        agreement = {"rows": 5, **options.pop("agreement", {})}
        command = (sys.executable, str(TRIAL))
        folder = tmp_path / "run"
        return run_parties(
            f"__main__:{program}", agreement, folder=folder, private=private, command=command, timeout=4, **options
        )

    return run


@pytest.mark.parametrize("process", ["components.boosting.federated.process", "components.mpc.process"])
@pytest.mark.parametrize("program", [grow, train_together], ids=["federated", "secret_shared"])
def test_what_is_forked_has_one_thread(process, program):
    start = f"import {process}; from components.mpc.programs import make_ready; make_ready('{reference(program)}')"
    said = subprocess.run(
        [sys.executable, "-c", f"{start}; {THREADS}"], env=os.environ | ENVIRONMENT, capture_output=True, check=True
    )
    assert said.stdout.split() == [b"1"]


def test_no_two_members_draw_the_same(launch):
    everything = [number for ended in launch("drawn").values() for number in ended.document["drawn"]]
    assert len(set(everything)) == len(everything) == 6 * 3


@pytest.fixture
def job(tmp_path):
    """A job that nobody reads."""
    (tmp_path / "log.txt").touch()
    return Job(program="x", parties=tmp_path, name="hospital", agreement={}, folder=tmp_path)


def forks_them(pid: int) -> int:
    """The process that a member was forked from."""
    (line,) = (one for one in Path(f"/proc/{pid}/status").read_text().splitlines() if one.startswith("PPid"))
    return int(line.split()[1])


def runs(pid: int) -> bool:
    """Whether there is such a process, and more of it than how it ended."""
    with suppress(OSError):
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


def accident(kind):
    return {"rounds": 4000, "accident": {"party": "insurer", "kind": kind, "round": 200}}


@pytest.mark.slow
def test_members_go_on_when_what_forked_them_is_killed(launch, tmp_path, process_of):
    killed = threading.Event()

    def kill(name, event):
        if not killed.is_set():
            os.kill(forks_them(process_of(tmp_path / "run" / "insurer")), 9)
            killed.set()

    ended = launch("combine", on_progress=kill)
    assert killed.is_set()
    assert set(ended) == {*OWNERS, "dealer"}


@pytest.mark.slow
def test_when_what_forked_them_is_killed_and_one_fails_nobody_stays(launch, tmp_path, process_of):
    running = {}

    def kill(name, event):
        if not running:
            running.update({one: process_of(tmp_path / "run" / one) for one in (*OWNERS, "dealer")})
            os.kill(forks_them(running["insurer"]), 9)

    with pytest.raises(PartyCrashed):
        launch("many_rounds", agreement=accident("crash"), on_progress=kill)
    assert not [name for name, pid in running.items() if runs(pid)]


def test_what_has_not_forked_yet_can_be_ended(job, tmp_path):
    (member,) = start_forked(
        (sys.executable, "-c", "import time; time.sleep(600)"), [job], lambda job: job.folder / "job.json"
    )
    with pytest.raises(subprocess.TimeoutExpired):
        member.wait(0.2)
    member.terminate()
    assert member.wait(20) == -signal.SIGTERM


@pytest.mark.parametrize("line", ["loading ...", "5", "null", '[9, "begun", 1]', '{"a": 1}', '[0, "ended"]'])
def test_what_is_printed_before_keeps_nobody_waiting(job, line):
    (member,) = start_forked(
        (sys.executable, "-c", f"print({line!r}); raise SystemExit(3)"), [job], lambda job: job.folder / "job.json"
    )
    assert member.wait(20) == 3


def test_loops_are_loaded_before_they_are_forked():
    code = (
        "from components.mpc.programs import make_ready; from components.boosting.histogram import bins, gains, walk\n"
        f"make_ready('{reference(grow)}')\n"
        "loops = walk.divide, walk.add_divided, walk.add_value, gains.best_splits, bins._search_bins\n"
        "print(*(len(loop.signatures) for loop in loops))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["1"] * 5


@pytest.mark.slow
def test_the_signal_that_ended_a_member_is_told(launch, tmp_path, process_of):
    def kill(name, event):
        if name == "insurer":
            os.kill(process_of(tmp_path / "run" / "insurer"), 11)

    with pytest.raises(PartyLost, match="'insurer' ended by SIGSEGV"):
        launch("many_rounds", agreement=accident("none"), on_progress=kill)


def test_a_member_that_is_gone_is_known_to_be_while_others_live_on(tmp_path):
    """What forked them ends without a word of it, and the last was never forked."""
    jobs = [Job(program="x", parties=tmp_path, name=name, agreement={}, folder=tmp_path / name) for name in "abc"]
    for one in jobs:
        one.folder.mkdir()
        (one.folder / "log.txt").touch()
    forking = """
import json, os, time
for number in (0, 1):
    pid = os.fork()
    if pid == 0:
        os.close(1)
        time.sleep(600 if number == 0 else 0)
        os._exit(0)
    print(json.dumps([number, "begun", pid]), flush=True)
os._exit(1)
"""
    members = start_forked((sys.executable, "-c", forking), jobs, lambda one: one.folder / "job.json")
    try:
        assert [members[2].wait(60), members[1].wait(60), members[0].poll()] == [1, 1, None]
    finally:
        members[0].kill()
    members[0].wait(60)
    for one in members:
        one.stdin.close()
        one.stdout.close()
