"""Linear maps over positions: norms from Gram matrices, the clipped sum as one product (Bu et al., 2210.00038).

Of y_s = W a_s + c, s = 1 .. S, with output gradients b_s, a unit's gradient is G = sum_s b_s a_s^T and sum_s b_s for
the bias. Its norm needs no G,

    |G|^2 = sum_{s,t} (a_s . a_t)(b_s . b_t)        "ghost norm", S^2 (d + p) operations
    |G|^2 = sum_ij G_ij^2                            "direct", S d p operations and d p numbers,

the cheaper of which is taken; the sum over units with weights w is sum_n w_n G_n = sum_{n,s} b_ns (w_n a_ns)^T.
Inner products are in single precision as the model is, and a norm is made larger by what that may have cost it
(`rounding`): no norm is below the exact one of these a and b.
A bias is an input that is 1 everywhere, so each adds 1 to a_s . a_t. Several inputs of one output (an LSTM's x and h)
share b_s . b_t.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import Parameter

from components.privacy.bookkeeping.gram import lower_gram, sum_of_products
from components.privacy.bookkeeping.rounding import rounding
from components.privacy.bookkeeping.whole import Whole

DIRECT_NUMBERS = 1 << 22
"""Numbers of materialised gradients at a time: 32 MiB in double precision."""


@dataclass(frozen=True)
class Affine:
    """Use of weights (p, d_k) on `inputs` (units, S, d_k), and of biases (p,), with output `gradient` (units, S, p)."""

    weights: tuple[Parameter, ...]
    inputs: tuple[Tensor, ...]
    biases: tuple[Parameter, ...]
    gradient: Tensor

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return self.weights + self.biases

    def grouped(self, size: int) -> "Affine":
        """`size` consecutive units as one, which has the positions of all."""
        return replace(
            self, inputs=tuple(joined(values, size) for values in self.inputs), gradient=joined(self.gradient, size)
        )

    def parts(self) -> Iterator["Affine | Whole"]:
        """One use for each parameter."""
        for weight, values in zip(self.weights, self.inputs, strict=True):
            yield Affine((weight,), (values,), (), self.gradient)
        for bias in self.biases:
            yield Whole(bias, self.gradient.sum(1))

    def squared_norms(self) -> Tensor:
        """(units,) squared norms of the gradient of all its parameters together, none below the exact one."""
        positions, width = self.gradient.shape[1:]
        if positions == 1:
            return self._single_position()
        ghost = positions * (width + sum(values.shape[2] for values in self.inputs))
        direct = width * sum(values.shape[2] for values in self.inputs)
        return self._ghost() if ghost < direct or not self.inputs else self._direct()

    @property
    def roundings(self) -> int:
        """Operations in a row that lead to a term of the squared norm: two inner products, then their product."""
        return self.gradient.shape[2] + sum(values.shape[2] + 1 for values in self.inputs) + 3

    def reach(self) -> Tensor:
        """(units,) sum_s |a_s| |b_s|, the most that the norm can be."""
        squares = sum(torch.linalg.vector_norm(values, dim=2).square() for values in self.inputs)
        return ((squares + float(len(self.biases))) ** 0.5 * torch.linalg.vector_norm(self.gradient, dim=2)).sum(1)

    def weighted_sums(self, weights: Tensor) -> Iterator[tuple[Parameter, Tensor]]:
        """sum_n w_n G_n for each parameter; `weights` (units,)."""
        time_first = not self.gradient.is_contiguous()
        gradient = flat(self.gradient * weights[:, None, None], time_first)
        for parameter, values in zip(self.weights, self.inputs, strict=True):
            yield parameter, gradient.t() @ flat(values, time_first)
        total = gradient.sum(0) if self.biases else None
        for bias in self.biases:
            yield bias, total.clone()

    def _single_position(self) -> Tensor:
        ones = float(len(self.biases))
        found = self.gradient[:, 0].square().sum(1) * (sum(v[:, 0].square().sum(1) for v in self.inputs) + ones)
        return found.double() + rounding(self.roundings, found, found.dtype)

    def _ghost(self) -> Tensor:
        similar = torch.full_like(self.gradient[:, :1, :1], len(self.biases))
        for values in self.inputs:
            similar = similar + lower_gram(values)
        found = sum_of_products(similar, lower_gram(self.gradient))
        return found + rounding(self.roundings, self.reach().square(), self.gradient.dtype)

    def _direct(self) -> Tensor:
        """In double precision: over many positions single precision would cost a norm too much."""
        gradient = self.gradient.double()
        total = len(self.biases) * gradient.sum(1).square().sum(1)
        for values in self.inputs:
            step = max(1, DIRECT_NUMBERS // (values.shape[2] * gradient.shape[2]))
            chunks = zip(gradient.split(step), values.double().split(step), strict=True)
            total = total + torch.cat([(b.transpose(1, 2) @ a).square().sum((1, 2)) for b, a in chunks])
        positions, width = gradient.shape[1:]
        entries = max((values.shape[2] for values in self.inputs), default=1) * width
        return total + rounding(2 * positions + entries, self.reach().square(), torch.float64)


def joined(values: Tensor, size: int) -> Tensor:
    """(units, S, …) → (units / size, size S, …)."""
    return values.reshape(len(values) // size, size * values.shape[1], *values.shape[2:])


def flat(values: Tensor, time_first: bool) -> Tensor:
    """(units, S, d) → (units S, d), in the order in which it lies in memory."""
    return (values.transpose(0, 1) if time_first else values).reshape(-1, values.shape[2])
