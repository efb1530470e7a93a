"""Gaussian noise on a sum of clipped gradients, on a grid, so that the last bits of a number tell nothing.

Noise in floating point leaves holes that depend on what it was added to (Mironov 2012). Here the sum and the noise are
each rounded to multiples of one step, a power of two that the data have no part in, and added as whole numbers: what is
released is round(noise) + k, which equals round(noise + k), a function of Gaussian noise on a sum of whole numbers.
Rounding moves a sum of d numbers by sqrt(d) step / 2 at most, hence two neighbouring ones apart by sqrt(d) step; the
noise is larger by just that, about one part in a million.

What is left, as in every DP-SGD: clipped gradients add up to their sum in single precision, with rounding errors near
1e-7 of what their sizes add up to, which the account leaves out. That no gradient is clipped too little for a norm that
was rounded down is seen to (`bookkeeping.rounding`).
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import Parameter

from components.privacy.randomness import Randomness

_FINENESS = 2.0**-20
"""Of the grid: what rounding may add to the sensitivity, relative to it."""


_PIECE = 1 << 15
"""Numbers at a time: they stay in the cache."""


@torch.no_grad()
def with_noise(
    total: Mapping[Parameter, Tensor],
    parameters: Sequence[Parameter],
    *,
    noise_multiplier: float,
    sensitivity: float,
    randomness: Randomness,
) -> dict[Parameter, Tensor]:
    """The sum plus noise of deviation noise_multiplier * sensitivity, for every parameter, used or not."""
    size = sum(parameter.numel() for parameter in parameters)
    step = 2.0 ** math.floor(math.log2(_FINENESS * sensitivity / math.sqrt(size)))
    deviation = noise_multiplier * (sensitivity + math.sqrt(size) * step) / step
    noisy = {}
    for parameter in parameters:
        noisy[parameter] = torch.empty_like(parameter, requires_grad=False)
        released = noisy[parameter].view(-1).split(_PIECE)
        given = total[parameter].reshape(-1).split(_PIECE) if parameter in total else [None] * len(released)
        for result, exact in zip(released, given, strict=True):
            whole = torch.from_numpy(randomness.normal(len(result))).mul_(deviation).round_()
            if exact is not None:
                whole += (exact.cpu().double() / step).round_()
            result.copy_(whole.mul_(step))
    return noisy
