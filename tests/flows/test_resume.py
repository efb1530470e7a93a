"""A flow that was cut off goes on where it was: what finished stays, the rest is done once, nothing is half-said."""

import shutil
import signal

import pytest

from components.gates import run_gate
from tasks import overview
from tasks.loader import load
from tasks.promotion_ledger import examine, ledger_of
from tasks.tracking import STAGE, find_stage

STEPS = {
    "partition": "tasks.partition.write_holding",
    "train": "tasks.train.candidates",
    "evaluate": "tasks.evaluate.choose",
    "gate": "tasks.gate.run_gate",
    "register": "tasks.register.register_version",
    "promote": "tasks.promotion_steps.describe",
    "report": "tasks.report.render_report",
}
"""What each stage is in the middle of when the power goes; `promote` has moved the champion's alias by then."""
REMEMBERED = ("train", "evaluate", "gate", "register")


@pytest.fixture
def parents(client):
    """A function that lists the runs of the pipeline, oldest first."""

    def find() -> list:
        experiment = client.get_experiment_by_name("troth-tabular")
        return client.search_runs(
            [experiment.experiment_id], "tags.`troth.pipeline` = 'tabular'", order_by=["start_time ASC"]
        )

    return find


@pytest.fixture
def ends(client, parents):
    """A function from the newest run's finished stages to when they ended."""

    def find() -> dict[str, int]:
        run = parents()[-1].info
        query = f"tags.`mlflow.parentRunId` = '{run.run_id}' AND attributes.status = 'FINISHED'"
        nested = client.search_runs([run.experiment_id], query)
        return {stage.data.tags[STAGE]: stage.info.end_time for stage in nested}

    return find


@pytest.mark.slow
def test_a_run_killed_in_every_stage_in_turn_is_finished_by_asking_again(
    apart, run, table, client, home, parents, ends
):
    run(table("first", seed=1))
    second = table("second", seed=2)
    finished = {}
    for stage, step in STEPS.items():
        process = apart(second, at=step)
        process.join()
        assert process.exitcode == -signal.SIGKILL, stage
        assert load("models:/people@champion", home).version == ("2" if stage in ("promote", "report") else "1")
        if stage != "report":
            assert stage not in ends(), stage
        assert {name: ends()[name] for name in finished} == finished, stage
        finished = {name: end for name, end in ends().items() if name in REMEMBERED}
    outcome = run(second)

    assert (outcome["action"], outcome["champion"], outcome["replaced"]) == ("promoted", "2", "1")
    assert len(parents()) == 2
    assert [one.info.status for one in parents()] == ["FINISHED"] * 2
    assert {name: ends()[name] for name in REMEMBERED} == finished
    assert set(ends()) == set(STEPS) - {"report"}
    assert len(client.search_model_versions("name = 'people'")) == 2
    found = examine(client, home, "people")
    assert (found.findings, found.standing.pending, found.is_mirrored) == ((), None, True)
    assert [str(entry.action) for entry in found.entries] == ["promote", "promoted"] * 2
    assert {file.path for file in client.list_artifacts(parents()[-1].info.run_id)} >= {"report.html", "plots"}


def test_a_stage_that_fails_fails_the_run_and_the_next_call_goes_on(
    run, table, client, home, parents, ends, monkeypatch
):
    run(table("first", seed=1))
    second = table("second", seed=2)
    with monkeypatch.context() as patch:
        patch.setattr("tasks.gate.run_gate", _broken)
        with pytest.raises(ZeroDivisionError):
            run(second)
    failed = parents()[-1].info
    assert failed.status == "FAILED"
    gate = find_stage(client, failed.run_id, failed.experiment_id, "gate")
    assert gate.info.status == "FAILED"
    assert load("models:/people@champion", home).version == "1"
    assert _newest_state().is_failed()
    before = ends()

    outcome = run(second)
    assert outcome["champion"] == "2"
    assert parents()[-1].info.run_id == failed.run_id
    assert {name: ends()[name] for name in ("train", "evaluate")} == {
        name: before[name] for name in ("train", "evaluate")
    }


@pytest.mark.slow
def test_a_lost_store_of_an_owner_is_dealt_again(run, table, home, monkeypatch):
    data = table()
    with monkeypatch.context() as patch:
        patch.setattr("tasks.evaluate.choose", _broken)
        with pytest.raises(ZeroDivisionError):
            run(data)
    shutil.rmtree(home.owners)

    assert run(data)["champion"] == "1"
    assert list(home.owners.glob("*/*.parquet"))


@pytest.mark.slow
def test_a_damaged_record_of_a_stage_costs_that_stage_again_and_no_more(run, table, monkeypatch, tmp_path):
    from prefect.settings import PREFECT_LOCAL_STORAGE_PATH

    data = table()
    known = set(PREFECT_LOCAL_STORAGE_PATH.value().glob("troth-*"))
    with monkeypatch.context() as patch:
        patch.setattr("tasks.gate.run_gate", _broken)
        with pytest.raises(ZeroDivisionError):
            run(data)
    records = set(PREFECT_LOCAL_STORAGE_PATH.value().glob("troth-*")) - known
    assert len(records) == 2
    for record in records:
        record.write_bytes(record.read_bytes()[:20])

    assert run(data)["champion"] == "1"


@pytest.mark.slow
def test_asking_again_for_what_finished_is_a_run_of_its_own(run, table, client, home, parents):
    data = table()
    first, second = run(data), run(data)

    assert (first["champion"], second["version"], second["champion"]) == ("1", "2", "2")
    assert second["figures"]["nfr"] == 0
    assert len(parents()) == 2
    assert examine(client, home, "people").findings == ()
    assert ledger_of(home, "people").entries()[-1].replaces == "1"


@pytest.mark.slow
def test_what_is_asked_for_with_other_parameters_is_another_run(run, table, parents, monkeypatch):
    data = table()
    with monkeypatch.context() as patch:
        patch.setattr("tasks.gate.run_gate", _broken)
        with pytest.raises(ZeroDivisionError):
            run(data)
    run(data, seed=1)

    assert [one.info.status for one in parents()] == ["FAILED", "FINISHED"]


@pytest.mark.slow
def test_an_unfinished_run_whose_champion_was_replaced_meanwhile_begins_anew(run, table, monkeypatch, home, client):
    run(table("first", seed=1))
    second = table("second", seed=2)
    with monkeypatch.context() as patch:
        patch.setattr("tasks.gate.run_gate", _broken)
        with pytest.raises(ZeroDivisionError):
            run(second)
    run(table("third", seed=3))
    outcome = run(second)

    assert (outcome["action"], outcome["replaced"], outcome["champion"]) == ("promoted", "2", "3")
    assert load("models:/people@champion", home).version == "3"


def test_a_run_whose_champion_is_replaced_while_it_goes_on_is_refused(run, table, monkeypatch, home, client):
    run(table("first", seed=1))
    third, gate = table("third", seed=3), run_gate

    def overtaken(*given, **options):
        monkeypatch.setattr("tasks.gate.run_gate", gate)
        run(third)
        return gate(*given, **options)

    monkeypatch.setattr("tasks.gate.run_gate", overtaken)
    outcome = run(table("second", seed=2))
    assert (outcome["action"], outcome["champion"]) == ("refuse", "2")
    assert "stale" in outcome["why"]
    assert [one.verdict for one in overview.runs(client, home, most=9) if one.is_stale] == ["PROMOTE"]
    assert load("models:/people@champion", home).version == "2"


def _broken(*_, **__):
    return 1 / 0


def _newest_state():
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.sorting import FlowRunSort

    with get_client(sync_client=True) as prefect:
        return prefect.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)[0].state
