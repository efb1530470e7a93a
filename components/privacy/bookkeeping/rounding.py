"""How much too small a squared norm may have come out, so that it is made larger by that and clips enough.

A sum of n products computed with unit roundoff u, in whatever order, is off by at most n u / (1 - n u) times the sum of
their absolute values (Higham 2002, section 3.1). For the terms of a squared norm, (a_s . a_t)(b_s . b_t), these add up
to no more than (sum_s |a_s| |b_s|)^2, here `reach` squared (Cauchy and Schwarz). Where gradients of positions cancel,
the norm is far below its reach, and single precision alone would leave it too small.
"""

import torch
from torch import Tensor

_SECOND_ORDER = 1.1
"""Covers 1 / (1 - n u), and that the reach is rounded itself, for all n below a million."""


def rounding(roundings: int, reach_squared: Tensor, kind: torch.dtype) -> Tensor:
    """(units,) by how much sums of `roundings` operations in a row in precision `kind` are too small at most.

    `reach_squared` (units,) is what the absolute values of their terms add up to.
    """
    return _SECOND_ORDER * roundings * torch.finfo(kind).eps / 2 * reach_squared.double()
