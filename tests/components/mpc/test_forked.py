"""Members forked from one process are as apart as any: in what they draw, in how they end, in what they hold open."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from components.boosting.federated.programs import grow
from components.boosting.secret_shared.programs import train_together
from components.mpc.launch import ENVIRONMENT, run_parties
from components.mpc.network import PartyLost
from components.mpc.programs import reference

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


def forks_them(pid: int) -> int:
    """The process that a member was forked from."""
    (line,) = (one for one in Path(f"/proc/{pid}/status").read_text().splitlines() if one.startswith("PPid"))
    return int(line.split()[1])


def accident(name, rounds=4000, **about):
    return {"rounds": rounds, "accident": {"party": "insurer", "kind": name, "round": 200, **about}}


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
def test_the_signal_that_ended_a_member_is_told(launch, tmp_path, process_of):
    def kill(name, event):
        if name == "insurer":
            os.kill(process_of(tmp_path / "run" / "insurer"), 11)

    with pytest.raises(PartyLost, match="'insurer' ended by SIGSEGV"):
        launch("many_rounds", agreement=accident("slow", seconds=0), on_progress=kill)
