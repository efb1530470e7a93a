"""Looking up rows of a table: a unit's gradient has as many rows that are not zero as it has different tokens.

With output gradients b_s of tokens i_s a unit's gradient of row v is g_v = sum_{s: i_s = v} b_s, and |G|^2 = sum_v
|g_v|^2: the b_s of equal tokens are added up before they are squared. Nothing of the table's size is made for a unit.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import Parameter

from components.privacy.bookkeeping.affine import joined
from components.privacy.bookkeeping.rounding import rounding


@dataclass(frozen=True)
class Rows:
    """Use of a table `parameter` (V, d) at `tokens` (units, S) with output `gradient` (units, S, d)."""

    parameter: Parameter
    tokens: Tensor
    gradient: Tensor

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return (self.parameter,)

    def grouped(self, size: int) -> "Rows":
        """`size` consecutive units as one."""
        return Rows(self.parameter, joined(self.tokens, size), joined(self.gradient, size))

    def parts(self) -> Iterator["Rows"]:
        yield self

    def squared_norms(self) -> Tensor:
        """(units,) squared norms, none below the exact one; equal tokens of a unit find one another by sorting."""
        units, positions = self.tokens.shape
        ordered, order = self.tokens.sort(dim=1)
        starts = torch.ones_like(ordered, dtype=torch.bool)
        starts[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
        number = (starts.flatten().cumsum(0) - 1).view(units, positions)
        different = torch.empty_like(number).scatter_(1, order, number)
        width = self.gradient.shape[2]
        given = self.gradient.reshape(-1, width).double()
        added = given.new_zeros(int(starts.sum()), width).index_add_(0, different.flatten(), given)
        unit = starts.nonzero()[:, 0]
        found = given.new_zeros(units).index_add_(0, unit, added.square().sum(1))
        return found + rounding(3 * positions + width, self.reach().square(), torch.float64)

    @property
    def roundings(self) -> int:
        return self.gradient.shape[2] + 3

    def reach(self) -> Tensor:
        """(units,) sum_s |b_s|, the most that the norm can be."""
        return torch.linalg.vector_norm(self.gradient, dim=2).sum(1)

    def weighted_sums(self, weights: Tensor) -> Iterator[tuple[Parameter, Tensor]]:
        """sum_n w_n G_n; `weights` (units,)."""
        weighted = (self.gradient * weights[:, None, None]).reshape(-1, self.gradient.shape[2])
        yield self.parameter, torch.zeros_like(self.parameter).index_add_(0, self.tokens.flatten(), weighted)
