"""Runs that are told to end, or are killed, as real processes with an embedded server of their own."""

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.troth.conftest import wait_for

pytestmark = pytest.mark.slow

PATIENCE = 120
ENDLESS = ("--set", "rounds=10000", "--set", "max_depth=6", "--set", "threads=1")


def start(*words: str) -> subprocess.Popen:
    command = [sys.executable, "-c", "from troth.app import main; main()", *words]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    # As in a terminal: a group of its own, which Ctrl-C reaches whole, and heeds.
    heeds = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    return subprocess.Popen(command, text=True, start_new_session=True, preexec_fn=heeds, **pipes)


def servers(home: Path) -> list[int]:
    """Living Prefect servers of this home."""
    found = []
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            ours = str(home).encode() in Path(f"/proc/{process}/environ").read_bytes()
            if ours and b"prefect.server" in Path(f"/proc/{process}/cmdline").read_bytes():
                found.append(int(process))
        except OSError:
            continue
    return found


@pytest.fixture
def statuses(client):
    """A function that says how runs and their stages stand, by name of pipeline or stage."""

    def read() -> list[tuple[str, str]]:
        experiment = client.get_experiment_by_name("troth-tabular")
        runs = client.search_runs([experiment.experiment_id], order_by=["start_time ASC"]) if experiment else []
        return [(run.data.tags.get("troth.stage") or "run", run.info.status) for run in runs]

    return read


@pytest.fixture
def trains(home, files, policy, statuses, monkeypatch):
    """A function that starts a run that trains for ever, and returns it once it does."""
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    words = ("run", "tabular", *files(count=30_000), "--policy", policy(), *ENDLESS)

    def begin() -> subprocess.Popen:
        process = start(*words)
        wait_for(lambda: ("train", "RUNNING") in statuses() or process.poll() is not None, "training")
        assert process.poll() is None, process.stdout.read()
        assert servers(home.root)
        return process

    return begin


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("to", [os.kill, os.killpg], ids=["process", "group"])
def test_a_signal_ends_a_run_and_what_it_started(trains, statuses, home, number, to):
    process = trains()
    to(process.pid, number)
    said, _ = process.communicate(timeout=PATIENCE)

    assert process.returncode == 128 + number, said
    for noise in ("Traceback", "Crash", "EventsWorker", "Connection refused", "Logged from"):
        assert noise not in said
    assert servers(home.root) == []
    ended = dict(statuses())
    # Failed, where the signal came while XGBoost asked for rows and so got none; either is gone on with.
    assert ended.pop("run") == ended.pop("train") in ("KILLED", "FAILED")
    assert ended == {"partition": "FINISHED"}


def test_sigkill_leaves_no_server_and_no_run_that_seems_to_go_on(trains, statuses, home, files, policy, quick, process):
    killed = trains()
    killed.kill()
    killed.wait()
    assert ("run", "RUNNING") in statuses()
    wait_for(lambda: not servers(home.root), "end of the server")

    other = process("run", "tabular", *files(name="others", seed=1), "--policy", policy(), *quick)
    assert other.code == 0, other.err
    assert [status for name, status in statuses() if name == "run"] == ["KILLED", "FINISHED"]
    assert ("train", "RUNNING") not in statuses()
    assert servers(home.root) == []
