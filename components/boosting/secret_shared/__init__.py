"""Boosting on shares: what is public (`Agreement`), what a party brings (`Holding`), training, opening, prediction."""

from components.boosting.secret_shared.agreement import Agreement, Block, FeatureShape
from components.boosting.secret_shared.opened import OPENED, OpenedModel, open_model
from components.boosting.secret_shared.predict import predict_margins
from components.boosting.secret_shared.train import LEAKAGE, SharedModel, State, train
from components.boosting.secret_shared.view import Holding, Rows

__all__ = [
    "LEAKAGE",
    "OPENED",
    "Agreement",
    "Block",
    "FeatureShape",
    "Holding",
    "OpenedModel",
    "Rows",
    "SharedModel",
    "State",
    "open_model",
    "predict_margins",
    "train",
]
