"""An XGBoost model's JSON document around trees grown elsewhere, written without XGBoost.

XGBoost takes a second to import and an aggregator, or whoever else only hands a model on, has no other use for it.
Source: XGBoost's model schema (doc/model.schema), version 3.2.
"""

import json
from collections.abc import Sequence

import numpy as np

from components.data.schema import BinaryLabel, Label, MulticlassLabel


def model_document(
    objective: str,
    scores: np.ndarray,
    trees: Sequence[dict],
    *,
    features: Sequence[str],
    feature_types: Sequence[str],
    classes: str | None = None,
) -> dict:
    """The document of a model.

    Parameters
    ----------
    scores : (outputs,) the intercept on the scale of the objective's output.
    trees : documents of trees, round by round, output by output.
    feature_types : "q" or "c" for each feature.
    classes : see `class_order`.
    """
    outputs, count = len(scores), len(features)
    several = objective == "multi:softprob"
    settings = {"softmax_multiclass_param": {"num_class": str(outputs)}} if several else _WEIGHING
    return {
        "learner": {
            "attributes": {} if classes is None else {"classes": classes},
            "feature_names": list(features),
            "feature_types": list(feature_types),
            "gradient_booster": {
                "model": {
                    "cats": {"enc": [], "feature_segments": [], "sorted_idx": []},
                    "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": str(len(trees))},
                    "iteration_indptr": list(range(0, len(trees) + 1, outputs)),
                    "tree_info": [number % outputs for number in range(len(trees))],
                    "trees": list(trees),
                },
                "name": "gbtree",
            },
            "learner_model_param": {
                "base_score": f"[{','.join(str(np.float32(score)) for score in scores)}]",
                "boost_from_average": "0",
                "num_class": str(outputs if several else 0),
                "num_feature": str(count),
                "num_target": "1",
            },
            "objective": {"name": objective, **settings},
        },
        "version": list(_SCHEMA),
    }


_SCHEMA = (3, 2, 0)
_WEIGHING = {"reg_loss_param": {"scale_pos_weight": "1"}}


def class_order(label: Label) -> str | None:
    """What a model notes as its attribute `classes`, so that scores of another order are never mixed with its own."""
    # As XGBoost gives it back: an escaped letter it takes for its escape.
    match label:
        case BinaryLabel(positive=positive):
            return json.dumps([positive], ensure_ascii=False)
        case MulticlassLabel(classes=classes):
            return json.dumps(classes, ensure_ascii=False)
        case _:
            return None
