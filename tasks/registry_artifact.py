"""A registered model read back without running anything it says.

MLflow's own loader imports whatever class and code path the artifact's `MLmodel` names, and XGBoost's reader takes the
process down with it when a file is malformed (3.2.0: a C++ abort, not an exception). So files are parsed here as plain
data and named by digest; XGBoost, or torch, sees a model only once somebody has vouched for that digest. Trees are told
by a schema of columns, language models by a description of labels and vocabulary; either is the model's schema.
"""

import hashlib
import json
import tempfile
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
LANGUAGE_KEY, LANGUAGE_FOLDER = "troth.language", "artifacts/model"


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


@dataclass(frozen=True)
class StoredLanguageModel:
    """What an artifact holds of a language model: its two files, as bytes."""

    weights: bytes
    description: bytes

    @property
    def model_digest(self) -> str:
        return hashlib.sha256(self.weights).hexdigest()

    @property
    def schema_digest(self) -> str:
        return hashlib.sha256(self.description).hexdigest()

    def model(self):
        """The `components.language.model.LanguageModel`, of the very bytes the digests were taken of."""
        from components.language.save import DESCRIPTION, WEIGHTS, load_model

        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / WEIGHTS).write_bytes(self.weights)
            (Path(folder) / DESCRIPTION).write_bytes(self.description)
            return load_model(Path(folder))


def read_stored(settings: Settings, location: str, *, what: str) -> StoredModel | StoredLanguageModel:
    """The model at artifact address `location`; `what` names it in errors.

    Raises
    ------
    InvalidInput
        A file is missing or is not what it should be.
    """
    try:
        metadata = yaml.safe_load(_download(settings, f"{location}/MLmodel"))["metadata"]
        if LANGUAGE_KEY in metadata:
            weights, description = (
                _download(settings, f"{location}/{LANGUAGE_FOLDER}/{name}")
                for name in ("model.safetensors", "model.json")
            )
            return StoredLanguageModel(weights, description)
        trees = _download(settings, f"{location}/{MODEL_FILE}")
        document = json.loads(trees)
        digest = document_digest(document)
        text = metadata[SCHEMA_KEY]
        schema = Schema.model_validate_json(text)
    except (OSError, MlflowException):
        raise InvalidInput(f"{what} cannot be read from {location}; restore it or register it again") from None
    except (ValueError, yaml.YAMLError, KeyError, TypeError, AttributeError, RecursionError):
        raise InvalidInput(f"{what} at {location} is not a model Troth stored; register it again") from None
    return StoredModel(document, schema, digest, text_digest(text))


def altered(
    stored: StoredModel | StoredLanguageModel, model_digest: str | None, schema_digest: str | None
) -> tuple[str, str, str] | None:
    """What of a stored model is not what it should be: the part, and how the digests of both begin."""
    meant_of = {"model": (stored.model_digest, model_digest), "schema": (stored.schema_digest, schema_digest)}
    for part, (holds, meant) in meant_of.items():
        if holds != meant:
            return part, holds[:12], meant[:12] if meant else "none"
    return None


def text_digest(text: str) -> str:
    """SHA-256 (hex) of a text as it is stored."""
    return hashlib.sha256(text.encode()).hexdigest()


def _download(settings: Settings, address: str) -> bytes:
    # A file the store keeps elsewhere is downloaded into a folder of its own; one on this machine is read in place.
    path = download_artifacts(
        artifact_uri=address, tracking_uri=settings.tracking_uri, registry_uri=settings.registry_uri
    )
    return Path(path).read_bytes()
