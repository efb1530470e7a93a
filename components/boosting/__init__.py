"""Gradient-boosted trees: training them in one place, updating them gracefully, reading and writing XGBoost's JSON.

Names are fetched when they are asked for: parties of a training on shares need nothing of XGBoost, which takes seconds
to import.
"""

from importlib import import_module

_FROM = {
    "MODES": "modes",
    "BoostingParameters": "parameters",
    "Candidate": "candidates",
    "CandidatePlan": "candidates",
    "TrainingRecord": "modes",
    "model_digest": "model",
    "predict": "pooled",
    "predict_margins": "pooled",
    "require_mode": "modes",
    "retrain_with_other_seed": "candidates",
    "train_pooled": "pooled",
}

__all__ = list(_FROM)


def __getattr__(name: str):
    if name not in _FROM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_FROM[name]}"), name)
