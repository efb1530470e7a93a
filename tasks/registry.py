"""Models into the registry: logged as plain XGBoost under an explicit run, registered once, tagged with their evidence.

MLflow's `log_model` writes to whatever run and experiment the process calls active; stages run in threads, so the same
steps are taken here with a client and ids. What is stored holds no code, and no row of anybody's: the input example is
made up from the schema.
"""

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import mlflow.xgboost
import numpy as np
import pandas as pd
import xgboost
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput, LoggedModelStatus
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, TensorSpec
from mlflow.types import Schema as SignatureSchema

from components.boosting import model_digest
from components.data.schema import Label, Schema
from components.errors import InvalidInput
from tasks.promotion_ledger import ledger_of
from tasks.registry_artifact import MODEL_FILE, SCHEMA_KEY, text_digest
from tasks.settings import Settings

RUN, MODEL_DIGEST, SCHEMA_DIGEST = "troth.run", "troth.model_digest", "troth.schema_digest"
DATA_DIGEST, VERDICT, REASONS = "troth.data_digest", "troth.verdict", "troth.reasons"
POLICY, POLICY_DIGEST = "troth.policy", "troth.policy_digest"

_OBJECTIVES = {"binary": "binary:logistic", "multiclass": "multi:softprob"}


@dataclass(frozen=True)
class Logged:
    """A model in the tracking store: its MLflow id, the run it came from, and what identifies it."""

    model_id: str
    run_id: str
    model_digest: str
    schema_digest: str

    @property
    def uri(self) -> str:
        return f"models:/{self.model_id}"


def log_booster(client: MlflowClient, *, run_id: str, booster: xgboost.Booster, schema: Schema) -> Logged:
    """Store a trained model with its run; the same model logged again for the same run is the one already there.

    The signature takes `Table.features`, one column a feature; the schema travels along, so that the loader can encode
    raw columns the way training did.

    Raises
    ------
    InvalidInput
        The booster's features are not the schema's, or its objective gives margins where probabilities are promised.
    """
    _check_fits(booster, schema)
    schema_text = schema.model_dump_json()

    def save(path: Path, metadata: dict, model: Model) -> None:
        _save(booster, schema, path, metadata=metadata | {SCHEMA_KEY: schema_text}, model=model)

    return log_once(client, run_id, model_digest(booster), text_digest(schema_text), save)


def log_once(
    client: MlflowClient,
    run_id: str,
    model_digest: str,
    schema_digest: str,
    save: Callable[[Path, dict, Model], None],
) -> Logged:
    """Store what `save(path, metadata, model)` writes, unless the run has a model of these digests already."""
    digests = {MODEL_DIGEST: model_digest, SCHEMA_DIGEST: schema_digest}
    if found := _logged_before(client, run_id, digests):
        return Logged(found, run_id, *digests.values())
    experiment = client.get_run(run_id).info.experiment_id
    logged = client.create_logged_model(experiment, name="model", source_run_id=run_id, tags=digests)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        save(path, digests, Model(artifact_path=logged.artifact_location, run_id=run_id, model_id=logged.model_id))
        client.log_model_artifacts(logged.model_id, str(path))
    client.finalize_logged_model(logged.model_id, LoggedModelStatus.READY)
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    return Logged(logged.model_id, run_id, *digests.values())


def register(client: MlflowClient, settings: Settings, *, name: str, logged: Logged, tags: Mapping[str, str]) -> str:
    """The version of registered model `name` that holds `logged`: made once, found again afterwards.

    `tags` are the version's, beside the run and the digests. An embedded store resolves the model's address by the
    process's MLFLOW_TRACKING_URI (mlflow 3.17), which `prepare_environment` sets.
    """
    # Search and creation are two calls; the lock keeps two processes from both finding nothing.
    with ledger_of(settings, name).lock():
        _ensure_registered_model(client, name)
        for version in client.search_model_versions(f"name = '{name}' AND run_id = '{logged.run_id}'"):
            if version.tags.get(MODEL_DIGEST) == logged.model_digest:
                return str(version.version)
        own = {RUN: logged.run_id, MODEL_DIGEST: logged.model_digest, SCHEMA_DIGEST: logged.schema_digest}
        created = client.create_model_version(
            name,
            source=logged.uri,
            run_id=logged.run_id,
            model_id=logged.model_id,
            tags={tag: str(value)[:5000] for tag, value in {**tags, **own}.items()},
        )
        return str(created.version)


def require_model_name(name: str) -> None:
    """Raise `InvalidInput`, before any work is done, for a name that no registry takes."""
    if name.strip(". ") == "" or any(character in "/:'\"`\\" or not character.isprintable() for character in name):
        raise InvalidInput(
            f"model name {name!r} is blank or holds one of / : ' \" ` \\ or a control character, which no registry "
            "takes; give another (--model)"
        )


_SHOWN = 5
"""Columns that a sentence names before it counts the rest."""


def check_signature(champion: Schema, candidate: Schema) -> None:
    """Refuse, before anything is trained, a candidate whose scores could not be compared with the champion's.

    Categories that a schema leaves open are still to be taken from the data and differ from nothing.

    Raises
    ------
    InvalidInput
        Features or label differ; names the columns.
    """
    old, new = champion.features, candidate.features
    differing = [f"'{column}' (only the champion has it)" for column in old if column not in new]
    differing += [f"'{column}' (the champion lacks it)" for column in new if column not in old]
    for column in (column for column in new if column in old):
        if new[column].kind != old[column].kind:
            differing.append(f"'{column}' ({old[column].kind} in the champion, {new[column].kind} now)")
        elif None not in (new[column].categories, old[column].categories) and (
            new[column].categories != old[column].categories
        ):
            differing.append(f"'{column}' (other categories)")
    if not differing and list(old) != list(new):
        differing.append("the order of the features")
    if _meaning(champion.label) != _meaning(candidate.label):
        differing.append(f"'{candidate.label.column}' (another label)")
    if differing:
        more = len(differing) - _SHOWN
        shown = ", ".join(differing[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
        raise InvalidInput(
            f"schema '{candidate.name}' differs from the champion's in {shown}; give the schema of the "
            "champion, or register the new one under another model name"
        )


def _check_fits(booster: xgboost.Booster, schema: Schema) -> None:
    if booster.feature_names != list(schema.features):
        raise InvalidInput(
            f"the model's features {booster.feature_names} are not those of schema '{schema.name}' "
            f"{list(schema.features)}; train it on Table.features with their names"
        )
    objective = json.loads(booster.save_config())["learner"]["objective"]["name"]
    promised = _OBJECTIVES.get(schema.label.kind)
    if promised and objective != promised:
        raise InvalidInput(
            f"the model's objective is '{objective}', so a server would return no probabilities; a {schema.label.kind} "
            f"label needs '{promised}'"
        )


def _logged_before(client: MlflowClient, run_id: str, digests: Mapping[str, str]) -> str | None:
    outputs = client.get_run(run_id).outputs
    for output in outputs.model_outputs if outputs else ():
        logged = client.get_logged_model(output.model_id)
        if digests.items() <= logged.tags.items() and logged.status == LoggedModelStatus.READY:
            return logged.model_id
    return None


def _save(booster: xgboost.Booster, schema: Schema, path: Path, *, metadata: dict, model: Model) -> None:
    columns = SignatureSchema([ColSpec(DataType.double, name) for name in schema.features])
    classes = schema.classes if schema.label.kind == "multiclass" else ()
    shape = (-1, len(classes)) if classes else (-1,)
    mlflow.xgboost.save_model(
        booster,
        str(path),
        mlflow_model=model,
        model_format=Path(MODEL_FILE).suffix[1:],
        signature=ModelSignature(columns, SignatureSchema([TensorSpec(np.dtype("float32"), shape)])),
        input_example=pd.DataFrame({name: [0.0] for name in schema.features}),
        # Left to itself, MLflow infers the requirements by loading the model in a process of its own: 12 to 32 s.
        pip_requirements=[f"xgboost=={xgboost.__version__}", f"mlflow=={mlflow.__version__}"],
        metadata=metadata,
    )


def _ensure_registered_model(client: MlflowClient, name: str) -> None:
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _meaning(label: Label) -> dict:
    """What makes two labels' scores comparable; where a row counts as right is the gate's affair."""
    return label.model_dump(exclude={"threshold", "tolerance"})
