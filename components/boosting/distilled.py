"""Focal distillation of boosted trees: the losses of `components.compatibility.distillation`, trained with XGBoost.

Where the distilled loss equals plain training on softened labels that road is taken; elsewhere XGBoost is handed
gradients. Either way the saved model declares the standard objective, so `predict` gives probabilities.
"""

import numpy as np
import xgboost
from scipy.special import expit

from components.boosting.model import require_updatable
from components.boosting.parameters import BoostingParameters
from components.boosting.pooled import Objective, Progress, fit, predict, predict_margins
from components.compatibility.distillation import (
    DistillationParameters,
    binary_derivatives,
    row_weights,
    soft_labels,
    softmax_derivatives,
)
from components.data.schema import BinaryLabel, RegressionLabel
from components.data.table import Table


def train_distilled(
    champion: xgboost.Booster,
    table: Table,
    parameters: BoostingParameters,
    distillation: DistillationParameters,
    *,
    old_right: np.ndarray,
    validation: Table | None = None,
    progress: Progress | None = None,
) -> xgboost.Booster:
    """A new model on `table`, held to the champion most where `old_right` (n,) bool says it was right.

    `old_right` is the champion's held-out correctness (`held_out_correctness`). Validation rows are judged by the plain
    loss.

    Raises
    ------
    InvalidInput
        The champion has other features or another label.
    """
    require_updatable(champion, table)
    label, weights = table.schema.label, row_weights(old_right, distillation)
    shared = {"validation": validation, "progress": progress}
    soft = isinstance(label, BinaryLabel) and distillation.kind == "focal" and distillation.temperature == 1
    if soft or isinstance(label, RegressionLabel):
        labels, row_counts = soft_labels(table.labels, predict(champion, table), weights)
        return fit(table, parameters, labels=labels, weights=row_counts, **shared)

    derivatives = binary_derivatives if isinstance(label, BinaryLabel) else softmax_derivatives
    old_margins, labels = predict_margins(champion, table), table.labels

    def objective(margins: np.ndarray, _: xgboost.DMatrix) -> tuple[np.ndarray, np.ndarray]:
        return derivatives(margins, labels, old_margins, weights, distillation)

    constant = _best_constant(objective, old_margins.shape)
    intercept = expit(constant) if isinstance(label, BinaryLabel) else constant
    return fit(table, parameters, objective=objective, intercept=intercept, **shared)


def _best_constant(objective: Objective, shape: tuple[int, ...]) -> np.ndarray:
    """The margin, () or (K,), that a model without trees would choose, by Newton steps."""
    constant = np.zeros(shape[1:])
    for _ in range(10):
        gradient, hessian = objective(np.broadcast_to(constant, shape), None)
        constant = constant - gradient.sum(axis=0) / hessian.sum(axis=0)
    return constant
