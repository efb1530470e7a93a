"""Mode `federated` through the whole flow: owners and an aggregator are processes, and rows stay with their owners."""

from pathlib import Path

import mlflow
import numpy as np
import pytest

from components.boosting import BoostingParameters, CandidatePlan
from components.boosting.federated import LEAKAGE
from components.boosting.pooled import predict
from components.data.prediction_file import read_predictions
from components.data.reading import read_table
from components.data.schema import read_schema
from components.errors import InvalidInput
from components.partition import Even, Single, Vertical
from tasks.loader import load
from tasks.tracking import find_stage

pytestmark = pytest.mark.slow

FEW = BoostingParameters(rounds=6, max_depth=2, max_bin=16, threads=1)


@pytest.fixture
def federated_run(run, monkeypatch):
    """A quick run in a federation in which nothing after the deal may join the owners' rows."""

    def forbidden(*_):
        raise AssertionError("a stage joined what owners hold")

    monkeypatch.setattr("tasks.train.pooled_table", forbidden)
    monkeypatch.setattr("tasks.held_out.pooled_table", forbidden)

    def start(data, **options):
        defaults = {
            "training": FEW,
            "candidates": CandidatePlan(blend_weights=(0.5,)),
            "partition_plan": Even(owners=3),
        }
        return run(data, mode="federated", **{**defaults, **options})

    return start


def _stage(client, run_id: str, name: str):
    """The nested run of a stage beside the one that registered a version."""
    registered = client.get_run(run_id)
    return find_stage(client, registered.data.tags["mlflow.parentRunId"], registered.info.experiment_id, name)


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_owners_train_a_champion_and_then_its_successor(federated_run, table, client, home, kind):
    first = federated_run(table("first", seed=1, kind=kind))
    assert (first["decision"], first["champion"]) == ("PROMOTE", "1")
    second = federated_run(table("second", seed=2, kind=kind))
    assert second["decision"] in ("PROMOTE", "HOLD", "REJECT")

    version = client.get_model_version("people", second["version"])
    trained = _stage(client, version.run_id, "train")
    made = {Path(file.path).stem for file in client.list_artifacts(trained.info.run_id, "candidates")}
    assert made == {"retrain", "blend_0.5"}
    record = mlflow.artifacts.load_dict(f"runs:/{trained.info.run_id}/training_record.json")
    assert (record["mode"], record["declared_leakage"]) == ("federated", list(LEAKAGE))
    assert record["bytes"] > 0
    rounds = mlflow.artifacts.load_dict(f"runs:/{trained.info.run_id}/rounds.json")
    assert [one["members"] for one in rounds] == [["owner-1", "owner-2", "owner-3"]] * 6


def test_what_owners_score_is_what_the_registered_model_says(federated_run, table, client, home):
    rows = table("first", seed=1)
    federated_run(rows)
    model = load("models:/people@champion", home)
    everyone = read_table(Path(rows.path), read_schema(Path(rows.schema_file)))
    said = dict(zip(everyone.row_ids.tolist(), predict(model.booster, everyone).tolist(), strict=True))
    evaluated = _stage(client, client.get_model_version("people", "1").run_id, "evaluate")
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
