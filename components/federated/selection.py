"""Which owners take part in a round, where there are too many to ask all of them every time.

Uniform selection gives every owner the same chance; selection by activity gives a chance that grows with the number of
rows an owner has at the time, which finds more to learn from in fewer rounds; a mixture does a part of each. An owner
is chosen with exactly its probability (systematic sampling over a shuffled order), so sums can be weighted back.
Source: Dupuy et al., "Learnings from federated learning in the real world", ICASSP 2022; Madow, Annals of Mathematical
Statistics 20 (1949).
"""

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field


class Selection(BaseModel):
    """How many owners take part in a round, and how they are chosen; what is known of each is its number of rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: Literal["uniform", "activity", "mixture"] = Field("uniform", description="What an owner's chance depends on.")
    owners: int = Field(ge=2, description="Owners a round.")
    uniform_share: float = Field(0.5, ge=0, le=1, description="Part of a mixture that is uniform.")
    seed: int = Field(0, ge=0, lt=2**31, description="Seed of the draws.")


def inclusion_probabilities(activity: np.ndarray, selection: Selection) -> np.ndarray:
    """Each owner's chance (N,) to take part in a round, from its rows (N,); who has none is not asked.

    They add up to `selection.owners`, or to the number of owners with rows where there are fewer.
    """
    active = activity > 0
    wanted = min(selection.owners, int(active.sum()))
    uniform = active / max(1, active.sum())
    by_rows = activity / max(1, activity.sum())
    part = {"uniform": 1.0, "activity": 0.0, "mixture": selection.uniform_share}[selection.by]
    weights = part * uniform + (1 - part) * by_rows
    chances = np.zeros(len(activity))
    # Whoever is due more than a whole place has one for sure, and the rest share what is left.
    open_to = weights > 0
    while open_to.any():
        places = wanted - (chances == 1).sum()
        chances[open_to] = weights[open_to] / weights[open_to].sum() * places
        sure = open_to & (chances >= 1)
        chances[sure] = 1
        open_to &= ~sure
        if not sure.any():
            break
    return chances


def choose(activity: np.ndarray, selection: Selection, number: int) -> np.ndarray:
    """The owners (m,), ascending, of round `number`; the same for the same seed, round and activity."""
    chances = inclusion_probabilities(activity, selection)
    random = np.random.default_rng([selection.seed, number])
    order = random.permutation(len(chances))
    reached = np.cumsum(chances[order])
    if not len(reached) or reached[-1] == 0:
        return np.empty(0, dtype=np.int64)
    # The total is whole but for rounding, which must not decide about the last place.
    reached *= round(reached[-1]) / reached[-1]
    steps = np.floor(reached - random.random())
    return np.sort(order[np.diff(steps, prepend=-1) > 0])
