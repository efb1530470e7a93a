"""Training networks that keep faith with the model they replace: focal distillation, logit matching, interpolation.

The pull of `components.compatibility.distillation`, for logits that autograd follows: one distance an example, so that
private training clips it with the example's own loss. `interpolate` needs no training at all: it walks the line from
the old weights to those of a model that was trained further from them.
Source: Yan et al., CVPR 2021 (focal distillation); Hinton et al. 2015 (T^2); Schumann et al., EACL 2024 (interpolate).
"""

from collections.abc import Mapping

import torch
from torch.nn import functional

from components.compatibility.distillation import DistillationParameters
from components.errors import InvalidInput


def focal_pull(
    logits: torch.Tensor, old_logits: torch.Tensor, old_right: torch.Tensor, parameters: DistillationParameters
) -> torch.Tensor:
    """(...,) w D(old, new) of (..., K) logits, w = strength (alpha + beta 1[old right]).

    D is the KL divergence of the softened probabilities, times T^2 if so asked (kind focal), or half the squared
    distance of the logits, each less its mean, which no softmax sees (kind logit).
    """
    weights = parameters.strength * (parameters.alpha + parameters.beta * old_right.to(logits.dtype))
    if parameters.kind == "logit":
        apart = logits - old_logits
        return weights * 0.5 * (apart - apart.mean(dim=-1, keepdim=True)).square().sum(dim=-1)
    temperature = parameters.temperature
    new, old = (functional.log_softmax(each / temperature, dim=-1) for each in (logits, old_logits))
    scale = temperature**2 if parameters.scale_by_temperature_squared else 1.0
    return weights * scale * (old.exp() * (old - new)).sum(dim=-1)


def interpolate(
    old: Mapping[str, torch.Tensor], new: Mapping[str, torch.Tensor], share: float
) -> dict[str, torch.Tensor]:
    """Weights (1 - share) old + share new, by name; `share` 0 is the old model and 1 the new one.

    Raises
    ------
    InvalidInput
        The share is outside [0, 1], or the models differ in a weight's name or shape.
    """
    if not 0 <= share <= 1:
        raise InvalidInput(f"share is {share}; it must be between 0 (the old model) and 1 (the new one)")
    if unlike := sorted(set(old) ^ set(new)):
        raise InvalidInput(f"weight '{unlike[0]}' is in one of the two models alone; interpolate models of one kind")
    for name, weight in old.items():
        if weight.shape != new[name].shape:
            raise InvalidInput(
                f"weight '{name}' is {tuple(weight.shape)} in the old model and {tuple(new[name].shape)} in the new "
                "one; interpolate models of one size"
            )
    return {name: torch.lerp(weight, new[name].to(weight.dtype), share) for name, weight in old.items()}
