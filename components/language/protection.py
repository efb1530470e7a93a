"""What a person asks of private training, and what follows from it: who is a unit, how much noise, which engine.

Parameters are data, so that a form shows them and a version's record repeats them; everything a guarantee rests on is
derived here, once, and a candidate, its twin and its references are all trained by the same.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from components.data.texts.corpus import Corpus
from components.privacy import (
    Automatic,
    BookKeeping,
    Clipping,
    Flat,
    MicroBatches,
    OneByOne,
    OpacusGradients,
    Plan,
    Quantile,
    Users,
    Utterances,
    falling,
    plan_for,
)
from components.privacy.units import Units


class PrivacyParameters(BaseModel):
    """How much may be spent, on whom, and how gradients are bounded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epsilon: float = Field(8.0, gt=0, le=100, description="What all trainings of a run may spend together.")
    delta: float = Field(1e-5, gt=0, lt=1, description="Below one over the number of units.")
    unit: Literal["utterance", "user"] = Field("utterance", description="Whom the guarantee is given to.")
    clipping: Literal["automatic", "flat", "quantile"] = Field(
        "automatic", description="automatic needs no bound; quantile begins at `bound` and follows the median norm."
    )
    bound: float = Field(1.0, gt=0, le=1e6, description="Longest gradient (flat), or the first one (quantile).")
    noise_falls_to: float = Field(1.0, ge=0.05, le=1, description="Noise of the last epoch, as a share of the first's.")
    engine: Literal["book_keeping", "one_by_one", "opacus_hooks", "opacus_functorch", "micro_batches"] = Field(
        "book_keeping", description="How gradients are clipped; micro_batches has twice the sensitivity of the others."
    )
    utterances_a_user: int = Field(8, ge=1, le=1000, description="Most of a user's in one step (unit user).")


@dataclass(frozen=True)
class Protection:
    """Units of a corpus, and the plan, clipping and engine by which they are trained on."""

    units: Units
    plan: Plan
    clipping: Clipping
    engine: object


def units_of(parameters: PrivacyParameters, corpus: Corpus) -> Units:
    """Who is protected in `corpus`: each utterance, or each user with all of theirs."""
    if parameters.unit == "utterance":
        return Utterances(len(corpus))
    return Users(corpus.users, most=parameters.utterances_a_user)


def protection_of(
    parameters: PrivacyParameters, units: Units, *, batch: int, epochs: int, lengths: np.ndarray, trainings: int
) -> Protection:
    """The least noise with which `trainings` trainings of `epochs` epochs spend `parameters.epsilon` together.

    Parameters
    ----------
    batch
        Units expected in a step.
    lengths
        (n,) tokens of every utterance, by which an engine saves padding.

    Raises
    ------
    InvalidInput
        A batch larger than the data, a delta of one over the units or more, an epsilon no noise reaches.
    """
    plan = plan_for(
        epsilon=parameters.epsilon,
        delta=parameters.delta,
        units=units.count,
        batch=batch,
        epochs=epochs,
        schedule=falling(parameters.noise_falls_to),
        unit=units.name,
        trainings=trainings,
    )
    clipping = clipping_of(parameters, noise=max(plan.noise))
    return Protection(units, plan, clipping, engine_of(parameters, lengths, batch=batch))


def clipping_of(parameters: PrivacyParameters, *, noise: float) -> Clipping:
    """The clipping by its name; `noise` is the most that a step of the plan has.

    What follows a quantile has more noise on its count than half of the step's, so that gradients are left some of the
    step's privacy: with as much as the step's, three quarters of it.
    """
    match parameters.clipping:
        case "automatic":
            return Automatic()
        case "flat":
            return Flat(parameters.bound)
        case _:
            return Quantile(parameters.bound, count_noise=max(Quantile.count_noise, noise))


def engine_of(parameters: PrivacyParameters, lengths: np.ndarray | None, *, batch: int):
    """The engine by its name."""
    match parameters.engine:
        case "book_keeping":
            return BookKeeping(lengths=lengths)
        case "one_by_one":
            return OneByOne()
        case "opacus_hooks":
            return OpacusGradients()
        case "opacus_functorch":
            return OpacusGradients(functorch=True)
        case _:
            return MicroBatches(max(1, batch // 32))
