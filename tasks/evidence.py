"""What one stage keeps for another: files in the stage's MLflow run, each named together with its digest.

Anyone who may edit a run can replace its artifacts. What a verdict rests on (models, predictions) and the verdict
itself are therefore read back only if they are, byte for byte, what the stage kept; the digests travel in the stages'
own records, not through MLflow. Nothing is parsed before its digest is right.
"""

import hashlib
import json
import tempfile
from pathlib import Path

import xgboost
from mlflow import MlflowClient

from components.boosting.model import from_document
from components.data.prediction_file import read_predictions, write_predictions
from components.data.predictions import Predictions
from components.errors import InvalidInput
from components.gates import GoldenPredictions, Verdict
from tasks.references import Evaluated, Judged, Stored
from tasks.tracking import Stage


def keep_model(here: Stage, booster: xgboost.Booster, path: str) -> Stored:
    """Keep a model as XGBoost JSON at artifact `path`."""
    return keep(here, bytes(booster.save_raw("json")), path)


def stored_model(client: MlflowClient, stored: Stored) -> xgboost.Booster:
    """A model that a stage kept."""
    return from_document(json.loads(fetch(client, stored)))


def keep_predictions(here: Stage, predictions: Predictions, path: str) -> Stored:
    """Keep predictions as Parquet at artifact `path`; whoever calls has seen to it that row ids tell nothing."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "predictions.parquet"
        write_predictions(predictions, file)
        return keep(here, file.read_bytes(), path)


def stored_predictions(
    client: MlflowClient, evaluated: Evaluated
) -> tuple[Predictions, Predictions | None, GoldenPredictions | None]:
    """What `evaluate` kept: candidate and champion on the gate's rows, and both on the golden set."""
    kept = {name: kept_predictions(client, stored) for name, stored in evaluated["predictions"].items()}
    golden = (
        GoldenPredictions(kept["golden_candidate"], kept.get("golden_champion")) if "golden_candidate" in kept else None
    )
    return kept["candidate"], kept.get("champion"), golden


def keep_verdict(here: Stage, verdict: Verdict) -> Stored:
    """Keep a verdict as JSON."""
    return keep(here, json.dumps(verdict.to_json(), indent=1).encode(), "verdict.json")


def stored_verdict(client: MlflowClient, judged: Judged) -> Verdict:
    """The verdict a gate stage kept."""
    return Verdict.from_json(json.loads(fetch(client, judged["verdict"])))


def kept_record(client: MlflowClient, stored: Stored) -> dict:
    """A JSON record that a stage kept."""
    return json.loads(fetch(client, stored))


def kept_predictions(client: MlflowClient, stored: Stored) -> Predictions:
    """Predictions that a stage kept."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "predictions.parquet"
        file.write_bytes(fetch(client, stored))
        return read_predictions(file)


def keep(here: Stage, content: bytes, path: str) -> Stored:
    """Keep bytes at artifact `path`."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / Path(path).name
        file.write_bytes(content)
        parent = str(Path(path).parent)
        here.file(file, None if parent == "." else parent)
    return Stored(run_id=here.run_id, path=path, digest=hashlib.sha256(content).hexdigest())


def fetch(client: MlflowClient, stored: Stored) -> bytes:
    """The bytes of an artifact.

    Raises
    ------
    InvalidInput
        They are not the bytes that were kept.
    """
    with tempfile.TemporaryDirectory() as folder:
        content = Path(client.download_artifacts(stored["run_id"], stored["path"], folder)).read_bytes()
    if hashlib.sha256(content).hexdigest() != stored["digest"]:
        raise InvalidInput(
            f"artifact {stored['path']} of MLflow run {stored['run_id']} is not what the stage kept; find out who "
            "changed it, delete the run, and run the flow again"
        )
    return content
