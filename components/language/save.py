"""A model as a folder: weights as safetensors, all else as JSON; nothing that could run.

Only what no package holds is written. A frozen encoder stays in its package and is known by its SHA-256, so that no
model is put on another one in silence. Loading believes nothing: names, shapes, types and finiteness are checked.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Self

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from components.data.schema import first_finding
from components.data.texts.corpus import Labels
from components.data.texts.lines import text_of
from components.errors import InvalidInput
from components.language.frozen import NAME, encoder_sha256
from components.language.model import (
    AdaptedParameters,
    FrozenParameters,
    LanguageModel,
    ModelParameters,
    blank_model,
)
from components.language.vocabulary import PieceVocabulary, WordVocabulary, encoder_pieces

FORMAT = "troth-language-1"
WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Labels(_Document):
    intents: tuple[str, ...] = Field(min_length=2)
    slots: tuple[str, ...]
    public: bool


class _Vocabulary(_Document):
    kind: str = Field(pattern="^(words|pieces)$")
    words: tuple[str, ...] = ()
    endings: int = Field(0, ge=0, le=1_000_000)
    sha256: str = ""

    @model_validator(mode="after")
    def _words_have_endings(self) -> Self:
        if self.kind == "words" and not self.endings:
            raise ValueError("'endings' is 0; unknown words need at least 1 to fall into")
        return self


class _Description(_Document):
    format: str = Field(pattern=f"^{FORMAT}$")
    parameters: ModelParameters
    labels: _Labels
    vocabulary: _Vocabulary
    encoder: str | None
    """SHA-256 of the encoder's weights; None for a model from scratch."""


def save_model(model: LanguageModel, folder: Path) -> None:
    """Write the model to `folder`, which is made where it is missing."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    on_encoder = isinstance(model.parameters, FrozenParameters | AdaptedParameters)
    description = {
        "format": FORMAT,
        "parameters": model.parameters.model_dump(),
        "labels": asdict(model.labels),
        "vocabulary": {"kind": model.vocabulary.kind, **asdict(model.vocabulary)},
        "encoder": encoder_sha256() if on_encoder else None,
    }
    save_file({name: weight.detach().contiguous() for name, weight in model.own.items()}, folder / WEIGHTS)
    text = json.dumps(description, ensure_ascii=False, indent=1)
    (folder / DESCRIPTION).write_text(text, encoding="utf-8")


def load_model(folder: Path) -> LanguageModel:
    """Read what `save_model` wrote.

    Raises
    ------
    InvalidInput
        A file is missing, damaged or one too many; the description breaks its rules; a weight is missing, unknown, of
        another shape or type, or not finite; the installed encoder is another one.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InvalidInput(f"model folder {folder} does not exist")
    if extra := sorted(path.name for path in folder.iterdir() if path.name not in (WEIGHTS, DESCRIPTION)):
        raise InvalidInput(f"model folder {folder} holds '{extra[0]}'; a model is {WEIGHTS} and {DESCRIPTION} alone")
    described = _described(folder / DESCRIPTION)
    vocabulary = _vocabulary(described, folder)
    labels = Labels(described.labels.intents, described.labels.slots, described.labels.public)
    model = blank_model(described.parameters, labels, vocabulary, seed=0)
    weights = _weights(folder / WEIGHTS, model)
    model.network.load_state_dict(weights, strict=False)
    model.network.eval()
    return model


def _described(path: Path) -> _Description:
    try:
        return _Description.model_validate_json(text_of(path))
    except ValidationError as error:
        raise InvalidInput(first_finding(error, path)) from None


def _vocabulary(described: _Description, folder: Path):
    on_encoder = isinstance(described.parameters, FrozenParameters | AdaptedParameters)
    if on_encoder and described.encoder != encoder_sha256():
        raise InvalidInput(
            f"the model in {folder} was trained over another {NAME} (SHA-256 {described.encoder}) than the one "
            f"installed ({encoder_sha256()}); install that one"
        )
    given = described.vocabulary
    if given.kind == "words":
        return WordVocabulary(given.words, given.endings)
    if given.sha256 != encoder_pieces().sha256:
        raise InvalidInput(f"the model in {folder} reads pieces of another {NAME} than the one installed; install that")
    return PieceVocabulary(given.sha256)


def _weights(path: Path, model: LanguageModel) -> dict[str, torch.Tensor]:
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InvalidInput(f"weights file {path} is missing or damaged ({error}); copy it again") from None
    wanted = model.own
    if unlike := sorted(set(weights) ^ set(wanted)):
        which = "has no" if unlike[0] in wanted else "has an unknown"
        raise InvalidInput(f"{path} {which} weight '{unlike[0]}'; it belongs to another {DESCRIPTION}")
    for name, weight in weights.items():
        if weight.shape != wanted[name].shape or weight.dtype != wanted[name].dtype:
            raise InvalidInput(
                f"{path}: weight '{name}' is {tuple(weight.shape)} {weight.dtype}; it must be "
                f"{tuple(wanted[name].shape)} {wanted[name].dtype}"
            )
        if not weight.isfinite().all():
            raise InvalidInput(f"{path}: weight '{name}' has values that are not finite; train the model again")
    return weights
