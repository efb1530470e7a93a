"""Gradient-boosted trees: training them in one place, updating them gracefully, reading and writing XGBoost's JSON."""

from components.boosting.candidates import Candidate, CandidatePlan, candidates, retrain_with_other_seed
from components.boosting.model import model_digest
from components.boosting.modes import MODES, TrainingRecord, require_mode
from components.boosting.parameters import BoostingParameters
from components.boosting.pooled import predict, predict_margins, train_pooled

__all__ = [
    "MODES",
    "BoostingParameters",
    "Candidate",
    "CandidatePlan",
    "TrainingRecord",
    "candidates",
    "model_digest",
    "predict",
    "predict_margins",
    "require_mode",
    "retrain_with_other_seed",
    "train_pooled",
]
