"""The logit blend of a new and an old model, as one model: (1 - a) z_new + a z_old.

A weighted sum of two tree ensembles is a tree ensemble: scale the leaves and put the trees in one list. So an update
that flips far less costs no training, and is served, explained and blended again like any other model. The price is
size: the blend holds the trees of both.
Source: Yan et al., CVPR 2021, find fewer negative flips with an ensemble as the reference; editing the trees is ours.
"""

import numpy as np
import xgboost

from components.boosting.model import (
    base_margins,
    form_of,
    from_document,
    require_same_form,
    to_document,
    up_to_best,
)
from components.errors import InvalidInput


def blend(new: xgboost.Booster, old: xgboost.Booster, *, old_weight: float) -> xgboost.Booster:
    """One model whose margins are (1 - a) z_new + a z_old, with a = `old_weight` in [0, 1].

    Leaves are float32 in XGBoost's format, so margins agree to about 1e-6 of their size. Intercept and attributes stay
    the new model's; the old intercept's share moves into the leaves of one old tree per output, because `base_score` is
    a float32 probability and too coarse near 0 and 1 to hold it.

    Raises
    ------
    InvalidInput
        The weight is outside [0, 1], or the models differ in objective, features, class order or booster.
    """
    if not 0 <= old_weight <= 1:
        raise InvalidInput(f"old_weight is {old_weight}; the old model's share of a blend lies between 0 and 1")
    result, other = to_document(up_to_best(new)), to_document(up_to_best(old))
    require_same_form(form_of(result), form_of(other))
    ours, theirs = (document["learner"]["gradient_booster"]["model"] for document in (result, other))

    trees = [_affine(tree, 1 - old_weight) for tree in ours["trees"]]
    shifts = dict(enumerate(old_weight * (base_margins(other) - base_margins(result))))
    for tree, output in zip(theirs["trees"], theirs["tree_info"], strict=True):
        trees.append(_affine(tree, old_weight, shifts.pop(output, 0.0)))

    ends = [len(ours["trees"]) + end for end in theirs["iteration_indptr"][1:]]
    ours |= {
        "trees": [{**tree, "id": position} for position, tree in enumerate(trees)],
        "tree_info": ours["tree_info"] + theirs["tree_info"],
        "iteration_indptr": ours["iteration_indptr"] + ends,
        "gbtree_model_param": ours["gbtree_model_param"] | {"num_trees": str(len(trees))},
    }
    return from_document(result)


def _affine(tree: dict, factor: float, shift: float = 0.0) -> dict:
    """The tree that adds `factor` times as much, plus `shift`; leaf values lie where inner nodes keep thresholds."""
    leaf = np.asarray(tree["left_children"]) == -1
    values, weights = np.asarray(tree["split_conditions"]), np.asarray(tree["base_weights"])
    return tree | {
        "split_conditions": np.where(leaf, factor * values + shift, values).tolist(),
        "base_weights": (factor * weights + shift).tolist(),
    }
