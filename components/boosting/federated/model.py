"""The model of a federated training, and how its text travels."""

import json
import zlib
from typing import TYPE_CHECKING

import numpy as np

from components.boosting.document import class_order
from components.boosting.federated.agreement import Agreement
from components.boosting.federated.progress import Progress, best_round
from components.boosting.histogram import document_of
from components.errors import InvalidInput
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


LARGEST_MODEL = 2 << 30
"""Octets of a model's text; what a few that arrive may be blown up to."""


def written_model(text: str, **about: Json) -> Content:
    """A model's JSON text as it travels: packed, since a message has a limit that texts of large models are beyond."""
    return Content(about, np.frombuffer(zlib.compress(text.encode(), 1), dtype=np.uint8))


def text_of(content: Content) -> str:
    """The text of a model that travelled; raises `InvalidInput` where it is not whole, or larger than any may be."""
    unpacked = zlib.decompressobj()
    try:
        text = unpacked.decompress(content.array.tobytes(), LARGEST_MODEL).decode()
    except (AttributeError, zlib.error, UnicodeDecodeError):
        raise InvalidInput("the aggregator told a model that cannot be read; do not trust it") from None
    if not unpacked.eof:
        raise InvalidInput("the aggregator told a model that is not whole, or larger than any may be; do not trust it")
    return text


def read_model(content: Content) -> "xgboost.Booster":
    """The model of a content."""
    from components.boosting.model import from_document

    return from_document(json.loads(text_of(content)))
