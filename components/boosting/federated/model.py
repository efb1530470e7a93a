"""The model of a federated training, which everybody makes of the trees it knows, and how a model's text travels."""

import hashlib
import json
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from components.boosting.document import class_order
from components.boosting.federated.agreement import Agreement
from components.boosting.federated.progress import Progress, best_round
from components.boosting.histogram import Terms, Tree, document_of
from components.errors import InvalidInput
from components.federated import Content
from components.federated.frame import Json

if TYPE_CHECKING:
    import xgboost


def kept_trees(agreement: Agreement, progress: Progress) -> int:
    """How many trees the model has: those up to its best round where training was to stop early."""
    if agreement.parameters.early_stopping_rounds:
        return (best_round(progress.rounds) + 1) * agreement.outputs
    return len(progress.trees)


def text_of_trees(agreement: Agreement, terms: Terms, scores: Sequence[float], trees: Sequence[Tree]) -> str:
    """The model's JSON text, without sums: the same for whoever knows splits, leaves and (outputs,) base scores."""
    classes = class_order(agreement.schema_.label)
    document = document_of(terms, np.array(scores), trees, classes=classes, publish_sums=False)
    return json.dumps(document, separators=(",", ":"))


def trained_text(agreement: Agreement, progress: Progress) -> str:
    """The text of the model that a training came to."""
    terms, trees = agreement.terms(progress.terms), progress.trees[: kept_trees(agreement, progress)]
    return text_of_trees(agreement, terms, progress.scores, trees)


def digest_of(text: str) -> str:
    """What names a model's text."""
    return hashlib.sha256(text.encode()).hexdigest()


def model_of(agreement: Agreement, progress: Progress) -> "xgboost.Booster":
    """The model itself."""
    # XGBoost takes a second to import, and an aggregator has no use for it.
    from components.boosting.model import from_document

    return from_document(json.loads(trained_text(agreement, progress)))


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
        raise InvalidInput("the analyst sent a model that cannot be read; do not trust it") from None
    if not unpacked.eof:
        raise InvalidInput("the analyst sent a model that is not whole, or larger than any may be; do not trust it")
    return text


def read_model(content: Content) -> "xgboost.Booster":
    """The model of a content."""
    from components.boosting.model import from_document

    return from_document(json.loads(text_of(content)))
