"""Which of the runs that the store calls running are dead, and what becomes of them."""

import os
import signal
from contextlib import ExitStack
from threading import Timer

import pytest

from tasks import overview
from tasks.abandoned import LOCKS, close_abandoned
from tasks.locks import alone, if_free, name_of_locks
from tasks.pipeline import pipeline_run
from tasks.tracking import close_run, open_run, stage_run


@pytest.fixture
def left(home, client):
    """A function that leaves a run of some key behind as running, one stage of it too."""

    def leave(key: str, *, locks: str | None = None) -> tuple[str, str]:
        tags = {LOCKS: locks or name_of_locks(home), "troth.pipeline": "tabular"}
        run, _ = open_run(
            client, home, pipeline="tabular", name=key, model="m", key=key, champion=None, tags=tags, resume="never"
        )
        with stage_run(client, run, "partition"):
            pass
        with stage_run(client, run, "train") as stage:
            pass
        client.update_run(stage.run_id, status="RUNNING")
        return run["run_id"], stage.run_id

    return leave


def test_a_run_is_dead_when_its_lock_is_free(left, home, client):
    alive, dead = left("alive"), left("dead")
    with if_free(home, "alive") as is_free:
        assert is_free
        told = {run.run_id: run.status for run in overview.runs(client, home, most=5)}
        assert told == {alive[0]: "RUNNING", dead[0]: "DIED"}
        assert close_abandoned(client, home) == [dead[0]]

    def status(ids):
        return [client.get_run(one).info.status for one in ids]

    assert status(dead) == ["KILLED", "KILLED"]
    assert status(alive) == ["RUNNING", "RUNNING"]
    assert close_abandoned(client, home) == [alive[0]]
    assert close_abandoned(client, home) == []


def test_runs_of_other_locks_and_runs_that_ended_are_left_alone(left, home, client):
    theirs, ended = left("theirs", locks="elsewhere"), left("ended")
    close_run(client, ended[0], "FINISHED")

    assert close_abandoned(client, home) == []
    assert client.get_run(theirs[0]).info.status == "RUNNING"
    assert client.get_run(ended[0]).info.status == "FINISHED"


def test_the_next_run_closes_what_was_killed_even_when_it_does_not_go_on(home, client):
    def recheck():
        return pipeline_run("recheck", name="recheck m", model="m", request={"rows": "today"}, resume="never")

    child = os.fork()
    if child == 0:
        with recheck():
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    with recheck() as run:
        experiment = client.get_experiment_by_name("troth-recheck").experiment_id
        found = {one.info.run_id: one.info.status for one in client.search_runs([experiment])}

    assert found.pop(run["run_id"]) == "RUNNING"
    assert list(found.values()) == ["KILLED"]


def test_whoever_only_looks_at_a_lock_refuses_nobody(home):
    looks = ExitStack()
    assert looks.enter_context(if_free(home, "k"))
    Timer(0.2, looks.close).start()
    with alone(home, "k", "x"), if_free(home, "k") as is_free:
        assert not is_free
