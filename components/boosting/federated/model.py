"""The model of a federated training, and how its text travels."""

import json

import numpy as np
import xgboost

from components.boosting.federated.agreement import Agreement
from components.boosting.federated.progress import Progress, best_round
from components.boosting.histogram import to_booster
from components.boosting.model import class_order, from_document
from components.federated import Content
from components.federated.frame import Json


def model_of(agreement: Agreement, progress: Progress, *, publish_sums: bool = False) -> xgboost.Booster:
    """The model, up to its best round where training was to stop early."""
    terms = agreement.terms(progress.terms)
    kept = len(progress.trees)
    if terms.parameters.early_stopping_rounds:
        kept = (best_round(progress.rounds) + 1) * terms.outputs
    booster = to_booster(terms, np.array(progress.scores), progress.trees[:kept], publish_sums=publish_sums)
    booster.set_attr(classes=class_order(agreement.schema_.label))
    return booster


def written_model(text: str, **about: Json) -> Content:
    """A model's JSON text as it travels: a document has a limit that large models are beyond."""
    return Content(about, np.frombuffer(text.encode(), dtype=np.uint8))


def read_model(content: Content) -> xgboost.Booster:
    """The model of a content."""
    return from_document(json.loads(content.array.tobytes()))
