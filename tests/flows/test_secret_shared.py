"""Mode `secret_shared` through the whole flow: owners are processes, and what they hold stays with them."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import mlflow
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from components.boosting import BoostingParameters, CandidatePlan
from components.boosting.pooled import predict
from components.boosting.secret_shared import LEAKAGE
from components.data.independence import one_row_per_person
from components.data.prediction_file import read_predictions
from components.data.rand_hie import RAND_HIE_OWNERS
from components.data.reading import read_table
from components.data.schema import read_schema
from components.data.split import PARTS, split_of
from components.errors import InvalidInput
from components.mpc.network import PartyLost
from components.partition import ByColumn, Even, Mixed, Single, Vertical
from tasks.holdings import pooled_table
from tasks.inputs import RandHie
from tasks.inputs import load as load_source
from tasks.loader import load
from tasks.partition import SplitShares
from tests.components.boosting.secret_shared.on_bins import xgboost_on_bins
from tests.flows.conftest import stage_of

pytestmark = pytest.mark.slow

SIDES = {"hospital": ["dose", "site", "outcome"], "insurer": ["marker", "sex", "age"]}
FEW = BoostingParameters(rounds=6, max_depth=2, max_bin=8, threads=1)


@pytest.fixture
def apart_run(run_apart):
    """A quick run in which nothing after the deal may join the owners' rows."""
    return lambda data, **options: run_apart("secret_shared", data, **{"training": FEW} | options)


@pytest.mark.parametrize("plan", [Even(owners=3), Vertical(columns=SIDES, overlap=0.9)], ids=["rows", "columns"])
def test_owners_train_a_champion_and_then_its_successor(apart_run, table, client, home, plan):
    first = apart_run(table("first", seed=1), partition_plan=plan)
    assert (first["decision"], first["champion"]) == ("PROMOTE", "1")
    second = apart_run(table("second", seed=2), partition_plan=plan)
    assert second["decision"] in ("PROMOTE", "HOLD", "REJECT")

    version = client.get_model_version("people", second["version"])
    trained = stage_of(client, version.run_id, "train")
    made = {Path(file.path).stem for file in client.list_artifacts(trained.info.run_id, "candidates")}
    assert made == {"retrain", "blend_0.5"}
    record = mlflow.artifacts.load_dict(f"runs:/{trained.info.run_id}/training_record.json")
    assert (record["mode"], record["declared_leakage"]) == ("secret_shared", list(LEAKAGE))
    assert record["bytes"] > 0
    assert record["costs"]["message_rounds"] > 0
    assert record["costs"]["resumed_from"] == 0
    assert all(record["costs"][f"seconds_{phase}"] > 0 for phase in ("match", "train", "open"))


@pytest.mark.parametrize(
    "plan", [Even(owners=2), Mixed(columns=SIDES, split="hospital", by="site")], ids=["rows", "mixed"]
)
def test_what_owners_score_on_shares_is_what_the_opened_model_says(apart_run, table, client, home, plan):
    rows = table("first", seed=1)
    apart_run(rows, candidates=CandidatePlan(kinds=()), partition_plan=plan)
    model = load("models:/people@champion", home)
    everyone = read_table(Path(rows.path), read_schema(Path(rows.schema_file)))
    said = np.sort(predict(model.booster, everyone))
    version = client.get_model_version("people", "1")
    evaluated = stage_of(client, version.run_id, "evaluate")
    path = client.download_artifacts(evaluated.info.run_id, "predictions/candidate.parquet")
    scored = read_predictions(Path(path)).scores
    nearest = np.abs(said[np.clip(np.searchsorted(said, scored), 0, len(said) - 1)] - scored)
    before = np.abs(said[np.clip(np.searchsorted(said, scored) - 1, 0, len(said) - 1)] - scored)
    assert np.minimum(nearest, before).max() < 1e-5


def test_an_owner_killed_in_mid_training_ends_the_run_and_the_same_run_goes_on(
    apart_run, table, client, home, process_of
):
    data, slow = table("first", seed=1), FEW.model_copy(update={"rounds": 40})
    killer = threading.Thread(target=_kill_an_owner_after_some_trees, args=(home.root, process_of))
    killer.start()
    with pytest.raises(PartyLost, match="owner-[12]"):
        apart_run(data, training=slow)
    killer.join()
    (folder,) = (home.root / "together").glob("train-*")
    kept = {path.name: path.stat().st_mtime_ns for path in folder.glob("owner-1/shares/round_*.npz")}
    assert 0 < len(kept) < 40
    assert not client.search_registered_models()

    assert apart_run(data, training=slow)["champion"] == "1"
    for name, written in kept.items():
        assert (folder / "owner-1" / "shares" / name).stat().st_mtime_ns == written
    trained = stage_of(client, client.get_model_version("people", "1").run_id, "train")
    record = mlflow.artifacts.load_dict(f"runs:/{trained.info.run_id}/training_record.json")
    assert len(kept) - 1 <= record["costs"]["resumed_from"] <= len(kept)


def test_a_champion_that_owners_have_no_shares_of_is_refused_before_training(
    run, apart_run, table, monkeypatch, client, home
):
    with monkeypatch.context() as patch:
        patch.setattr("tasks.train.pooled_table", pooled_table)
        patch.setattr("tasks.held_out.pooled_table", pooled_table)
        run(table("first", seed=1))
    with pytest.raises(InvalidInput, match=r"version 1 was not trained in mode secret_shared.*--model"):
        apart_run(table("second", seed=2))
    assert str(client.get_model_version_by_alias("people", "champion").version) == "1"
    assert not (home.root / "together").exists()


def test_a_champion_of_other_owners_or_columns_is_refused_before_training(apart_run, table, client, home):
    apart_run(table("first", seed=1), partition_plan=Vertical(columns=SIDES))
    (trained,) = (home.root / "together").glob("train-*")
    others = {"hospital": [*SIDES["hospital"], "marker"], "insurer": ["sex", "age"]}
    for plan, named in ((Even(owners=2), "owner-1, owner-2"), (Vertical(columns=others), "'marker'")):
        with pytest.raises(InvalidInput, match=f"{named}.*--model"):
            apart_run(table("second", seed=2), partition_plan=plan)
    (trained / "insurer" / "shares" / "base.npz").unlink()
    with pytest.raises(InvalidInput, match=r"'insurer' has no shares.*--model"):
        apart_run(table("second", seed=2), partition_plan=Vertical(columns=SIDES))
    assert list((home.root / "together").glob("train-*")) == [trained]
    assert len(client.search_model_versions("name = 'people'")) == 1


def test_one_owner_alone_has_nobody_to_share_with(apart_run, table):
    with pytest.raises(InvalidInput, match="two owners or more"):
        apart_run(table(), partition_plan=Single())


def _kill_an_owner_after_some_trees(root: Path, process_of: Callable[[Path], int]) -> None:
    """Kill the process of the second owner once it has finished three trees."""
    for _ in range(2000):
        if list(root.glob("together/train-*/owner-2/shares/round_00003.npz")):
            break
        time.sleep(0.02)
    (folder,) = root.glob("together/train-*/owner-2")
    os.kill(process_of(folder), signal.SIGKILL)


@pytest.mark.parametrize("plan", ["vertical", "by site"])
def test_on_real_records_the_champion_is_as_good_as_one_trained_in_one_place(apart_run, client, home, plan):
    source = RandHie(years=(2,))
    sides = Vertical(columns={owner: list(columns) for owner, columns in RAND_HIE_OWNERS.items()})
    every = BoostingParameters(rounds=10, max_bin=16, subsample=1.0, colsample_bytree=1.0, threads=1)
    dealt = apart_run(source, training=every, partition_plan=sides if plan == "vertical" else ByColumn(column="site"))
    assert dealt["decision"] == "PROMOTE"
    version = client.get_model_version("rand_hie", "1")
    evaluated = stage_of(client, version.run_id, "evaluate")
    ours = read_predictions(Path(client.download_artifacts(evaluated.info.run_id, "predictions/candidate.parquet")))

    table = load_source(source)
    part = split_of(table.person, "troth", tuple(SplitShares().as_record()["shares"]))
    gate = table.take(part == PARTS.index("gate"))
    gate = gate.take(one_row_per_person(gate))
    theirs = xgboost_on_bins(table.take(part == PARTS.index("train")), every, scored=gate)
    assert abs(roc_auc_score(ours.labels, ours.scores) - roc_auc_score(gate.labels, theirs)) < 0.002
