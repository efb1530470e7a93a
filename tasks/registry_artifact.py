"""A registered model read back without running anything it says.

MLflow's own loader imports whatever class and code path the artifact's `MLmodel` names, and XGBoost's reader takes the
process down with it when a file is malformed (3.2.0: a C++ abort, not an exception). So both files are parsed here as
plain data and named by digest; XGBoost sees the trees only once somebody has vouched for that digest.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import xgboost
import yaml
from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException

from components.boosting.model import document_digest, from_document
from components.data.schema import Schema
from components.errors import InvalidInput
from tasks.settings import Settings

MODEL_FILE, SCHEMA_KEY = "model.json", "troth.schema"


@dataclass(frozen=True)
class StoredModel:
    """What an artifact holds. The digests are taken from what was read, never from what the artifact claims."""

    document: dict
    schema: Schema
    model_digest: str
    schema_digest: str

    def booster(self) -> xgboost.Booster:
        """The model, from the very document the digest was taken of; call it once the digest is known to be right."""
        return from_document(self.document)


def read_stored(settings: Settings, location: str, *, what: str) -> StoredModel:
    """The model at artifact address `location`; `what` names it in errors.

    Raises
    ------
    InvalidInput
        A file is missing or is not what it should be.
    """
    try:
        trees = _download(settings, f"{location}/{MODEL_FILE}")
        description = _download(settings, f"{location}/MLmodel")
    except (OSError, MlflowException):
        raise InvalidInput(f"{what} cannot be read from {location}; restore it or register it again") from None
    try:
        document = json.loads(trees)
        digest = document_digest(document)
        text = yaml.safe_load(description)["metadata"][SCHEMA_KEY]
        schema = Schema.model_validate_json(text)
    except (ValueError, yaml.YAMLError, KeyError, TypeError, AttributeError, RecursionError):
        raise InvalidInput(f"{what} at {location} is not a model Troth stored; register it again") from None
    return StoredModel(document, schema, digest, text_digest(text))


def text_digest(text: str) -> str:
    """SHA-256 (hex) of a text as it is stored."""
    return hashlib.sha256(text.encode()).hexdigest()


def _download(settings: Settings, address: str) -> bytes:
    # A file the store keeps elsewhere is downloaded into a folder of its own; one on this machine is read in place.
    path = download_artifacts(
        artifact_uri=address, tracking_uri=settings.tracking_uri, registry_uri=settings.registry_uri
    )
    return Path(path).read_bytes()
