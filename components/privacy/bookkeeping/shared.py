"""Inner products of two uses of one parameter, for tied weights and layers that run more than once.

The gradient of a parameter is the sum over its uses, G = G' + G'', so |G|^2 = <G', G'> + 2 <G', G''> + <G'', G''>. With
inputs a, output gradients b and tokens i:

    linear and linear     sum_{s,t} (a'_s . a''_t)(b'_s . b''_t)
    table and table       sum_{s,t: i'_s = i''_t} b'_s . b''_t
    linear and table      sum_{s,t} (b'_s)_{i''_t} (a'_s . b''_t)      the output layer that is also the embedding
"""

from itertools import combinations

import torch
from torch import Tensor

from components.privacy.bookkeeping.affine import Affine
from components.privacy.bookkeeping.rounding import rounding
from components.privacy.bookkeeping.rows import Rows
from components.privacy.bookkeeping.whole import Whole

Use = Affine | Rows | Whole


def squared_norms_of_sum(uses: list[Use]) -> Tensor:
    """(units,) squared norms of the sum of several uses of one parameter, none below the exact one."""
    crossed = sum(_inner_products_at_most(one, other) for one, other in combinations(uses, 2))
    return sum(use.squared_norms() for use in uses) + 2 * crossed


def _inner_products_at_most(one: Use, other: Use) -> Tensor:
    found = inner_products(one, other).double()
    # Of the longer way to a term, then of the sum over all pairs of positions, in whatever precision it was made.
    roundings = max(one.roundings, other.roundings) + _positions(one) * _positions(other)
    return found + rounding(roundings, one.reach() * other.reach(), one.gradient.dtype)


def _positions(use: Use) -> int:
    return 1 if isinstance(use, Whole) else use.gradient.shape[1]


def inner_products(one: Use, other: Use) -> Tensor:
    """(units,) inner products of the gradients of two uses of one parameter."""
    match one, other:
        case Affine(), Affine():
            similar = one.inputs[0] @ other.inputs[0].transpose(1, 2)
            return (similar * (one.gradient @ other.gradient.transpose(1, 2))).sum((1, 2))
        case Rows(), Rows():
            equal = one.tokens[:, :, None] == other.tokens[:, None, :]
            return (equal * (one.gradient @ other.gradient.transpose(1, 2))).sum((1, 2))
        case Affine(), Rows():
            entry = one.gradient.gather(2, other.tokens[:, None, :].expand(-1, one.gradient.shape[1], -1))
            return (entry * (one.inputs[0] @ other.gradient.transpose(1, 2))).sum((1, 2))
        case Rows(), Affine():
            return inner_products(other, one)
        case _:
            return (whole(one) * whole(other)).flatten(1).sum(1)


def whole(use: Use) -> Tensor:
    """The gradients themselves, (units, *shape)."""
    match use:
        case Affine():
            return use.gradient.transpose(1, 2) @ use.inputs[0]
        case Rows():
            table = torch.zeros(
                len(use.tokens), *use.parameter.shape, dtype=use.gradient.dtype, device=use.gradient.device
            )
            return table.scatter_add_(1, use.tokens[:, :, None].expand_as(use.gradient), use.gradient)
        case _:
            return use.gradient
