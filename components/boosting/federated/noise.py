"""Noise on every sum of a training, which makes it (epsilon, delta)-differentially private for each person.

Each owner adds a part before it masks (`federated.noise`), so nobody ever sees a sum without it. Two sets of rows are
neighbours where one person's rows count for nothing in one of them; how many rows an owner has, which it says openly,
is no part of the promise. Rows that are trained on are in the counts for cut points, the sum of labels and one node of
every level of every tree; selection rows are other persons', in sums of losses alone, and have all of epsilon for them.
Source: Kairouz, Liu, Steinke 2021 (the noise); Bun and Steinke 2016 (adding up); Kairouz et al. 2021, "Practical and
Private (Deep) Learning without Sampling or Shuffling" (rows that count for nothing).
"""

import math
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from components.boosting.parameters import BoostingParameters
from components.errors import InvalidInput
from components.federated.batch import survivors_of
from components.federated.noise import LARGEST_DEVIATION
from components.federated.noise_account import NoisePlan, epsilon_of, plan_noise, rho_of
from components.federated.quantiles import CELLS, MOST_ROUNDS

FEWEST_BITS = 6
"""With coarser steps than a 64th of the largest gradient, rounding would be felt beside the noise."""

_FOR_CUTS, _FOR_LABELS = 0.1, 0.02
"""Parts of what may be spent."""

_SURE = 4.0
"""A cell counts as empty below so many deviations of the noise in it."""


class SumNoise(BaseModel):
    """What noise on sums is to promise each person."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epsilon: float = Field(
        gt=0, le=1000, description="By how much, as a factor e^epsilon, odds may shift; 1 is strict."
    )
    delta: float = Field(1e-6, gt=0, lt=1, description="The chance that more is lost; well below 1 / persons.")
    rows: int = Field(
        1, ge=1, le=10_000, description="Rows of one person that count at most; of who has more, the first do."
    )


@dataclass(frozen=True)
class NoiseOfTraining:
    """How much noise an owner adds to each kind of sum; `bits` are those of `Terms`."""

    noise: SumNoise
    bits: int
    plans: dict[str, NoisePlan]

    def deviation(self, kind: str) -> int:
        """Of one owner's part, in units of the ring."""
        return self.plans[kind].deviation

    def to_json(self) -> dict:
        """What is spent, and the deviation of the noise in a histogram, as a part of the largest gradient."""
        trained = sum(plan.rho for kind, plan in self.plans.items() if kind != "loss")
        parts = self.plans["tree"].contributors
        return {
            "epsilon": round(max(epsilon_of(rho, self.noise.delta) for rho in (trained, self.plans["loss"].rho)), 6),
            "delta": self.noise.delta,
            "rows_a_person": self.noise.rows,
            "counted_parts": parts,
            "deviation": self.deviation("tree") * math.sqrt(parts) / 2**self.bits,
        }


def counted_parts(roster: int, *, members: int, threshold: int) -> int:
    """Parts of noise that are there whoever is lost, and known neither to those who may collude nor to one owner more.

    An owner knows its own part, and sees what is made of the sums.
    """
    colluding = max(0, 2 * threshold - members - 1)
    return max(1, survivors_of(roster, members=members, threshold=threshold) - colluding - 1)


def noise_of(
    noise: SumNoise,
    parameters: BoostingParameters,
    *,
    features: int,
    searched: int,
    outputs: int,
    is_regression: bool,
    contributors: int,
) -> NoiseOfTraining:
    """The least noise with which a whole training keeps what is promised; `searched` features have no public edges.

    Raises
    ------
    InvalidInput
        It would be larger than anything could be learnt under.
    """
    rho = rho_of(noise.epsilon, noise.delta)
    drawn = max(1, int(parameters.colsample_bytree * features))
    for_cuts = _FOR_CUTS if searched else 0.0
    trees = parameters.rounds * outputs * parameters.max_depth
    share = rho * (1 - for_cuts - _FOR_LABELS)
    # A row is in one slot of each feature with a gradient and a hessian of one at most, in units of the largest.
    reach = noise.rows * math.sqrt(2 * drawn)
    needed = reach * math.sqrt(trees / (2 * share * contributors))
    bits = min(40, math.floor(math.log2(0.999 * LARGEST_DEVIATION / needed)))
    if bits < FEWEST_BITS:
        raise InvalidInput(
            f"noise for epsilon {noise.epsilon:g} over {trees} sums of histograms would have a deviation of "
            f"{needed * math.sqrt(contributors):,.0f} rows, under which nothing is learnt; ask for fewer rounds or "
            "less depth, or a larger epsilon"
        )
    unit, common = 2**bits, {"contributors": contributors, "length": CELLS * MOST_ROUNDS * max(1, features)}
    # The row itself is counted, and its class, or its label, which is no further from the middle than a quarter of the
    # largest gradient.
    label = noise.rows * math.hypot(1, unit / 4 if is_regression else 1)
    plans = {
        "labels": plan_noise(rho=rho * _FOR_LABELS, sensitivity=label, sums=1, **common),
        "tree": plan_noise(rho=share, sensitivity=reach * unit, sums=trees, **common),
        "loss": plan_noise(rho=rho, sensitivity=noise.rows * unit, sums=parameters.rounds, **common),
    }
    if searched:
        reach = noise.rows * math.sqrt(searched)
        plans["count"] = plan_noise(rho=rho * for_cuts, sensitivity=reach, sums=MOST_ROUNDS, **common)
    return NoiseOfTraining(noise, bits, plans)


def above_noise(counts: np.ndarray, deviation: float) -> np.ndarray:
    """Noisy counts (cells,), of which those that may well be noise alone are 0."""
    return np.where(counts > hidden_below(deviation), counts, 0)


def hidden_below(deviation: float) -> float:
    """How many rows a cell must have so as not to count as empty."""
    return _SURE * deviation


def first_rows(person: np.ndarray, most: int) -> np.ndarray:
    """Indices, ascending, of the first `most` rows of each person (n,)."""
    order = np.argsort(person, kind="stable")
    inside = person[order]
    begins = np.flatnonzero(np.append(True, inside[1:] != inside[:-1])) if len(person) else np.empty(0, np.int64)
    rank = np.arange(len(person)) - np.repeat(begins, np.diff(np.append(begins, len(person))))
    return np.sort(order[rank < most])
