"""A small parameter, of which each unit's gradient is simply kept: biases, the scales of a layer norm."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import Parameter

from components.privacy.bookkeeping.rounding import rounding


@dataclass(frozen=True)
class Whole:
    """Use of `parameter` with the gradients (units, *shape) themselves."""

    parameter: Parameter
    gradient: Tensor

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return (self.parameter,)

    def grouped(self, size: int) -> "Whole":
        """`size` consecutive units as one."""
        return Whole(self.parameter, self.gradient.unflatten(0, (-1, size)).sum(1))

    def parts(self) -> Iterator["Whole"]:
        yield self

    def squared_norms(self) -> Tensor:
        """(units,) squared norms, none below the exact one."""
        found = self.gradient.flatten(1).double().square().sum(1)
        return found + rounding(self.gradient[0].numel(), found, torch.float64)

    @property
    def roundings(self) -> int:
        return self.gradient[0].numel() + 1

    def reach(self) -> Tensor:
        """(units,) norms."""
        return torch.linalg.vector_norm(self.gradient.flatten(1), dim=1)

    def weighted_sums(self, weights: Tensor) -> Iterator[tuple[Parameter, Tensor]]:
        """sum_n w_n G_n; `weights` (units,)."""
        yield self.parameter, (weights @ self.gradient.flatten(1)).view_as(self.parameter)
