"""The few figures of a model as a whole, by kind of label; intervals and groups are `components.fairness`'s."""

import numpy as np

from components.data.predictions import Predictions
from components.fairness.group_error import row_values
from components.reporting.roc import roc


def overall_measures(predictions: Predictions) -> dict[str, float]:
    """Error and log loss (classes), AUC (binary), mean absolute and root mean squared error (regression)."""
    measures = {"error": float(1 - predictions.right.mean())}
    if predictions.rule.kind == "regression":
        off = predictions.scores - predictions.labels
        return measures | {
            "mean_absolute_error": float(np.abs(off).mean()),
            "root_mean_squared_error": float(np.sqrt((off**2).mean())),
        }
    rows, _ = row_values(predictions, "log_loss")
    measures["log_loss"] = float(rows.mean())
    if predictions.rule.kind == "binary" and (curve := roc(predictions.labels, predictions.scores)):
        measures["auc"] = curve.area
    return measures
