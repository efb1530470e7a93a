"""A disk that fills up in the middle of a run: one sentence, the champion as it was, and the same command goes on."""

import os
import resource
import subprocess
from pathlib import Path

import pytest


def fill(folder: Path, *, leaving: int) -> Path:
    """Fill the disk under `folder` up to its last `leaving` bytes."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
        os.posix_fallocate(file.fileno(), 0, max(free - leaving, 1))
    return filler


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 8 MiB in memory."""
    if os.geteuid():
        pytest.skip("mounting a disk takes root")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def unfinished_runs(client) -> list[str]:
    experiment = client.get_experiment_by_name("troth-tabular").experiment_id
    found = client.search_runs([experiment], "tags.`troth.key` != '' AND attributes.status != 'FINISHED'")
    return [run.info.run_id for run in found]


@pytest.mark.parametrize("leaving", [200_000, pytest.param(600_000, marks=pytest.mark.slow)])
def test_a_full_disk(troth, grow, use, small_disk, files, policy, quick, leaving):
    registry = use(grow(small_disk, {}))
    command = ("run", "tabular", *files(seed=1), "--policy", policy(), *quick)

    filler = fill(small_disk, leaving=leaving)
    complaint = troth(*command).complaint

    assert "the disk is full" in complaint
    # With more space left it is the report that does not fit, after a promotion that is whole.
    assert registry.champion().version in ({"1"} if leaving < 500_000 else {"1", "2"})

    filler.unlink()
    left = unfinished_runs(registry.client())
    ended = troth(*command)
    assert ended.code == 0, ended.err
    assert len(left) == 1
    assert not unfinished_runs(registry.client())
    assert registry.client().get_run(left[0]).info.status == "FINISHED"
    version = registry.client().get_model_version("people", registry.standing().versions[-1])
    assert version.tags["troth.flow_run"] == left[0]
    assert troth("ledger", "verify").code == 0


@pytest.mark.slow
def test_a_process_that_may_write_no_large_file(process, grow, use, tmp_path, prefect_server, files, people, policy):
    def no_large_file():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, 1_500_000))

    registry = use(grow(tmp_path, {}))
    before = registry.standing()
    command = ("run", "tabular", *files(people(60_000, seed=4)), "--policy", policy(), "--set", "rounds=5")
    complaint = process(*command, preexec=no_large_file, PREFECT_API_URL=prefect_server).complaint

    assert "the disk is full" in complaint
    assert registry.standing() == before
    assert registry.champion().version == "1"

    left = unfinished_runs(registry.client())
    ended = process(*command)
    assert ended.code == 0, ended.err
    assert registry.client().get_run(left[0]).info.status == "FINISHED"


@pytest.mark.slow
def test_a_full_disk_that_holds_prefects_records_too(process, small_disk, files, policy, quick, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    subprocess.run(["mount", "-o", "remount,size=32m", str(small_disk)], check=True)
    home = {
        "TROTH_HOME": str(small_disk / "home"),
        "PREFECT_HOME": str(small_disk / "home" / "prefect"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{small_disk}/home/mlflow.db",
    }
    assert process("run", "tabular", *files(), "--policy", policy(), *quick, **home).code == 0
    ledger = (small_disk / "home" / "ledger" / "people.jsonl").read_bytes()
    command = ("run", "tabular", *files(seed=1), "--policy", policy(), *quick)

    filler = fill(small_disk, leaving=100_000)
    assert "the disk is full" in process(*command, **home).complaint
    assert (small_disk / "home" / "ledger" / "people.jsonl").read_bytes() == ledger

    filler.unlink()
    ended = process(*command, **home)
    assert ended.code == 0, ended.err
