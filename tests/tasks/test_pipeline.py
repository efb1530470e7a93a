"""Runs and stages in the tracking store without a flow around them, and the secret every process must agree on."""

import multiprocessing
import os
import string
from concurrent.futures import ProcessPoolExecutor

import pytest
import sqlalchemy
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.db.utils import _get_managed_session_maker
from mlflow.utils.validation import _validate_metric_name, _validate_param
from prefect.states import Failed
from sqlalchemy.orm import sessionmaker

from components.errors import InvalidInput
from tasks import overview
from tasks.keys import row_key
from tasks.pipeline import pipeline_run
from tasks.settings import Settings
from tasks.stage import _is_passing_trouble
from tasks.tracking import CHAMPION, FLOW_RUN, Stage, close_run, experiment_id, open_run, safe_name, stage_run


@pytest.fixture
def opened(home, client):
    """A function that opens the run of a request, as a flow does."""

    def open_(key: str = "k", *, champion: str | None = None, resume: str = "timely"):
        return open_run(
            client, home, pipeline="tabular", name="n", model="m", key=key, champion=champion, tags={}, resume=resume
        )

    return open_


def test_an_unfinished_run_goes_on_as_it_began(opened, client):
    first, goes_on = opened(champion="3")
    assert not goes_on
    close_run(client, first["run_id"], "FAILED")
    client.update_run(first["run_id"], name="renamed by the report")

    again, goes_on = opened(champion="3")
    assert goes_on
    assert again == first
    assert client.get_run(first["run_id"]).info.status == "RUNNING"
    close_run(client, first["run_id"], "FINISHED")
    fresh, goes_on = opened(champion="3")
    assert not goes_on
    assert fresh["run_id"] != first["run_id"]


def test_an_unfinished_run_goes_on_beside_a_new_champion_only_if_that_is_its_own(opened, client):
    first, _ = opened()
    client.create_registered_model("m")
    for number, maker in (("1", first["run_id"]), ("2", "another run")):
        client.create_model_version("m", "source", tags={FLOW_RUN: maker})
        again, goes_on = opened(champion=number)
        assert goes_on == (number == "1")
        assert (again == first) == goes_on
    assert again["champion"] == "2"


def test_what_was_paid_for_goes_on_whoever_is_champion(opened):
    first, _ = opened(champion="3")
    assert opened(champion="4", resume="always") == (first, True)


def test_a_run_that_is_not_to_go_on_begins_anew_and_other_requests_are_other_runs(opened, client):
    first, _ = opened()
    assert opened("other")[0]["run_id"] != first["run_id"]
    assert opened(resume="never") != (first, True)
    assert client.get_run(first["run_id"]).data.tags[CHAMPION] == ""


def test_a_stage_that_starts_again_continues_its_run(opened, client):
    run, _ = opened()
    with pytest.raises(ZeroDivisionError), stage_run(client, run, "train") as here:
        1 / 0  # noqa: B018
    assert client.get_run(here.run_id).info.status == "FAILED"
    with stage_run(client, run, "train") as again:
        pass
    assert again.run_id == here.run_id
    assert client.get_run(here.run_id).info.status == "FINISHED"
    with stage_run(client, run, "gate") as other:
        assert other.run_id != here.run_id


def test_more_parameters_metrics_and_steps_than_one_call_takes(opened, client):
    here = Stage(client, opened()[0]["run_id"])
    for _ in range(2):
        here.parameters({"many": {f"p{k}": k for k in range(250)}, "long": "x" * 10_000})
    here.metrics({f"m{k}": k for k in range(2500)})
    here.metrics({"nan": float("nan"), "endless": float("inf"), "none": None})
    here.curve("loss", {step: 1 / (step + 1) for step in range(2500)} | {3000: float("nan")})

    data = client.get_run(here.run_id).data
    assert len(data.params) == 251
    assert set(data.metrics) == {f"m{k}" for k in range(2500)} | {"loss"}
    assert len(client.get_metric_history(here.run_id, "loss")) == 2500


@given(st.text(min_size=1, max_size=400).map(lambda level: f"error.ward={level}"))
def test_every_group_level_makes_a_name_the_store_takes(name):
    safe = safe_name(name)
    _validate_metric_name(safe)
    _validate_param(safe, "1")
    assert len(safe) <= 250


def test_long_names_stay_apart():
    ends = [safe_name("x" * 300 + end) for end in string.ascii_letters]
    assert len(set(ends)) == len(ends)


def test_a_failed_run_is_closed_as_such_and_its_error_comes_through(home, client):
    with pytest.raises(InvalidInput, match="hospital"), _run("a"):
        raise InvalidInput("the hospital is closed")
    with pytest.raises(KeyboardInterrupt), _run("b"):
        raise KeyboardInterrupt
    with _run("c"):
        pass
    runs = client.search_runs([experiment_id(client, home, "tabular")], order_by=["start_time ASC"])
    assert [run.info.status for run in runs] == ["FAILED", "KILLED", "FINISHED"]
    told = {run.run_id: run.refused for run in overview.runs(client, home, most=5)}
    assert [told[run.info.run_id] for run in runs] == ["the hospital is closed", "", ""]
    with _run("a"):
        pass
    assert {run.refused for run in overview.runs(client, home, most=5)} == {""}


def test_the_error_of_a_stage_is_not_hidden_by_a_store_that_fails_with_it(opened, client, monkeypatch):
    def refuse(*_, **__):
        raise MlflowException("disk full")

    monkeypatch.setattr(client, "set_terminated", refuse)
    with pytest.raises(ZeroDivisionError), stage_run(client, opened()[0], "train"):
        1 / 0  # noqa: B018
    with pytest.raises(MlflowException), stage_run(client, opened()[0], "train"):
        pass


def test_a_run_in_progress_is_refused_by_name_and_free_when_it_ended(home):
    with _run("x"):
        with pytest.raises(InvalidInput, match=r"run x .* in progress"), _run("x"):
            pass
        with _run("y"):
            pass
    with _run("x"):
        pass


def _run(name: str):
    return pipeline_run("tabular", name=name, model="m", request={"name": name})


def test_a_locked_database_is_passing_trouble(tmp_path):
    url = f"sqlite:///{tmp_path}/locked.db"
    holder = sqlalchemy.create_engine(url).connect()
    holder.execute(sqlalchemy.text("CREATE TABLE t (x)"))
    holder.commit()
    holder.exec_driver_sql("BEGIN EXCLUSIVE")
    impatient = sqlalchemy.create_engine(url, connect_args={"timeout": 0})
    # MLflow's own session, told it is another database so that it does not set its twenty seconds of patience.
    session_of = _get_managed_session_maker(sessionmaker(bind=impatient), "postgresql")
    with pytest.raises(MlflowException, match="locked") as caught, session_of(read_only=False) as session:
        session.execute(sqlalchemy.text("INSERT INTO t VALUES (1)"))
    holder.close()

    assert _is_passing_trouble(None, None, Failed(data=caught.value))


def test_a_server_out_of_reach_is_passing_trouble(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(MlflowException) as caught:
        MlflowClient("http://127.0.0.1:9").get_experiment("1")
    assert _is_passing_trouble(None, None, Failed(data=caught.value))
    for error in (ConnectionResetError(), TimeoutError()):
        assert _is_passing_trouble(None, None, Failed(data=error))


def test_what_the_store_refuses_and_what_people_mistake_is_not(client):
    with pytest.raises(MlflowException) as missing:
        client.get_run("0" * 32)
    for error in (missing.value, InvalidInput("no"), ValueError("no"), MemoryError(), OSError(28, "disk full")):
        assert not _is_passing_trouble(None, None, Failed(data=error))
    assert not _is_passing_trouble(None, None, Failed(message="refused"))


def test_processes_that_need_the_row_key_first_at_once_get_the_same_one(tmp_path):
    workers = 8
    with multiprocessing.Manager() as manager:
        barrier = manager.Barrier(workers)
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            for round_ in range(5):
                home = Settings(home=str(tmp_path / str(round_)))
                keys = set(pool.map(_key_at_once, [home] * workers, [barrier] * workers))
                assert len(keys) == 1
                assert len(keys.pop()) == 32
                assert os.listdir(home.root / "keys") == ["rows.key"]
                assert (home.root / "keys" / "rows.key").stat().st_mode & 0o777 == 0o600


def _key_at_once(home: Settings, barrier) -> bytes:
    barrier.wait()
    return row_key(home)


def test_a_damaged_row_key_is_named_and_never_replaced(tmp_path):
    home = Settings(home=str(tmp_path))
    row_key(home)
    path = tmp_path / "keys" / "rows.key"
    path.write_bytes(b"")
    with pytest.raises(InvalidInput, match=r"rows\.key has 0 bytes"):
        row_key(home)
    assert path.read_bytes() == b""
