"""The terms of a training: all that owners and planner know before any row is looked at, and the scale it implies.

Gradients are summed as whole numbers, since a sum of whole numbers is the same in any order and over any division of
the rows, bit for bit, and can be masked. How fine they are follows from the declared maximum of rows: the largest sum
stays below 2^62, so that 64 bits never overflow and a bit is left for noise.
"""

import math
from dataclasses import dataclass
from functools import cached_property

from components.boosting.histogram.cuts import Cuts
from components.boosting.parameters import LINKS, BoostingParameters
from components.errors import InvalidInput

SUM_BITS = 62

LARGEST_LOGARITHM = 37.0
"""-log of the smallest probability a loss is computed with, 1e-16."""

HESSIAN_BOUND = {"binary:logistic": 0.25, "multi:softprob": 0.5, "reg:squarederror": 1.0}
"""No row's second derivative is larger."""


@dataclass(frozen=True)
class Terms:
    """What is public; see the module.

    `rows` are the most that all owners may bring together, trained on and held out; `outputs` the trees of a round: 1,
    or the number of classes; `label_range` public bounds of a regression label. `bits`, where noise will be added: the
    largest gradient, hessian and loss of a row have 2^`bits` steps, and what is larger counts as that.

    Raises
    ------
    InvalidInput
        An objective without derivatives here, or a label range without width.
    """

    cuts: Cuts
    objective: str
    parameters: BoostingParameters
    rows: int
    outputs: int = 1
    label_range: tuple[float, float] = (0.0, 1.0)
    bits: int | None = None

    def __post_init__(self):
        if self.objective not in LINKS:
            raise InvalidInput(f"objective is '{self.objective}'; choose one of {', '.join(LINKS)}")
        low, high = self.label_range
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise InvalidInput(f"label_range is ({low:g}, {high:g}); give the least and the largest label, unequal")
        if (self.objective == "multi:softprob") != (self.outputs > 1):
            raise InvalidInput(f"outputs is {self.outputs} with {self.objective}; give the number of classes, or 1")

    @property
    def gradient_bound(self) -> float:
        """No gradient may be larger; with squared error margins may leave the labels' range by its width."""
        low, high = self.label_range
        return 2 * (high - low) if self.objective == "reg:squarederror" else 1.0

    @property
    def loss_bound(self) -> float:
        """No row's loss is larger."""
        return self.gradient_bound**2 if self.objective == "reg:squarederror" else LARGEST_LOGARITHM

    @cached_property
    def scales(self) -> tuple[float, float]:
        """Steps that one unit of gradient, and of hessian, is divided into: powers of two."""
        return self._scale(self.gradient_bound), self._scale(HESSIAN_BOUND[self.objective])

    @property
    def steps(self) -> tuple[float, float]:
        """The gradient, and hessian, of one step."""
        return 1 / self.scales[0], 1 / self.scales[1]

    @cached_property
    def loss_scale(self) -> float:
        """Steps that one unit of loss is divided into."""
        return self._scale(self.loss_bound)

    def _scale(self, bound: float) -> float:
        finest = SUM_BITS - self.rows.bit_length()
        bits = finest if self.bits is None else min(self.bits, finest)
        return 2.0 ** (bits - math.ceil(math.log2(bound)))

    def require_rows(self, rows: int) -> None:
        """Raise `InvalidInput` where rows are more than declared, for their sums could overflow."""
        if rows > self.rows:
            raise InvalidInput(
                f"there are {rows} rows, but at most {self.rows} were declared and sums could overflow; declare more"
            )
