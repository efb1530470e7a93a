"""Focal distillation: train the new model to agree with the old one, most where the old one was right.

The loss of a row is its usual loss plus w D(old, new), with w = strength (alpha + beta 1[old right]). Gradients and
hessians are in margins, in closed form, and depend on nothing but arrays, so any learner may use them. At temperature 1
the binary case, and squared loss always, are plain training on softened labels; no custom objective is needed.
Source: Yan et al., CVPR 2021 (focal distillation); Hinton et al. 2015 (T^2). Gradients and hessians are derived here.
"""

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import expit, softmax

SMALLEST_HESSIAN = 1e-16
"""XGBoost's own floor."""


class DistillationParameters(BaseModel):
    """How strongly, where, and in which distance the new model is held to the old one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    strength: float = Field(1.0, ge=0, le=1000, description="Lambda: weight of the pull to the old model; 0 is none.")
    alpha: float = Field(1.0, ge=0, le=100, description="Pull on every row.")
    beta: float = Field(5.0, ge=0, le=100, description="Further pull on rows the old model gets right.")
    temperature: float = Field(1.0, gt=0, le=1000, description="Softens both models' probabilities (kind focal).")
    scale_by_temperature_squared: bool = Field(
        True, description="Multiply the divergence by T^2, so that its pull does not fade as T grows."
    )
    kind: Literal["focal", "logit"] = Field(
        "focal", description="Distance: 'focal' is the KL divergence, 'logit' half the squared margin difference."
    )


def row_weights(old_right: np.ndarray, parameters: DistillationParameters) -> np.ndarray:
    """(n,) w = strength (alpha + beta 1[old right]); `old_right` (n,) bool is held-out correctness."""
    return parameters.strength * (parameters.alpha + parameters.beta * np.asarray(old_right, dtype=np.float64))


def soft_labels(labels: np.ndarray, old_scores: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) labels (y + w q) / (1 + w) and (n,) row weights 1 + w.

    Training on them has the gradient of the distilled loss: exactly so for cross-entropy with q the old probability at
    temperature 1, and for squared loss with q the old value.
    """
    return (labels + weights * old_scores) / (1 + weights), 1 + weights


def binary_derivatives(
    margins: np.ndarray,
    labels: np.ndarray,
    old_margins: np.ndarray,
    weights: np.ndarray,
    parameters: DistillationParameters,
) -> tuple[np.ndarray, np.ndarray]:
    """Gradient and hessian (n,) in the margin z of log-loss + w D, all arguments (n,).

    g = s(z) - y + w c/T (s(z/T) - s(z_old/T)) and h = s(z)(1 - s(z)) + w c/T^2 s(z/T)(1 - s(z/T)) for kind focal, with
    c = T^2 or 1; g = s(z) - y + w (z - z_old) and h = s(z)(1 - s(z)) + w for kind logit.
    """
    scores = expit(margins)
    gradient, hessian = scores - labels, scores * (1 - scores)
    if parameters.kind == "logit":
        return gradient + weights * (margins - old_margins), hessian + weights
    temperature, scale = parameters.temperature, _scale(parameters)
    soft, old = expit(margins / temperature), expit(old_margins / temperature)
    gradient += weights * scale / temperature * (soft - old)
    hessian += weights * scale / temperature**2 * soft * (1 - soft)
    return gradient, np.maximum(hessian, SMALLEST_HESSIAN)


def softmax_derivatives(
    margins: np.ndarray,
    labels: np.ndarray,
    old_margins: np.ndarray,
    weights: np.ndarray,
    parameters: DistillationParameters,
) -> tuple[np.ndarray, np.ndarray]:
    """Gradient and diagonal hessian (n, K) of cross-entropy + w D; margins (n, K), labels (n,) class index.

    As `binary_derivatives` per class, except that p(1 - p) is doubled, as XGBoost does: twice the diagonal bounds the
    full softmax hessian, so a step per class never overshoots.
    """
    scores, weights = softmax(margins, axis=1), weights[:, None]
    gradient, hessian = scores.copy(), 2 * scores * (1 - scores)
    gradient[np.arange(len(labels)), labels] -= 1
    if parameters.kind == "logit":
        return gradient + weights * (margins - old_margins), hessian + weights
    temperature, scale = parameters.temperature, _scale(parameters)
    soft, old = softmax(margins / temperature, axis=1), softmax(old_margins / temperature, axis=1)
    gradient += weights * scale / temperature * (soft - old)
    hessian += weights * scale / temperature**2 * 2 * soft * (1 - soft)
    return gradient, np.maximum(hessian, SMALLEST_HESSIAN)


def _scale(parameters: DistillationParameters) -> float:
    return parameters.temperature**2 if parameters.scale_by_temperature_squared else 1.0
