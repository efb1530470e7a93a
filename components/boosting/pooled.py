"""Training on rows that lie in one place: the baseline of every other mode, and their oracle in tests.

The matrix is quantised straight from the table's float32 columns (`QuantileDMatrix`), which spares XGBoost's own copy
of the data. What comes out is a plain model: its own `predict` gives probabilities, with no iteration range to know.
Source: Chen and Guestrin, KDD 2016; Ke et al., NeurIPS 2017 (histograms).
"""

from collections.abc import Callable

import numpy as np
import xgboost

from components.boosting.document import class_order
from components.boosting.model import require_fits, up_to_best
from components.boosting.parameters import MAX_BIN, BoostingParameters
from components.data.table import Table
from components.errors import InvalidInput
from components.uninterrupted import uninterrupted

CURVE_POINTS = 20
"""Rounds at which the validation rows are measured for a learning curve; at every one it would cost a tenth more."""

Progress = Callable[[int, int, float], None]
"""Called after each round with rounds done, rounds at most, and the validation metric (NaN where not measured)."""

Objective = Callable[[np.ndarray, xgboost.DMatrix], tuple[np.ndarray, np.ndarray]]
"""Margins (n,) or (n, K) → gradient and hessian of the same shape."""


def train_pooled(
    table: Table,
    parameters: BoostingParameters,
    *,
    validation: Table | None = None,
    weights: np.ndarray | None = None,
    progress: Progress | None = None,
) -> xgboost.Booster:
    """Train on a table; the same table, parameters (`threads` among them) and versions give the same model.

    `validation` rows choose when to stop and are not trained on; `weights` (n,) count a row as that many.

    Raises
    ------
    InvalidInput
        No rows, or early stopping without validation rows.
    """
    return fit(table, parameters, validation=validation, weights=weights, progress=progress)


def fit(
    table: Table,
    parameters: BoostingParameters,
    *,
    labels: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    validation: Table | None = None,
    objective: Objective | None = None,
    intercept: np.ndarray | None = None,
    start: xgboost.Booster | None = None,
    progress: Progress | None = None,
) -> xgboost.Booster:
    """`train_pooled` with what updates vary: soft `labels` (n,), a custom `objective`, a model to `start` from.

    With a custom objective the standard one is declared all the same: XGBoost then hands over margins, yet saves a
    model whose `predict` gives probabilities. It does not estimate an intercept, so one is given on the scale of
    `base_score` (a probability for binary).
    """
    if len(table) == 0:
        raise InvalidInput(f"table '{table.schema.name}' has no rows to train on")
    if parameters.early_stopping_rounds and validation is None:
        raise InvalidInput(
            f"early_stopping_rounds is {parameters.early_stopping_rounds} but there are no validation rows to stop by; "
            "hold some out, or leave early_stopping_rounds empty"
        )
    settings = parameters.to_xgboost(table.schema.label)
    if intercept is not None:
        settings["base_score"] = intercept.tolist()
    train = _matrix(
        xgboost.QuantileDMatrix,
        table,
        labels,
        weights,
        nthread=parameters.threads,
        max_bin=parameters.max_bin or MAX_BIN,
    )
    stopping = parameters.early_stopping_rounds
    held_out = _matrix(xgboost.DMatrix, validation, nthread=parameters.threads) if validation else None
    callbacks = [xgboost.callback.EarlyStopping(rounds=stopping)] if stopping else []
    if progress:
        callbacks.append(_Report(progress, parameters.rounds, None if stopping else held_out))
    booster = xgboost.train(
        settings,
        train,
        parameters.rounds,
        evals=[(held_out, "validation")] if stopping else [],
        obj=objective,
        # As bytes: a live booster would bring its own settings and leave the random state where the last training did.
        xgb_model=start and bytearray(start.save_raw("ubj")),
        callbacks=callbacks,
        verbose_eval=False,
    )
    booster = up_to_best(booster)
    booster.set_attr(classes=class_order(table.schema.label))
    return booster


def predict(booster: xgboost.Booster, table: Table) -> np.ndarray:
    """Probabilities of the positive class (n,), of every class (n, K), or values (n,) for regression.

    Raises
    ------
    InvalidInput
        The model was trained on other features.
    """
    require_fits(booster, table)
    return booster.inplace_predict(table.features)


def predict_margins(booster: xgboost.Booster, table: Table) -> np.ndarray:
    """Like `predict`, before the link: log-odds (n,), class logits (n, K), or values (n,)."""
    require_fits(booster, table)
    return booster.inplace_predict(table.features, predict_type="margin")


def _matrix(kind, table: Table, labels=None, weights=None, **options) -> xgboost.DMatrix:
    features, labels = table.features, table.labels if labels is None else labels
    with uninterrupted():
        return kind(
            features,
            labels,
            weight=weights,
            feature_names=list(table.schema.features),
            feature_types=table.feature_types,
            enable_categorical=True,
            **options,
        )


class _Report(xgboost.callback.TrainingCallback):
    """Reports every round; measures `held_out` at some of them, where early stopping does not measure all anyway."""

    def __init__(self, progress: Progress, total: int, held_out: xgboost.DMatrix | None):
        super().__init__()
        self.progress, self.total, self.held_out = progress, total, held_out
        self.every = -(-total // CURVE_POINTS)

    def after_iteration(self, model, epoch: int, evals_log: dict) -> bool:
        done, metric = epoch + 1, float("nan")
        if metrics := evals_log.get("validation"):
            metric = next(iter(metrics.values()))[-1]
        elif self.held_out is not None and (done % self.every == 0 or done == self.total):
            metric = float(model.eval_set([(self.held_out, "validation")], epoch).rsplit(":", 1)[1])
        self.progress(done, self.total, metric)
        return False
