"""Mode `federated` through the whole flow: owners and an aggregator are processes, and rows stay with their owners."""

import json
from pathlib import Path

import mlflow
import numpy as np
import pytest

from components.boosting import BoostingParameters
from components.boosting.federated import LEAKAGE, SumNoise
from components.boosting.model import from_document
from components.boosting.pooled import predict
from components.data.prediction_file import read_predictions
from components.data.rand_hie import RAND_HIE
from components.data.reading import read_table
from components.data.schema import read_schema
from components.data.split import split_of
from components.errors import InvalidInput
from components.federated.selection import Selection
from components.partition import ByColumn, Crowd, Even, Single, Vertical
from tasks.inputs import RandHie
from tasks.loader import load
from tasks.partition import SplitShares
from tests.flows.conftest import stage_of

pytestmark = pytest.mark.slow

FEW = BoostingParameters(rounds=6, max_depth=2, max_bin=16, threads=1)


@pytest.fixture
def federated_run(run_apart):
    """A quick run in which nothing after the deal may join the owners' rows."""
    three = {"training": FEW, "partition_plan": Even(owners=3)}
    return lambda data, **options: run_apart("federated", data, **three | options)


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_owners_train_a_champion_and_then_its_successor(federated_run, table, client, home, kind):
    first = federated_run(table("first", seed=1, kind=kind))
    assert (first["decision"], first["champion"]) == ("PROMOTE", "1")
    second = federated_run(table("second", seed=2, kind=kind))
    assert second["decision"] in ("PROMOTE", "HOLD", "REJECT")

    version = client.get_model_version("people", second["version"])
    trained = stage_of(client, version.run_id, "train")
    made = {Path(file.path).stem for file in client.list_artifacts(trained.info.run_id, "candidates")}
    assert made == {"retrain", "blend_0.5"}
    record = mlflow.artifacts.load_dict(f"runs:/{trained.info.run_id}/training_record.json")
    assert (record["mode"], record["declared_leakage"]) == ("federated", list(LEAKAGE))
    rounds = mlflow.artifacts.load_dict(f"runs:/{trained.info.run_id}/rounds.json")
    assert [one["members"] for one in rounds] == [["owner-1", "owner-2", "owner-3"]] * 6
    # Cut points, labels and what the model comes to passed too, beside the rounds.
    assert record["bytes"] > sum(one["received"] + one["sent"] for one in rounds)
    assert record["seconds"] > sum(one["seconds"] for one in rounds)
    assert mlflow.artifacts.load_dict(f"runs:/{trained.info.run_id}/losses.json") == []
    assert record["rows"] == max(one["rows"] for one in rounds)
    assert {one["rows"] for one in rounds} == {_training_rows(table("second", seed=2, kind=kind))}


def test_six_sites_of_the_rand_records_train_each_in_a_process_of_its_own(run_apart, client):
    """The documented command; where owners are the sites, the site is no feature."""
    outcome = run_apart("federated", RandHie(years=(1,)), training=FEW, partition_plan=ByColumn(column="site"))
    assert outcome["decision"] in ("PROMOTE", "HOLD", "REJECT")
    [model] = client.search_registered_models()
    trained = stage_of(client, client.get_model_version(model.name, "1").run_id, "train")
    rounds = mlflow.artifacts.load_dict(f"runs:/{trained.info.run_id}/rounds.json")
    assert [len(one["members"]) for one in rounds] == [6] * 6
    version = client.get_model_version(model.name, "1")
    path = client.download_artifacts(trained.info.run_id, "candidates/retrain.json")
    booster = from_document(json.loads(Path(path).read_text()))
    assert version.status == "READY"
    assert "site" not in booster.feature_names
    assert set(booster.feature_names) == set(RAND_HIE.features) - {"site"}


def test_noise_that_was_asked_for_is_in_the_record(federated_run, table, client):
    noise = SumNoise(epsilon=50, delta=1e-5)
    federated_run(table("first", count=3000, seed=1), noise=noise, training=FEW.model_copy(update={"max_bin": 4}))
    trained = stage_of(client, client.get_model_version("people", "1").run_id, "train")
    record = mlflow.artifacts.load_dict(f"runs:/{trained.info.run_id}/training_record.json")
    said = record["parameters"]["noise"]
    assert 40 < said["epsilon"] <= 50
    assert (said["delta"], said["rows_a_person"]) == (1e-5, 1)
    assert trained.data.metrics["cost.epsilon"] == said["epsilon"]
    assert any("epsilon 50 and delta 1e-05" in sentence for sentence in record["declared_leakage"])


def _training_rows(source) -> int:
    rows = read_table(Path(source.path), read_schema(Path(source.schema_file)))
    split = SplitShares().as_record()
    return int((split_of(rows.person, split["salt"], tuple(split["shares"])) == 0).sum())


def test_the_report_draws_the_rounds_and_the_pooled_curve_beside_the_federated_one(run, table, client):
    rows = table("first", seed=1)
    run(rows, training=FEW, model="pooled")
    run(rows, mode="federated", training=FEW, partition_plan=Even(owners=3))
    parent = client.get_run(client.get_model_version("people", "1").run_id).data.tags["mlflow.parentRunId"]
    names = {Path(one.path).name for one in client.list_artifacts(parent, "plots")}
    assert {"rounds.png", "learning.png"} <= names
    page = Path(client.download_artifacts(parent, "report.html")).read_text()
    assert "pooled ends at" in page
    assert "federated ends at" in page
    assert "6 rounds with 3 owners" in page


def test_a_crowd_of_whom_each_round_asks_a_few(run, table, client):
    chosen = {"partition_plan": Crowd(owners=5000), "selection": Selection(owners=40, by="activity")}
    few = FEW.model_copy(update={"max_bin": 4})
    outcome = run(table("first", count=3000, seed=1), mode="federated", training=few, **chosen)
    assert outcome["decision"] in ("PROMOTE", "HOLD", "REJECT")
    trained = stage_of(client, client.get_model_version("people", "1").run_id, "train")
    rounds = mlflow.artifacts.load_dict(f"runs:/{trained.info.run_id}/rounds.json")
    record = mlflow.artifacts.load_dict(f"runs:/{trained.info.run_id}/training_record.json")
    assert (record["parameters"]["simulated"], record["parameters"]["masks"]) == (True, False)
    assert "one process" in record["declared_leakage"][0]
    assert any("changing groups" in sentence for sentence in record["declared_leakage"])
    assert [len(one["members"]) for one in rounds] == [40] * 6
    assert len({tuple(one["members"]) for one in rounds}) > 1


def test_a_crowd_whose_rows_come_and_go(run, table, client):
    """Two rounds of six each row is there: of two thirds of the devices never as many as a half of all."""
    rows = table("first", count=3000, seed=1)
    few, chosen = FEW.model_copy(update={"max_bin": 4}), Selection(owners=40)
    run(rows, mode="federated", training=few, partition_plan=Crowd(owners=60, skew=0, window=2), selection=chosen)
    trained = stage_of(client, client.get_model_version("people", "1").run_id, "train")
    rounds = mlflow.artifacts.load_dict(f"runs:/{trained.info.run_id}/rounds.json")
    there = [one["rows"] for one in rounds]
    assert 0 < min(there) < max(there) < _training_rows(rows) / 2
    assert len(set(there)) > 2


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"partition_plan": Crowd()}, "selection"),
        ({"partition_plan": Even(owners=3), "selection": Selection(owners=4)}, "4 owners a round"),
        ({"partition_plan": Crowd(), "selection": Selection(owners=4), "mode": "pooled"}, "mode federated"),
        ({"partition_plan": ByColumn(column="site")}, "'site'"),
        ({"noise": SumNoise(epsilon=4), "mode": "pooled"}, "mode federated"),
        (
            {"partition_plan": Even(owners=3), "training": FEW.model_copy(update={"max_depth": 16, "max_bin": 4096})},
            "max_depth",
        ),
    ],
)
def test_a_selection_that_does_not_fit_is_refused(run, table, client, options, named):
    with pytest.raises(InvalidInput, match=named):
        run(table("first"), **{"mode": "federated", "training": FEW} | options)
    assert not client.search_registered_models()


def test_what_owners_score_is_what_the_registered_model_says(federated_run, table, client, home):
    rows = table("first", seed=1)
    federated_run(rows)
    model = load("models:/people@champion", home)
    everyone = read_table(Path(rows.path), read_schema(Path(rows.schema_file)))
    said = dict(zip(everyone.row_ids.tolist(), predict(model.booster, everyone).tolist(), strict=True))
    evaluated = stage_of(client, client.get_model_version("people", "1").run_id, "evaluate")
    path = client.download_artifacts(evaluated.info.run_id, "predictions/candidate.parquet")
    scored = np.sort(read_predictions(Path(path)).scores)
    assert len(scored) > 200
    assert set(scored.tolist()) <= set(said.values())


@pytest.mark.parametrize("plan", [Single(), Vertical(columns={"hospital": ["dose", "site", "outcome"],
                                                              "insurer": ["marker", "sex", "age"]})])  # fmt: skip
def test_owners_who_do_not_hold_rows_of_all_columns_are_refused(federated_run, table, client, plan):
    with pytest.raises(InvalidInput, match="federated"):
        federated_run(table("first"), partition_plan=plan)
    assert not client.search_registered_models()
