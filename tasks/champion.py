"""The champion a run began with, pinned: loaded by version for as long as the run lasts, whatever happens meanwhile.

That it was the champion, and vouched for, is checked when the run begins; that it still is, when the verdict is carried
out.
"""

import json
from dataclasses import dataclass

import xgboost
from mlflow import MlflowClient

from components.data.schema import Schema
from components.errors import InvalidInput
from tasks.loader import LoadedModel, past_champion
from tasks.references import Run
from tasks.settings import Settings

THROUGH, SPLIT, SHARES, LEVELS = "troth.trained_through", "troth.split", "troth.shares", "troth.levels"
"""Tags of a version: the newest time among the rows it was trained on, how people were divided, where owners hold
shares of it the keys these are found by, with weights, and each group's levels among the rows it was judged on."""


@dataclass(frozen=True)
class Champion:
    """A version, its model and schema, and what its tags say of its training (None: unknown)."""

    version: str
    booster: xgboost.Booster
    schema: Schema
    trained_through: float | None
    split: str | None
    shares: str | None
    levels: str | None = None

    @property
    def share_terms(self) -> list[list]:
        """The champion as a sum of [key of a shared model, weight]."""
        return json.loads(self.shares) if self.shares else []


def champion_at_start(client: MlflowClient, settings: Settings, run: Run) -> Champion | None:
    """The champion the run began with; None where there was none."""
    if run["champion"] is None:
        return None
    model = past_champion(client, settings, run["model"], run["champion"])
    if not isinstance(model, LoadedModel):
        raise InvalidInput(
            f"model '{run['model']}' is a language model, and a table's cannot replace it; give another name (--model)"
        )
    tags = client.get_model_version(run["model"], run["champion"]).tags
    through = tags.get(THROUGH)
    return Champion(
        model.version,
        model.booster,
        model.schema,
        float(through) if through else None,
        tags.get(SPLIT),
        tags.get(SHARES),
        tags.get(LEVELS),
    )


def require_same_split(champion: Champion | None, split: dict) -> None:
    """Refuse to divide people otherwise than when the champion was trained: it would be judged on people it knows.

    Raises
    ------
    InvalidInput
        Salt or shares differ from the champion's.
    """
    if champion and champion.split not in (None, split_text(split)):
        raise InvalidInput(
            f"the split is {split_text(split)}, but champion version {champion.version} was trained under "
            f"{champion.split}: people it was trained on would be among the gate's; use the champion's split"
        )


def split_text(split: dict) -> str:
    """A split (salt and shares) as it is noted with a version."""
    return json.dumps({"salt": split["salt"], "shares": [round(share, 9) for share in split["shares"]]}, sort_keys=True)
