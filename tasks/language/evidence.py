"""Language models as files of a stage's run, read back only if they are what the stage kept."""

import tempfile
from pathlib import Path

from mlflow import MlflowClient

from components.language.model import LanguageModel
from components.language.save import DESCRIPTION, WEIGHTS, load_model, save_model
from tasks.evidence import fetch, keep
from tasks.references import Stored
from tasks.tracking import Stage


def keep_language_model(here: Stage, model: LanguageModel, folder: str) -> Stored:
    """Keep a model's two files under artifact `folder`; the reference is to the weights, and names both digests."""
    with tempfile.TemporaryDirectory() as place:
        save_model(model, Path(place))
        weights, description = (
            keep(here, (Path(place) / name).read_bytes(), f"{folder}/{name}") for name in (WEIGHTS, DESCRIPTION)
        )
    return Stored(run_id=here.run_id, path=folder, digest=f"{weights['digest']}:{description['digest']}")


def stored_language_model(client: MlflowClient, stored: Stored) -> LanguageModel:
    """A model that a stage kept."""
    with tempfile.TemporaryDirectory() as place:
        for name, digest in zip((WEIGHTS, DESCRIPTION), stored["digest"].split(":"), strict=True):
            one = Stored(run_id=stored["run_id"], path=f"{stored['path']}/{name}", digest=digest)
            (Path(place) / name).write_bytes(fetch(client, one))
        return load_model(Path(place))
