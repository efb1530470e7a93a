"""Is the engine right on this model? Clipped sum and norms of a few units, against one backward pass each.

Rules are exact, but only of models that keep examples on the first axis and apart from one another. A model that does
not (positions first, a statistic over the batch) shows here, before the first step, in evaluation mode so that no
dropout differs.
"""

import torch
from torch import nn

from components.errors import InvalidInput
from components.privacy.clipping import Flat
from components.privacy.engines import Losses, MicroBatches, OneByOne
from components.privacy.randomness import Randomness
from components.privacy.units import Rows

UNITS = 3
TOLERANCE = 2e-3
"""Relative; single precision leaves about 1e-5."""


def verify_engine(engine, model: nn.Module, losses: Losses, rows: Rows, randomness: Randomness) -> None:
    """Compare on the first units of `rows`.

    Raises
    ------
    InvalidInput
        They differ; names the first parameter whose gradient does.
    """
    if isinstance(engine, OneByOne | MicroBatches):
        return
    few, clipping = rows.chosen(slice(0, UNITS)), Flat(1.0)
    modes = {layer: layer.training for layer in model.modules()}
    model.eval()
    try:
        found = engine.clipped_sum(model, losses, few, clipping, randomness)
        truth = OneByOne().clipped_sum(model, losses, few, clipping, randomness)
    finally:
        for layer, training in modes.items():
            layer.training = training
    for name, parameter in model.named_parameters():
        if parameter in truth.total:
            expected = truth.total[parameter]
            apart = (found.total.get(parameter, torch.zeros_like(expected)) - expected).norm()
            if not apart <= TOLERANCE * max(1e-3, float(expected.norm())):
                raise InvalidInput(
                    f"the gradients of parameter '{name}' by example differ from those of one example alone; keep "
                    "examples on the first axis of every layer and apart from one another"
                )
