"""The models worth offering as the champion's successor, trained one after the other.

A plain retrain is always among them: a pull to the old model costs accuracy where the old model is weak, and then even
raises negative flips. Which candidate is best is measured on held-out rows and decided by the gate, not here.
Source: Yan et al., CVPR 2021 (distillation); docs/candidates.md for equations and figures.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import numpy as np
import xgboost
from pydantic import BaseModel, ConfigDict, Field

from components.boosting.blend import blend
from components.boosting.distilled import train_distilled
from components.boosting.held_out import held_out_correctness
from components.boosting.model import require_updatable
from components.boosting.modes import TrainingRecord, pooled
from components.boosting.parameters import BoostingParameters
from components.boosting.pooled import Progress
from components.boosting.warm_start import warm_start
from components.compatibility.distillation import DistillationParameters
from components.data.table import Table
from components.errors import InvalidInput

NamedProgress = Callable[[str, int, int, float], None]
"""`Progress` preceded by the candidate's name."""


class CandidatePlan(BaseModel):
    """Which candidates are trained next to the plain retrain."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kinds: tuple[Literal["blend", "warm_start", "distill"], ...] | None = Field(
        None, description="What to try besides the plain retrain; empty: all that the mode can."
    )
    blend_weights: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (0.25, 0.5, 0.75), description="Shares of the old model's logits in a blend."
    )
    distillation_strengths: tuple[Annotated[float, Field(gt=0, le=1000)], ...] = Field(
        (0.1, 0.3), description="Lambdas to try; too strong a pull to a weak champion raises flips too."
    )
    distillation: DistillationParameters = Field(
        DistillationParameters(), description="Distance and focus; its strength is replaced by each of the above."
    )
    warm_start_rounds: int = Field(50, ge=1, le=10_000, description="Rounds added to the champion.")
    folds: int = Field(5, ge=2, le=50, description="Folds by which the champion is judged on rows it was trained on.")

    def includes(self, kind: str) -> bool:
        """Whether a kind is asked for where rows are pooled."""
        return self.kinds is None or kind in self.kinds

    def require_apart(self) -> None:
        """Raise `InvalidInput` where a kind is asked for by name that trains on pooled rows."""
        pooled_only = [kind for kind in self.kinds or () if kind != "blend"]
        if pooled_only:
            raise InvalidInput(
                f"the plan's kinds include {' and '.join(pooled_only)}, which train on pooled rows; "
                "where owners keep their rows, set kinds to ['blend'], or leave them empty"
            )


@dataclass(frozen=True)
class Candidate:
    """A trained model, the name it goes by in reports, and the settings that made it (JSON-ready).

    `record` is the training record of the retrain; the others are made from its model or the champion's.
    """

    name: str
    booster: xgboost.Booster
    settings: dict
    record: TrainingRecord | None = None


def candidates(
    rows: Table,
    validation: Table | None,
    champion: xgboost.Booster | None,
    parameters: BoostingParameters,
    plan: CandidatePlan,
    *,
    seen: np.ndarray | None = None,
    progress: NamedProgress | None = None,
) -> Iterator[Candidate]:
    """Yield `retrain`, then `blend_<a>`, `warm_start`, `distill_<lambda>` as planned; with no champion `retrain` alone.

    `seen` (n,) bool marks the rows the champion was trained on, all unless told
    otherwise.

    Raises
    ------
    InvalidInput
        Before any training: the champion has other features or another label, or is of a kind that cannot be updated.
    """
    if champion is not None:
        require_updatable(champion, rows)

    def named(name: str) -> Progress | None:
        return partial(progress, name) if progress else None

    retrain, record = pooled(rows, parameters, validation=validation, progress=named("retrain"))
    yield Candidate("retrain", retrain, parameters.model_dump(), record)
    if champion is None:
        return
    seen = np.ones(len(rows), dtype=bool) if seen is None else seen
    yield from blends(retrain, champion, plan)
    if plan.includes("warm_start"):
        rounds = plan.warm_start_rounds
        booster = warm_start(
            champion, rows, parameters, rounds=rounds, validation=validation, progress=named("warm_start")
        )
        yield Candidate("warm_start", booster, {"rounds": rounds})
    if plan.includes("distill"):
        right = held_out_correctness(champion, parameters, rows, seen=seen, folds=plan.folds, seed=parameters.seed)
        for strength in plan.distillation_strengths:
            name, settings = f"distill_{strength:g}", plan.distillation.model_copy(update={"strength": strength})
            booster = train_distilled(
                champion, rows, parameters, settings, old_right=right, validation=validation, progress=named(name)
            )
            yield Candidate(name, booster, settings.model_dump())


def blends(retrain: xgboost.Booster, champion: xgboost.Booster, plan: CandidatePlan) -> Iterator[Candidate]:
    """`blend_<a>` as planned: the updates that need no rows, so that every mode has them."""
    for weight in plan.blend_weights if plan.includes("blend") else ():
        yield Candidate(f"blend_{weight:g}", blend(retrain, champion, old_weight=weight), {"old_weight": weight})


def retrain_with_other_seed(
    rows: Table,
    validation: Table | None,
    parameters: BoostingParameters,
    *,
    progress: Progress | None = None,
) -> xgboost.Booster:
    """The retrain with the next seed; flips between the two are the noise floor of any update.

    With `subsample` and `colsample_bytree` at 1 nothing is drawn, both models are equal and the floor is zero.
    """
    other = parameters.model_copy(update={"seed": (parameters.seed + 1) % 2**31})
    return pooled(rows, other, validation=validation, progress=progress)[0]
