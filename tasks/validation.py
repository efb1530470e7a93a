"""The gate's bounds in MLflow's own terms, so that `mlflow.validate_evaluation_results` comes to the same end.

Whoever has only MLflow at hand can then see that a candidate is within its policy. MLflow compares one plain number
with one threshold and knows no interval, no group and no third verdict, so it is given the bound that decided, a metric
for each check, and infinity where no bound did; it follows the gate and never replaces it.
"""

from math import inf, isnan

import mlflow
from mlflow.models import EvaluationResult, MetricThreshold
from mlflow.models.evaluation.validation import ModelValidationFailedException

from components.gates import Check, Outcome, Verdict

FILE = "mlflow_validation.json"
"""Artifact of the gate's run: every bound and its threshold."""


def bounds_of(verdict: Verdict) -> dict[str, tuple[float, float]]:
    """Of every check the bound that decided and its budget, by `check.subject`; no NaN.

    A check that passes unless shown to be beyond its budget is decided by its lower bound, any other by its upper one.
    What did not pass though its bound is within the budget (too few rows, a group that is gone) is infinite.
    """
    # Two checks may ask the same of one subject: the one that did not pass comes last and stays.
    passes_first = sorted(verdict.checks, key=lambda check: check.outcome is not Outcome.PASS)
    return {f"{check.name}.{check.subject}": (_bound(check), check.budget) for check in passes_first}


def is_valid_to_mlflow(bounds: dict[str, tuple[float, float]]) -> bool:
    """Whether MLflow's validation lets every bound pass; where nothing was checked nothing was shown."""
    if not bounds:
        return False
    thresholds = {
        name: MetricThreshold(threshold=float(budget), greater_is_better=False) for name, (_, budget) in bounds.items()
    }
    result = EvaluationResult(metrics={name: float(bound) for name, (bound, _) in bounds.items()}, artifacts={})
    try:
        mlflow.validate_evaluation_results(thresholds, result)
    except ModelValidationFailedException:
        return False
    return True


def _bound(check: Check) -> float:
    if check.outcome is not Outcome.PASS:
        return check.upper if check.upper > check.budget else inf
    bound = check.lower if check.upper > check.budget else check.upper
    # MLflow takes no NaN: of what cannot be counted the outcome alone is known.
    return check.budget if isnan(bound) else bound
