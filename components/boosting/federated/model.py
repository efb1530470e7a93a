"""The model of a federated training, and how its text travels."""

import json
from typing import TYPE_CHECKING

import numpy as np

from components.boosting.document import class_order
from components.boosting.federated.agreement import Agreement
from components.boosting.federated.progress import Progress, best_round
from components.boosting.histogram import document_of
from components.federated import Content
from components.federated.frame import Json

if TYPE_CHECKING:
    import xgboost


def trained_document(agreement: Agreement, progress: Progress) -> dict:
    """The model's document, without sums; up to its best round where training was to stop early."""
    terms = agreement.terms(progress.terms)
    kept = len(progress.trees)
    if terms.parameters.early_stopping_rounds:
        kept = (best_round(progress.rounds) + 1) * terms.outputs
    scores, classes = np.array(progress.scores), class_order(agreement.schema_.label)
    return document_of(terms, scores, progress.trees[:kept], classes=classes, publish_sums=False)


def model_of(agreement: Agreement, progress: Progress) -> "xgboost.Booster":
    """The model itself."""
    # XGBoost takes a second to import, and an aggregator has no use for it.
    from components.boosting.model import from_document

    return from_document(trained_document(agreement, progress))


def written_model(text: str, **about: Json) -> Content:
    """A model's JSON text as it travels: a document has a limit that large models are beyond."""
    return Content(about, np.frombuffer(text.encode(), dtype=np.uint8))


def read_model(content: Content) -> "xgboost.Booster":
    """The model of a content."""
    from components.boosting.model import from_document

    return from_document(json.loads(content.array.tobytes()))
