"""A registered model read back without running anything it says.

MLflow's own loader imports whatever class and code path the artifact's `MLmodel` names. This one takes two things from
the artifact, the trees and the schema's text, each parsed as data, and says by digest what it got.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import xgboost
import yaml
from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException
from pydantic import ValidationError

from components.boosting import model_digest
from components.data.schema import Schema
from components.errors import InvalidInput
from tasks.settings import Settings

MODEL_FILE, SCHEMA_KEY = "model.ubj", "troth.schema"


@dataclass(frozen=True)
class StoredModel:
    """What an artifact holds. The digests are taken from what was read, never from what the artifact claims."""

    booster: xgboost.Booster
    schema: Schema
    model_digest: str
    schema_digest: str


def read_stored(settings: Settings, location: str, *, what: str) -> StoredModel:
    """The model at artifact address `location`; `what` names it in errors.

    Raises
    ------
    InvalidInput
        A file is missing or is not what it should be.
    """
    try:
        trees = _download(settings, f"{location}/{MODEL_FILE}")
        metadata = yaml.safe_load(_download(settings, f"{location}/MLmodel"))["metadata"]
        booster = xgboost.Booster(model_file=bytearray(trees))
        text = metadata[SCHEMA_KEY]
        schema = Schema.model_validate_json(text)
    except (OSError, MlflowException):
        raise InvalidInput(f"{what} cannot be read from {location}; restore the artifact or register it again") from None
    except (yaml.YAMLError, KeyError, TypeError, ValidationError, xgboost.core.XGBoostError):
        raise InvalidInput(f"{what} at {location} is not a model Troth stored; register it again") from None
    return StoredModel(booster, schema, model_digest(booster), text_digest(text))


def text_digest(text: str) -> str:
    """SHA-256 (hex) of a text as it is stored."""
    return hashlib.sha256(text.encode()).hexdigest()


def _download(settings: Settings, address: str) -> bytes:
    # A file the store keeps elsewhere is downloaded into a folder of its own; one on this machine is read in place.
    path = download_artifacts(
        artifact_uri=address, tracking_uri=settings.tracking_uri, registry_uri=settings.registry_uri
    )
    return Path(path).read_bytes()
