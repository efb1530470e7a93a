"""Units that remember how many were sampled in each step, and each unit how often, for the judgement of sampling."""

from dataclasses import dataclass, field

import numpy as np

from components.privacy.randomness import Randomness
from components.privacy.units import Rows, Units


@dataclass
class Watched:
    """`units`, whose samples are counted; `unit_of` (n,) is the number of each row's unit.

    `in_step` grows by a count a step, `of_unit` (units,) are those of the units: who was in which step is not kept.
    """

    units: Units
    unit_of: np.ndarray
    in_step: list[int] = field(default_factory=list)
    of_unit: np.ndarray = field(init=False)

    def __post_init__(self):
        self.of_unit = np.zeros(self.units.count, dtype=np.int64)

    @property
    def name(self) -> str:
        return self.units.name

    @property
    def count(self) -> int:
        return self.units.count

    def sample(self, rate: float, randomness: Randomness) -> Rows:
        rows = self.units.sample(rate, randomness)
        present = np.unique(self.unit_of[rows.rows[:, 0]])
        self.in_step.append(len(present))
        self.of_unit[present] += 1
        return rows
