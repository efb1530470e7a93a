"""The language model a run began with, pinned, and what its version says of its training and privacy."""

import json
from dataclasses import dataclass

from mlflow import MlflowClient

from components.data.texts.corpus import Labels
from components.errors import InvalidInput
from components.language.model import LanguageModel
from components.privacy import Steps
from tasks.champion import LEVELS, SPLIT
from tasks.loader import LoadedLanguageModel, past_champion
from tasks.references import Run
from tasks.settings import Settings

STEPS = "troth.privacy_steps"
"""Tag of a version: the private steps it depends on, its own and its ancestors', as [noise, rate, count], and whom they
protect; empty for a plain one, or one that depends on a plain one."""


@dataclass(frozen=True)
class LanguageChampion:
    """A version and its model; `steps` protect one `unit`, and are None where nothing is promised of it."""

    version: str
    model: LanguageModel
    split: str | None
    levels: dict[str, list[str]]
    steps: tuple[Steps, ...] | None
    unit: str = ""

    def steps_for(self, unit: str) -> tuple[Steps, ...] | None:
        """What it spent of a `unit`; None where nothing is promised to one.

        A promise to users is none of the same epsilon to an utterance: without it its user is still there, and their
        clipped gradient may have turned round, so that the sum moves by twice the bound.
        """
        return self.steps if self.unit == unit else None


def language_champion_at_start(client: MlflowClient, settings: Settings, run: Run) -> LanguageChampion | None:
    """The champion the run began with; None where there was none.

    Raises
    ------
    InvalidInput
        It is no language model.
    """
    if run["champion"] is None:
        return None
    loaded = past_champion(client, settings, run["model"], run["champion"])
    if not isinstance(loaded, LoadedLanguageModel):
        raise InvalidInput(f"model '{run['model']}' is a table's, not a language model; give another name (model)")
    tags = client.get_model_version(run["model"], run["champion"]).tags
    paid = json.loads(tags.get(STEPS) or "null")
    return LanguageChampion(
        loaded.version,
        loaded.model,
        tags.get(SPLIT),
        json.loads(tags.get(LEVELS) or "{}"),
        None if paid is None else tuple(Steps(*one) for one in paid["steps"]),
        "" if paid is None else paid["unit"],
    )


def require_same_labels(champion: LanguageChampion | None, labels: Labels) -> None:
    """Refuse, before anything is trained, labels under which the two could not be compared.

    Raises
    ------
    InvalidInput
        Intents or slots differ; names one where both sets are public, else says how many, since names that were read
        off private texts tell of them.
    """
    if champion is None:
        return
    for what, old, new in (
        ("intent", champion.model.labels.intents, labels.intents),
        ("slot", champion.model.labels.slots, labels.slots),
    ):
        if differing := sorted(set(old) ^ set(new)):
            holder = "the champion lacks it" if differing[0] in new else "only the champion has it"
            public = labels.public and champion.model.labels.public
            named = f"{what} '{differing[0]}' ({holder}, one of {len(differing)} such) keeps"
            counted = f"{len(differing)} {what}s that only one of the two has keep"
            raise InvalidInput(
                f"{named if public else counted} champion version {champion.version} from being compared; declare its "
                "labels, or train under another model name (model)"
            )
