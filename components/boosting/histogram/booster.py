"""The model that trees make: an ordinary XGBoost model, written as XGBoost writes it.

Gradient and hessian sums may be left out of what is published: from them, and from gains and weights of inner nodes,
which follow from them, a small data set can be rebuilt in part. What is lost then is gain importance and path-dependent
SHAP; predictions are the same.
Source: XGBoost 3.2, doc/model.schema; TimberStrike, arXiv 2506.07605 (what sums give away).
"""

from collections.abc import Sequence

import numpy as np
import xgboost

from components.boosting.histogram.terms import Terms
from components.boosting.histogram.tree import Tree
from components.boosting.model import from_document, to_document


def to_booster(
    terms: Terms, scores: np.ndarray, trees: Sequence[Tree], *, publish_sums: bool = True
) -> xgboost.Booster:
    """The model of (outputs,) base scores and trees, which lie round by round, output by output."""
    document = to_document(_without_trees(terms, scores))
    rounds = len(trees) // terms.outputs
    model = document["learner"]["gradient_booster"]["model"]
    model |= {
        "trees": [_tree_document(terms, tree, number, publish_sums) for number, tree in enumerate(trees)],
        "tree_info": list(range(terms.outputs)) * rounds,
        "iteration_indptr": list(range(0, len(trees) + 1, terms.outputs)),
        "gbtree_model_param": model["gbtree_model_param"] | {"num_trees": str(len(trees))},
    }
    return from_document(document)


def _without_trees(terms: Terms, scores: np.ndarray) -> xgboost.Booster:
    """A model of XGBoost's own making: features, objective and intercept."""
    settings = {"objective": terms.objective, "base_score": [float(score) for score in scores]}
    if terms.objective == "multi:softprob":
        settings["num_class"] = terms.outputs
    rows = max(2, terms.outputs)
    matrix = xgboost.DMatrix(
        np.zeros((rows, len(terms.cuts)), dtype=np.float32),
        np.arange(rows),
        feature_names=list(terms.cuts.names),
        feature_types=terms.cuts.feature_types,
        enable_categorical=True,
    )
    return xgboost.train(settings, matrix, 0)


def _tree_document(terms: Terms, tree: Tree, number: int, publish_sums: bool) -> dict:
    cuts, count = terms.cuts, len(tree)
    conditions, categories = list(tree.values), {}
    for node, split in tree.splits.items():
        if split.right_categories:
            conditions[node], categories[node] = 0.0, split.right_categories
        else:
            edges = cuts.edges[split.feature]
            conditions[node] = float(edges[split.cut]) if split.cut >= 0 else cuts.lowest[split.feature]
    sizes = [len(codes) for codes in categories.values()]
    return {
        "id": number,
        "base_weights": [
            # Of inner nodes, and of a root that is a leaf, XGBoost keeps the weight without eta.
            (tree.weights[node] if publish_sums else 0.0) if node == 0 or node in tree.splits else tree.values[node]
            for node in range(count)
        ],
        "default_left": [int(node in tree.splits and tree.splits[node].default_left) for node in range(count)],
        "left_children": tree.left,
        "right_children": tree.right,
        "parents": tree.parents,
        "loss_changes": [tree.gains.get(node, 0.0) if publish_sums else 0.0 for node in range(count)],
        "split_conditions": conditions,
        "split_indices": [tree.splits[node].feature if node in tree.splits else 0 for node in range(count)],
        "split_type": [int(node in categories) for node in range(count)],
        "sum_hessian": [hessian * terms.steps[1] if publish_sums else 0.0 for _, hessian in tree.sums],
        "categories": [code for codes in categories.values() for code in codes],
        "categories_nodes": list(categories),
        "categories_segments": np.cumsum([0, *sizes])[:-1].tolist() if sizes else [],
        "categories_sizes": sizes,
        "tree_param": {
            "num_deleted": "0",
            "num_feature": str(len(cuts)),
            "num_nodes": str(count),
            "size_leaf_vector": "1",
        },
    }
