"""Where a run's texts come from: commands drawn from a public grammar, a published corpus, or the caller's own file.

Each source knows its parts: published corpora bring theirs, others are divided by user. A data set is a name, which
somebody gives or which is taken from the file's: its budget is kept under it, so that runs on the same people add up,
whatever is drawn or appended later.
"""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field

from components.data.texts.clinc import read_clinc
from components.data.texts.home_assistant import LANGUAGES, home_labels, sample_home_commands
from components.data.texts.own import read_corpus, read_labels
from components.data.texts.snips import read_snips
from components.data.texts.split import TextSplit, split_by_user
from components.errors import InvalidInput
from tasks.inputs import file_digest
from tasks.language.known import keyed
from tasks.settings import Settings

LARGEST_SEED = 2**32 - 1
_LONGEST = 200
"""Characters of a data set's name as a file's; file systems take 255."""


class _Source(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str | None = Field(
        None,
        min_length=1,
        description="What the data set is called; its budget and its model are found by it. Empty: after the file.",
    )


class HomeCommands(_Source):
    """Commands to a home, drawn from the grammar of Home Assistant; nobody's real words."""

    kind: Literal["home_commands"] = "home_commands"
    utterances: int = Field(24_000, ge=100, le=10_000_000, description="Commands to draw.")
    languages: tuple[str, ...] = Field(LANGUAGES, min_length=1, description="Languages, an equal share of each.")
    seed: int = Field(0, ge=0, le=LARGEST_SEED, description="Seed of the drawing.")


class Snips(_Source):
    """SNIPS, seven intents in English, from the folder it was unpacked to."""

    kind: Literal["snips"] = "snips"
    folder: str = Field(description="Holds train_INTENT_full.json and validate_INTENT.json.")


class Clinc(_Source):
    """CLINC150, 150 intents in English, from the folder of its data_full.json."""

    kind: Literal["clinc"] = "clinc"
    folder: str = Field(description="Holds data_full.json.")
    out_of_scope: bool = Field(True, description="Keep requests out of scope, as an intent of their own.")


class OwnTexts(_Source):
    """Your own texts: JSONL or CSV of utterance, intent and, where there are any, slots, group and user."""

    kind: Literal["texts"] = "texts"
    path: str = Field(description="The file: .jsonl or .csv.")
    labels: str | None = Field(None, description="JSON of all intents and slots; empty: those that occur.")
    grouping: str = Field("group", min_length=1, description="What the group is called in reports.")
    languages: tuple[str, ...] = Field(("en",), min_length=1, description="For the public vocabulary.")


TextSource = Annotated[HomeCommands | Snips | Clinc | OwnTexts, Field(discriminator="kind")]


def load_texts(source: TextSource, *, salt: str, shares: tuple[float, float, float]) -> TextSplit:
    """Read, check and divide the texts; every mistake in them is found here, before any work is done."""
    match source:
        case HomeCommands(utterances=utterances, languages=languages, seed=seed):
            corpus = sample_home_commands(utterances, seed=seed, languages=languages)
            return split_by_user(corpus, labels=home_labels(languages), salt=salt, shares=shares)
        case Snips(folder=folder):
            return read_snips(folder)
        case Clinc(folder=folder, out_of_scope=out_of_scope):
            return read_clinc(folder, out_of_scope=out_of_scope)
        case OwnTexts(path=path, labels=labels, grouping=grouping):
            known = read_labels(labels) if labels else None
            return split_by_user(read_corpus(path, grouping=grouping), labels=known, salt=salt, shares=shares)


def languages_of(source: TextSource) -> tuple[str, ...]:
    """The languages a public vocabulary is made for."""
    return source.languages if isinstance(source, HomeCommands | OwnTexts) else ("en",)


def name_of_texts(source: TextSource) -> str:
    """The data set's name, which names the registered model."""
    return source.name or (Path(source.path).stem if isinstance(source, OwnTexts) else source.kind)


def budget_name(source: TextSource) -> str:
    """Whose data they are: commands drawn with another seed are of other users, all else by the same name are not."""
    if isinstance(source, HomeCommands) and not source.name:
        return f"{source.kind}-{source.seed}"
    return name_of_texts(source)


def require_names(source: TextSource, model: str) -> None:
    """Refuse, before anything is paid, names under which a budget or a model could not be kept.

    Raises
    ------
    InvalidInput
        The data set's name is too long for a file, or the model's holds what a registry does not take.
    """
    name = budget_name(source)
    if len(quote(name, safe="")) > _LONGEST:
        raise InvalidInput(
            f"data set name '{name[:40]}…' has {len(quote(name, safe=''))} characters as a file's name, of at most "
            f"{_LONGEST}; give it a shorter one (name)"
        )
    if model.strip(". ") == "" or any(c in "/:'\"`\\" or not c.isprintable() for c in model):
        raise InvalidInput(
            f"model name {model!r} is blank or holds one of / : ' \" ` \\ or a control character, which no registry "
            "takes; give the data set or the model another name (name, model)"
        )


def text_fingerprint(source: TextSource, settings: Settings) -> str:
    """A keyed digest of what the source would give: its options, and the bytes of its files."""
    sha = hashlib.sha256(json.dumps(source.model_dump(mode="json"), sort_keys=True).encode())
    match source:
        case OwnTexts(path=path, labels=labels):
            files = [Path(path), *([Path(labels)] if labels else [])]
        case Snips(folder=folder) | Clinc(folder=folder):
            files = sorted(Path(folder).glob("*.json"))
            if not files:
                raise InvalidInput(f"folder {folder} has no .json files; name the folder the corpus was unpacked to")
        case _:
            files = []
    for file in files:
        sha.update(file_digest(file).encode())
    return keyed(settings, sha.hexdigest())
