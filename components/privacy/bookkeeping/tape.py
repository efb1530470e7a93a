"""What one backward pass leaves behind: a use of parameters for each call of a layer, and what follows from all uses.

Clipping needs two things of it, the norm of each unit's gradient and then the sum of gradients under weights that come
from the norms. Both are sums over uses, save that a parameter used more than once has a norm of its own.
"""

from collections import Counter, defaultdict

import torch
from torch import Tensor
from torch.nn import Parameter

from components.privacy.bookkeeping.shared import Use, squared_norms_of_sum


class Tape:
    """The uses of a batch of `examples`, `unit` consecutive ones of which count as one in norms and weights."""

    def __init__(self, examples: int, *, unit: int = 1):
        self.examples = examples
        self._unit = unit
        self._uses: list[Use] = []

    def note(self, use: Use) -> None:
        """Add a use, whose first axis is the examples."""
        self._uses.append(use.grouped(self._unit) if self._unit > 1 else use)

    @torch.no_grad()
    def norms(self) -> Tensor:
        """(units,) norms of the gradient of each unit, in double precision, and none below the exact one."""
        times = Counter(parameter for use in self._uses for parameter in use.parameters)
        total = torch.zeros(self.examples // self._unit, dtype=torch.float64)
        several = defaultdict(list)
        for use in self._uses:
            if all(times[parameter] == 1 for parameter in use.parameters):
                total += use.squared_norms().to(total)
                continue
            for part in use.parts():
                several[part.parameters[0]].append(part)
        for uses in several.values():
            total += squared_norms_of_sum(uses).to(total)
        # Uses that cancel one another may add up to just below zero.
        return total.clamp_(min=0).sqrt_()

    @torch.no_grad()
    def weighted_sum(self, weights: Tensor) -> dict[Parameter, Tensor]:
        """sum_n w_n G_n for each parameter that was used; `weights` (units,)."""
        total: dict[Parameter, Tensor] = {}
        for use in self._uses:
            for parameter, gradient in use.weighted_sums(weights.to(use.gradient)):
                total[parameter] = total[parameter].add_(gradient) if parameter in total else gradient
        return total
