"""What every training of a run has in common: where it begins, how long it learns, what protects the data.

Which candidates there will be is settled here too, before anything is paid: where a model that was chosen among all
would claim more than the policy allows, `retrain` is trained alone, with all of the noise's budget.

A candidate, the twin that carries canaries and the references of membership attacks are trained by one course, so that
what is found out about the others says something of the candidate.
"""

import copy
import math
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from components.compatibility.distillation import DistillationParameters
from components.language.encode import Encoded
from components.language.frozen import FrozenModel
from components.language.learn import LearningParameters
from components.language.model import LanguageModel, ModelParameters, blank_model, new_model
from components.language.protection import PrivacyParameters, Protection, protection_of, units_of
from components.privacy import Steps
from tasks.language.champion import LanguageChampion
from tasks.language.claim import claim_of, steps_of_choice
from tasks.language.holdings import labels_of, part_of, read_by
from tasks.progress import reporter
from tasks.references import Texts

Mode = Literal["private", "plain"]


class LanguagePlan(BaseModel):
    """Candidates beside `retrain`, where there is a champion."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    distilled: tuple[DistillationParameters, ...] = Field(
        (), max_length=5, description="Pulls to the champion; each is a training of its own, and paid for."
    )
    interpolated: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (0.5,), max_length=9, description="Shares of the new weights on the way from the champion's; free of charge."
    )
    noise_floor: bool = Field(False, description="Train once more with another seed, to see what a seed alone flips.")

    @field_validator("distilled", "interpolated")
    @classmethod
    def _each_once(cls, given: tuple) -> tuple:
        if len(set(given)) < len(given):
            raise ValueError("has the same candidate twice; give each once")
        return given


class Recipe(BaseModel):
    """How a run's models are made; what a person chooses."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Mode
    model: ModelParameters
    learning: LearningParameters
    privacy: PrivacyParameters
    candidates: LanguagePlan
    seed: int
    limit: float | None = Field(None, description="Most epsilon that the policy lets a model claim.")


@dataclass(frozen=True)
class Course:
    """A model before training, the training part as it reads it, and how both are brought together.

    `protection` is None where training is plain. `candidates` are those beside `retrain` that enter the choice, `steps`
    all that the model that is released will depend on (None: it is promised nothing), `left_out` why others do not
    enter.
    """

    model: LanguageModel
    encoded: Encoded
    parameters: LearningParameters
    protection: Protection | None
    candidates: LanguagePlan
    steps: tuple[Steps, ...] | None
    left_out: str = ""

    @property
    def is_choice(self) -> bool:
        """Whether there is anything to choose among."""
        return bool(self.candidates.distilled or self.candidates.interpolated)


def course_of(recipe: Recipe, texts: Texts, champion: LanguageChampion | None) -> Course:
    """The course of a run; the same for the same recipe, whichever stage asks."""
    privacy = recipe.privacy
    fresh = _begin(recipe.model, texts, champion, seed=recipe.seed)
    corpus = part_of(texts, "train")
    progress = reporter("reading")
    encoded = read_by(fresh, corpus, on_batch=lambda done, total: progress(done, total, "texts by the encoder"))
    plan = _possible(recipe, champion)
    if recipe.mode == "plain":
        return Course(fresh, encoded, _with_batch(recipe.learning, len(corpus)), None, plan, None)
    units = units_of(privacy, corpus)
    learning = _with_batch(recipe.learning, units.count)

    def course(candidates: LanguagePlan, left_out: str = "") -> Course:
        protection = protection_of(
            privacy,
            units,
            batch=learning.batch,
            epochs=learning.epochs,
            lengths=encoded.lengths,
            trainings=trainings_of(candidates, champion),
        )
        steps = protection.plan.steps
        if candidates.distilled or candidates.interpolated:
            steps = steps_of_choice(protection.plan, 1 + len(candidates.distilled), champion, privacy.unit)
        return Course(fresh, encoded, learning, protection, candidates, steps, left_out)

    among_all = course(plan)
    if not among_all.is_choice:
        return among_all
    claim = claim_of(among_all.steps, privacy, chosen=True)
    if claim is not None and claim <= (math.inf if recipe.limit is None else recipe.limit):
        return among_all
    why = (
        f"nothing is promised to one {privacy.unit} of champion version {champion.version}"
        if claim is None
        else f"chosen with champion version {champion.version}, a model would claim epsilon {claim:.3g}, and the "
        f"policy allows {recipe.limit:g}"
    )
    return course(LanguagePlan(interpolated=(), noise_floor=plan.noise_floor), f"{why}: only retrain is trained")


def trainings_of(plan: LanguagePlan, champion: LanguageChampion | None) -> int:
    """How many trainings on the private texts a plan asks for."""
    return 1 + (len(plan.distilled) + plan.noise_floor if champion else 0)


def _possible(recipe: Recipe, champion: LanguageChampion | None) -> LanguagePlan:
    """The candidates there can be: none without a champion, and weights between only of models of one kind."""
    if champion is None:
        return LanguagePlan(interpolated=())
    if champion.model.parameters != recipe.model:
        return recipe.candidates.model_copy(update={"interpolated": ()})
    return recipe.candidates


def _with_batch(learning: LearningParameters, units: int) -> LearningParameters:
    return learning.model_copy(update={"batch": learning.batch_of(units)})


def _begin(parameters: ModelParameters, texts: Texts, champion: LanguageChampion | None, *, seed: int) -> LanguageModel:
    """A model before training; one that is to be compared with a champion of its kind reads by the same projection."""
    model = new_model(parameters, labels_of(texts), seed=seed, languages=tuple(texts["languages"]))
    if champion and champion.model.parameters == parameters and isinstance(model.network, FrozenModel):
        model.network.projection = champion.model.network.projection
    return model


def trained_like(model: LanguageModel, *, seed: int | None = None) -> LanguageModel:
    """A copy to be trained apart; what is frozen is shared. With `seed`, learnt weights are drawn anew."""
    frozen = {id(weight): weight for weight in model.network.parameters() if not weight.requires_grad}
    fresh = replace(model, network=copy.deepcopy(model.network, memo=frozen))
    if seed is not None:
        drawn = blank_model(model.parameters, model.labels, model.vocabulary, seed=seed)
        fresh.network.load_state_dict(drawn.trainable, strict=False)
    return fresh
