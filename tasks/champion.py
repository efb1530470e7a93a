"""The champion a run began with, pinned: loaded by version for as long as the run lasts, whatever happens meanwhile.

That it was the champion, and vouched for, is checked when the run begins; that it still is, when the verdict is carried
out.
"""

from dataclasses import dataclass

import xgboost
from mlflow import MlflowClient

from components.data.schema import Schema
from tasks.loader import load
from tasks.references import Run
from tasks.settings import Settings

THROUGH = "troth.trained_through"
"""Tag of a version: the newest time among the rows it was trained on."""


@dataclass(frozen=True)
class Champion:
    """A version, its model and schema, and the newest time among the rows it was trained on (None: unknown)."""

    version: str
    booster: xgboost.Booster
    schema: Schema
    trained_through: float | None


def champion_at_start(client: MlflowClient, settings: Settings, run: Run) -> Champion | None:
    """The champion the run began with; None where there was none."""
    if run["champion"] is None:
        return None
    model = load(f"models:/{run['model']}/{run['champion']}", settings)
    through = client.get_model_version(run["model"], run["champion"]).tags.get(THROUGH)
    return Champion(model.version, model.booster, model.schema, float(through) if through else None)
