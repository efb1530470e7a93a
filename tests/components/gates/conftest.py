"""Two models described by who is right in which row; everything else about their predictions follows."""

import numpy as np
import pytest

from components.data.predictions import Predictions
from components.data.schema import BinaryLabel
from components.data.table import GroupColumn


def model(right, *, labels=None, groups=None, ids=None) -> Predictions:
    """Binary predictions that are right exactly where `right` says; `groups` maps a name to values or a GroupColumn."""
    right = np.asarray(right, dtype=bool)
    labels = np.zeros(len(right), dtype=np.int32) if labels is None else np.asarray(labels, dtype=np.int32)
    ids = np.array([f"p{row}" for row in range(len(right))]) if ids is None else np.asarray(ids)
    columns = {name: _column(values) for name, values in (groups or {}).items()}
    return Predictions(BinaryLabel(column="y"), ids, labels, columns, np.where(right == (labels == 1), 0.9, 0.1))


def _column(values) -> GroupColumn:
    if isinstance(values, GroupColumn):
        return values
    levels, codes = np.unique(values, return_inverse=True)
    return GroupColumn(codes.astype(np.int32), tuple(levels.tolist()))


def update(both_right, negative, positive, both_wrong, **options) -> tuple[Predictions, Predictions]:
    """Candidate and champion with these flip counts, in this order of rows."""
    counts = (both_right, negative, positive, both_wrong)
    new = np.repeat([True, False, True, False], counts)
    old = np.repeat([True, True, False, False], counts)
    return model(new, **options), model(old, **options)


@pytest.fixture
def models():
    """`models.model(right)` and `models.update(a, b, c, d)`."""

    class Models:
        pass

    Models.model, Models.update = staticmethod(model), staticmethod(update)
    return Models
