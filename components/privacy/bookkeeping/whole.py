"""A small parameter, of which each unit's gradient is simply kept: biases, the scales of a layer norm."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor
from torch.nn import Parameter


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
        return self.gradient.flatten(1).square().sum(1)

    def weighted_sums(self, weights: Tensor) -> Iterator[tuple[Parameter, Tensor]]:
        """sum_n w_n G_n; `weights` (units,)."""
        yield self.parameter, (weights @ self.gradient.flatten(1)).view_as(self.parameter)
