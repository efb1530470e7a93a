"""The model that trees make, as the document of an ordinary XGBoost model.

Gradient and hessian sums may be left out of what is published: from them, and from gains and weights of inner nodes,
which follow from them, a small data set can be rebuilt in part. What is lost then is gain importance and path-dependent
SHAP; predictions are the same.
Source: XGBoost 3.2, doc/model.schema; TimberStrike, arXiv 2506.07605 (what sums give away).
"""

from collections.abc import Sequence

import numpy as np

from components.boosting.document import model_document
from components.boosting.histogram.terms import Terms
from components.boosting.histogram.tree import Tree


def document_of(
    terms: Terms, scores: np.ndarray, trees: Sequence[Tree], *, classes: str | None = None, publish_sums: bool = True
) -> dict:
    """The model of (outputs,) base scores and trees, which lie round by round, output by output."""
    return model_document(
        terms.objective,
        scores,
        [_tree_document(terms, tree, number, publish_sums) for number, tree in enumerate(trees)],
        features=terms.cuts.names,
        feature_types=terms.cuts.feature_types,
        classes=classes,
    )


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
