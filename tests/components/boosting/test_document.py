"""Model documents written without XGBoost are what XGBoost itself would write."""

import numpy as np
import pytest
import xgboost

from components.boosting.document import model_document
from components.boosting.model import base_margins, from_document, to_document

KINDS = {
    "binary:logistic": ({"base_score": 0.3}, [0.3]),
    "reg:squarederror": ({"base_score": 123456.789}, [123456.789]),
    "multi:softprob": ({"num_class": 3, "base_score": [0.2, -0.3, 1e-7]}, [0.2, -0.3, 1e-7]),
}


@pytest.mark.parametrize("objective", KINDS)
@pytest.mark.parametrize("rounds", [0, 3])
def test_a_document_is_what_xgboost_writes(objective, rounds):
    settings, scores = KINDS[objective]
    random = np.random.default_rng(0)
    matrix = xgboost.DMatrix(
        random.integers(0, 4, (60, 2)).astype(np.float32),
        random.integers(0, 3 if len(scores) == 3 else 2, 60),
        feature_names=["dose", "ward"],
        feature_types=["q", "c"],
        enable_categorical=True,
    )
    booster = xgboost.train({"objective": objective, "max_depth": 2, **settings}, matrix, rounds)
    booster.set_attr(classes='["a"]')
    written = to_document(booster)
    trees = written["learner"]["gradient_booster"]["model"]["trees"]
    ours = model_document(
        objective, np.array(scores), trees, features=["dose", "ward"], feature_types=["q", "c"], classes='["a"]'
    )
    read = from_document(ours)
    assert to_document(read) == written
    assert {**ours, "learner": None} == {**written, "learner": None}
    np.testing.assert_array_equal(base_margins(ours), base_margins(written))
    np.testing.assert_array_equal(read.predict(matrix), booster.predict(matrix))
