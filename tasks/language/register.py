"""Stage `register` of texts: the chosen candidate as a version, an MLflow model from code that MLflow can serve.

Its weights are safetensors and its description JSON; the code is a short script of Troth's that reads them where Troth
is installed. Troth's own loader never runs it.
"""

import json
import tempfile
from pathlib import Path

import mlflow.pyfunc
import pandas as pd
from mlflow import MlflowClient
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType
from mlflow.types import Schema as SignatureSchema
from mlflow.types.schema import Array, Map, Object, Property

from components.language.model import LanguageModel
from components.language.save import save_model
from tasks.language import served
from tasks.language.champion import STEPS
from tasks.language.evidence import stored_language_model
from tasks.references import Evaluated, Judged, Registered, Run, Texts, Trained
from tasks.register import evidence_tags, registered_as
from tasks.registry import Logged, log_once
from tasks.registry import register as register_version
from tasks.registry_artifact import LANGUAGE_KEY, StoredLanguageModel
from tasks.stage import logger, stage
from tasks.tracking import connect, stage_run

CLAIM = "troth.privacy"
"""Tag of a version: what is promised of it, in words."""

_SLOT = Object(
    [
        Property("slot", DataType.string),
        Property("text", DataType.string),
        Property("start", DataType.long),
        Property("end", DataType.long),
    ]
)
SIGNATURE = ModelSignature(
    SignatureSchema([ColSpec(DataType.string, "utterance")]),
    SignatureSchema(
        [
            ColSpec(DataType.string, "intent"),
            ColSpec(DataType.double, "score"),
            ColSpec(Map(DataType.double), "scores"),
            ColSpec(Array(_SLOT), "slots"),
        ]
    ),
)


@stage(version=3, run_name="register {run[model]}")
def register_language(run: Run, texts: Texts, trained: Trained, evaluated: Evaluated, judged: Judged) -> Registered:
    """Log the model with signature and input example and register it, once per run."""
    settings, client = connect()
    with stage_run(client, run, "register") as here:
        chosen = evaluated["chosen"]
        logged = log_language(client, run_id=here.run_id, model=stored_language_model(client, evaluated["model"]))
        record = trained["record"]
        steps, claim = record["steps"]["claimed"], record["claims"][chosen]
        promise = f"epsilon {claim:.4g} at delta {record['delta']:g}, {record['unit']}" if claim else "none"
        version = register_version(
            client,
            settings,
            name=run["model"],
            logged=logged,
            tags={
                **evidence_tags(run, texts, trained, evaluated, judged),
                STEPS: "" if steps is None else json.dumps({"unit": record["unit"], "steps": steps}),
                CLAIM: promise,
            },
        )
        here.tags({"troth.version": version})
        logger().info("registered %s version %s (%s)", run["model"], version, chosen)
        return registered_as(run, version, logged, texts)


def log_language(client: MlflowClient, *, run_id: str, model: LanguageModel) -> Logged:
    """Store a language model with its run; the same model logged again for the same run is the one already there."""
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder) / "model"
        save_model(model, files)
        weights, description = (files / name for name in ("model.safetensors", "model.json"))

        def save(path: Path, metadata: dict, described: Model) -> None:
            mlflow.pyfunc.save_model(
                str(path),
                python_model=served.__file__,
                artifacts={"model": str(files)},
                mlflow_model=described,
                signature=SIGNATURE,
                input_example=pd.DataFrame({"utterance": ["turn on the light in the kitchen"]}),
                pip_requirements=served.REQUIREMENTS,
                metadata=metadata | {LANGUAGE_KEY: "1"},
            )

        stored = StoredLanguageModel(weights.read_bytes(), description.read_bytes())
        return log_once(client, run_id, stored.model_digest, stored.schema_digest, save)
