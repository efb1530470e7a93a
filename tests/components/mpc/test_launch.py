"""Members of a run as processes: what they find, what becomes of the others when one fails, and what never leaves.

The programs are in `trial_party.py`. Every test looks that no process is left.
"""

import json
import os
import stat
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from components.errors import InvalidInput
from components.mpc.launch import PartyCrashed, run_parties, run_party
from components.mpc.network import PartyLost
from components.mpc.programs import Job, find_program
from components.parties.file import make_parties

TRIAL = Path(__file__).with_name("trial_party.py")
COMMAND = (sys.executable, str(TRIAL))
OWNERS = ("hospital", "insurer", "registry")
CANARY = 123456.78125


def alive(folder) -> list[str]:
    """Processes whose command line names the folder."""
    listed = subprocess.run(["ps", "-eww", "-o", "pid,stat,args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if str(folder) in line and " Z" not in line]


@pytest.fixture
def vectors(tmp_path, monkeypatch):
    """A function that writes a private vector for each owner."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))

    def write(owners=2):
        paths = {}
        for number, name in enumerate(OWNERS[:owners]):
            paths[name] = tmp_path / "inputs" / name / "rows.npy"
            paths[name].parent.mkdir(parents=True)
            np.save(paths[name], np.array([1.5, -2.0, 40.0, 0.25, -7.0]) * (number + 1))
        return paths

    yield write
    assert alive(tmp_path) == []


def launch(program, agreement, vectors, tmp_path, **options):
    return run_parties(
        f"__main__:{program}",
        {"rows": 5} | agreement,
        folder=tmp_path / "run",
        private=vectors,
        command=COMMAND,
        **{"timeout": 4} | options,
    )


def accident(kind, party="insurer", at=200, **more):
    return {"rounds": 4000, "accident": {"party": party, "kind": kind, "round": at, **more}}


@pytest.mark.slow
@pytest.mark.parametrize("owners", [2, 3])
def test_sum_and_product_are_right_and_files_are_their_owners_alone(vectors, tmp_path, owners):
    private, progress = vectors(owners), []
    ended = launch("combine", {}, private, tmp_path, on_progress=lambda name, event: progress.append((name, event)))
    values = [np.load(path) for path in private.values()]

    for name in private:
        arrays = ended[name].arrays()
        np.testing.assert_allclose(arrays["product"], values[0] * values[1], atol=2**-19)
        np.testing.assert_allclose(arrays["sum"], sum(values), atol=2**-19)
        assert ended[name].counts["rounds"] == 4
        assert ended[name].counts["revealed"] == {"product": 5, "sum": 5}
    assert ended["dealer"].arrays() == {}
    assert {name for name, event in progress if event.get("tree") == 1} == {*private, "dealer"}
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "run").glob("*/*")}
    assert set(modes.values()) == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "run").iterdir()} == {0o700}
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.slow
def test_with_a_parties_file_each_member_is_started_by_itself(vectors, tmp_path):
    import socket

    private, ports = vectors(), []
    for _ in private:
        with socket.create_server(("127.0.0.1", 0)) as server:
            ports.append(server.getsockname()[1])
    hosts = {name: ("127.0.0.1", port) for name, port in zip(private, ports, strict=True)}
    make_parties(tmp_path / "parties", list(private), analyst="insurer", hosts=hosts, timeout=5, gather=30)
    ended, threads = {}, []
    for name, finished in [("hospital", {3: "x", 4: "y"}), ("insurer", {2: "w", 3: "x"}), ("dealer", {})]:
        job = Job(
            program="__main__:combine",
            parties=tmp_path / "parties",
            name=name,
            agreement={"rows": 5},
            folder=tmp_path / "alone" / name,
            private=private.get(name),
            finished=finished,
        )
        alone = lambda job=job: ended.update({job.name: run_party(job, command=COMMAND)})  # noqa: E731
        threads.append(threading.Thread(target=alone))
        threads[-1].start()
    for thread in threads:
        thread.join(60)

    assert {name: one.document for name, one in ended.items()} == dict.fromkeys(
        ("hospital", "insurer", "dealer"), {"resume_from": 3, "analyst": 1}
    )


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "says"), [("kill", "'insurer' ended by SIGKILL"), ("stop", "sent nothing for 4 s")])
@pytest.mark.parametrize("owners", [2, 3])
def test_a_party_that_dies_or_stops_ends_the_others_within_the_time_out(vectors, tmp_path, kind, says, owners):
    reached = []

    def note(name, event):
        if event["event"] == "progress":
            reached.append(time.monotonic())

    with pytest.raises(PartyLost) as lost:
        launch("many_rounds", accident(kind), vectors(owners), tmp_path, on_progress=note)

    assert time.monotonic() - reached[-1] < 4 + 4 + 6
    for word in [says, "'insurer'", "(trial)", "in round "]:
        assert word in str(lost.value)


@pytest.mark.slow
def test_a_dealer_that_dies_ends_the_others(vectors, tmp_path):
    with pytest.raises(PartyLost, match="'dealer' ended by SIGKILL"):
        launch("many_rounds", accident("kill", "dealer", 3000), vectors(), tmp_path)


@pytest.mark.slow
def test_a_crash_is_told_with_its_place_and_without_its_text(vectors, tmp_path):
    private = vectors()
    np.save(private["insurer"], np.full(5, CANARY))
    with pytest.raises(PartyCrashed) as crashed:
        launch("many_rounds", accident("crash"), private, tmp_path)

    for word in ("'insurer'", "RuntimeError", "trial_party.py", "in round 400"):
        assert word in str(crashed.value)
    assert str(CANARY) not in str(crashed.value)
    assert str(CANARY) in (tmp_path / "run" / "insurer" / "log.txt").read_text()
    assert str(CANARY) not in (tmp_path / "run" / "hospital" / "log.txt").read_text()


@pytest.mark.slow
def test_a_refusal_is_told_as_it_was_said(vectors, tmp_path):
    with pytest.raises(InvalidInput, match="party 'insurer': table visits.csv has no rows"):
        launch("many_rounds", accident("refuse"), vectors(), tmp_path)


@pytest.mark.slow
def test_a_slow_party_is_waited_for(vectors, tmp_path):
    plan = accident("slow", seconds=5, at=10) | {"rounds": 30}
    assert set(launch("many_rounds", plan, vectors(), tmp_path, timeout=2)) == {"hospital", "insurer", "dealer"}


@pytest.mark.slow
def test_when_whoever_started_them_is_killed_nothing_stays(vectors, tmp_path):
    private = {name: str(path) for name, path in vectors().items()}
    code = (
        "import json, sys; from pathlib import Path; from components.mpc.launch import run_parties\n"
        "folder, private, agreement, *command = map(json.loads, sys.argv[1:])\n"
        "private = {name: Path(path) for name, path in private.items()}\n"
        "run_parties('__main__:many_rounds', agreement, folder=Path(folder), private=private, command=command,\n"
        "            on_progress=lambda name, event: print(event, flush=True))\n"
    )
    endless = accident("slow", seconds=60) | {"rows": 5, "rounds": 10**6}
    words = [str(tmp_path / "run"), private, endless, *COMMAND]
    parent = subprocess.Popen(
        [sys.executable, "-c", code, *map(json.dumps, words)],
        stdout=subprocess.PIPE,
        env=os.environ | {"TMPDIR": tempfile.gettempdir()},
    )
    with parent.stdout as reported:
        reported.readline()
        running = alive(tmp_path / "run")
        parent.kill()
        parent.wait()
    assert len(running) >= 3
    deadline = time.monotonic() + 15
    while alive(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.2)


@pytest.mark.slow
def test_an_interruption_ends_all(vectors, tmp_path):
    def interrupt(name, event):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        launch("many_rounds", accident("slow", seconds=60), vectors(), tmp_path, on_progress=interrupt)


@pytest.mark.slow
def test_values_of_one_owner_are_nowhere_else(vectors, tmp_path):
    private = vectors()
    np.save(private["insurer"], np.full(5, CANARY))
    heard = []
    launch("private_sum", {}, private, tmp_path, on_progress=lambda *event: heard.append(repr(event)))
    forms = [str(CANARY), np.float64(CANARY).tobytes(), np.int64(CANARY * 2**20).tobytes(), str(int(CANARY * 2**20))]
    forms = [form.encode() if isinstance(form, str) else form for form in forms]

    received = (tmp_path / "run" / "hospital" / "received.bin").read_bytes()
    assert len(received) > 100
    places = {"received": received, "progress": "".join(heard).encode()}
    for path in (tmp_path / "run").rglob("*"):
        if path.is_file():
            places[str(path)] = path.read_bytes()
    assert not [(place, form) for place, content in places.items() for form in forms if form in content]
    # The trial would find them: the owner's own file holds them.
    assert forms[1] in private["insurer"].read_bytes()


@pytest.mark.parametrize("name", ["os:system", "components.mpc.process:main", "components.nothing:run", "x"])
def test_only_programs_are_found(name):
    with pytest.raises(InvalidInput, match="@program"):
        find_program(name)


@pytest.mark.parametrize("prints", ["hello", '{"event": "prog', "[1]", "{}"])
def test_what_is_no_report_of_a_member_keeps_nobody_waiting(tmp_path, prints):
    command = (sys.executable, "-c", f"import sys; sys.stdout.write({prints!r} + chr(10)); sys.exit(3)")
    job = Job(program="x", parties=tmp_path, name="hospital", agreement={}, folder=tmp_path / "hospital")
    with pytest.raises(PartyLost, match="exit code 3"):
        run_party(job, command=command)
