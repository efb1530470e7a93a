"""An XGBoost model as plain arrays: what both schemes encrypt, and the reference their answers are tested against.

Read from the JSON that XGBoost itself writes; node numbers, thresholds (float32) and category sets are kept to the
bit, so that a row reaches the leaf `pred_leaf` names. The weights of dropped trees (DART) are multiplied into leaves.
Source: XGBoost's model schema, version 3.2; its `Decision` (categories of a node's set go right).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xgboost

from components.boosting.model import LINKS, base_margins, to_document
from components.errors import InvalidInput

INVALID_CATEGORY = 2**24
"""XGBoost's bound on category codes; a code at or beyond it, or below 0, is in no set."""


@dataclass(frozen=True)
class Forest:
    """N nodes of T trees over F features; a leaf is its own child, so that a walk may take any number of steps."""

    features: tuple[str, ...]
    categorical: np.ndarray
    """(F,) bool."""
    link: str
    """'logit' or 'identity': from what the margins are scaled; several outputs under 'identity' may be class logits."""
    softmax: bool
    intercept: np.ndarray
    """(K,) float64 margins."""
    output: np.ndarray
    """(T,) int32: the output a tree adds to."""
    root: np.ndarray
    """(T,) int32."""
    depth: int
    number: np.ndarray
    """(N,) int32: the node's number in its tree, as XGBoost counts."""
    tree: np.ndarray
    """(N,) int32."""
    feature: np.ndarray
    """(N,) int32; -1 in leaves."""
    threshold: np.ndarray
    """(N,) float32: smaller values go left. NaN in leaves and categorical nodes."""
    right_set: tuple[frozenset[int] | None, ...]
    """N: the categories that go right; None in other nodes."""
    default_left: np.ndarray
    """(N,) bool: where a missing value goes."""
    children: np.ndarray
    """(N, 2) int32: left, right."""
    value: np.ndarray
    """(N,) float64 margin that a leaf adds; 0 elsewhere."""

    @property
    def outputs(self) -> int:
        return len(self.intercept)

    @cached_property
    def is_leaf(self) -> np.ndarray:
        return self.feature < 0

    @cached_property
    def bound(self) -> float:
        """The largest |sum of leaves| that any row can reach, over outputs."""
        largest = np.zeros(len(self.root))
        np.maximum.at(largest, self.tree, np.abs(self.value))
        return float(np.bincount(self.output, largest, minlength=self.outputs).max())

    def goes_right(self, node: int, values: np.ndarray) -> np.ndarray:
        """(n,) bool: the branch that float32 `values` (n,) of the node's feature take at an inner node."""
        if self.right_set[node] is None:
            right = ~(values < self.threshold[node])
        else:
            right = np.isin(category_codes(values), list(self.right_set[node]))
        return np.where(np.isnan(values), not self.default_left[node], right)

    def leaves(self, rows: np.ndarray) -> np.ndarray:
        """(n, T) int32: the node each tree sends each row of float32 `rows` (n, F) to."""
        reached = np.broadcast_to(self.root, (len(rows), len(self.root))).copy()
        for _ in range(self.depth):
            for node in np.unique(reached[~self.is_leaf[reached]]):
                tree = self.tree[node]
                here = np.flatnonzero(reached[:, tree] == node)
                right = self.goes_right(node, rows[here, self.feature[node]])
                reached[here, tree] = self.children[node, right.astype(int)]
        return reached

    def margins(self, rows: np.ndarray) -> np.ndarray:
        """(n, K) float64."""
        values = self.value[self.leaves(rows)]
        return self.intercept + np.stack([values[:, self.output == k].sum(axis=1) for k in range(self.outputs)], axis=1)


def category_codes(values: np.ndarray) -> np.ndarray:
    """Category codes (int64) of float32 values; -1 for what is no category, NaN among it."""
    with np.errstate(invalid="ignore"):
        valid = (values >= 0) & (values < INVALID_CATEGORY)
        return np.where(valid, values, -1).astype(np.int64)


def predictions(margins: np.ndarray, *, link: str, softmax: bool) -> np.ndarray:
    """What XGBoost's `predict` gives for margins (n, K): (n,) for one output, (n, K) for several."""
    if softmax:
        powers = np.exp(margins - margins.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)
    result = 0.5 * (1 + np.tanh(0.5 * margins)) if link == "logit" else margins
    return result[:, 0] if result.shape[1] == 1 else result


def read_forest(booster: xgboost.Booster) -> Forest:
    """The arrays of a trained model.

    Raises
    ------
    InvalidInput
        Linear boosters, vector leaves, objectives the project does not train, leaves that are not finite.
    """
    document = to_document(booster)
    learner, name = document["learner"], document["learner"]["objective"]["name"]
    gradient = learner["gradient_booster"]
    if gradient["name"] not in ("gbtree", "dart"):
        raise InvalidInput(
            f"the model's booster is '{gradient['name']}'; only tree models can be encrypted, retrain it"
        )
    if name not in LINKS:
        raise InvalidInput(f"the model's objective is '{name}'; only {', '.join(LINKS)} can be encrypted, retrain it")
    model = gradient.get("gbtree", gradient)["model"]
    trees, shape = model["trees"], learner["learner_model_param"]
    if any(tree["tree_param"]["size_leaf_vector"] not in ("0", "1") for tree in trees):
        raise InvalidInput("the model has vector leaves; retrain it with multi_strategy='one_output_per_tree'")
    if not trees:
        raise InvalidInput("the model has no trees; train it for at least one round")
    count = int(shape["num_feature"])
    kinds = learner["feature_types"] or ["q"] * count
    outputs = max(int(shape["num_class"]), int(shape["num_target"]), 1)

    parts = [
        _tree(tree, weight) for tree, weight in zip(trees, gradient.get("weight_drop", [1.0] * len(trees)), strict=True)
    ]
    sizes = [len(part["number"]) for part in parts]
    root = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int32)
    joined = {
        key: np.concatenate([part[key] for part in parts])
        for key in ("number", "feature", "threshold", "default_left", "value")
    }
    if not np.isfinite(joined["value"]).all():
        raise InvalidInput("the model has leaves that are not finite; retrain it")
    return Forest(
        features=tuple(learner["feature_names"]) or tuple(f"f{place}" for place in range(count)),
        categorical=np.array([kind == "c" for kind in kinds]),
        link=LINKS[name],
        softmax=name == "multi:softprob",
        intercept=np.broadcast_to(base_margins(document).astype(np.float64), (outputs,)).copy(),
        output=np.array(model["tree_info"], dtype=np.int32),
        root=root,
        depth=max(part["depth"] for part in parts),
        tree=np.repeat(np.arange(len(trees), dtype=np.int32), sizes),
        right_set=tuple(one for part in parts for one in part["right_set"]),
        children=np.concatenate([part["children"] + first for part, first in zip(parts, root, strict=True)]),
        **joined,
    )


def _tree(tree: dict, weight: float) -> dict:
    """The nodes that can be reached, parents first; XGBoost leaves pruned ones in the file."""
    lefts, rights = tree["left_children"], tree["right_children"]
    order, depth, level = [], 0, [0]
    while level:
        order += level
        level = [child for node in level if lefts[node] != -1 for child in (lefts[node], rights[node])]
        depth += bool(level)
    place = {node: position for position, node in enumerate(order)}
    number = np.array(order, dtype=np.int32)
    leaf = np.array([lefts[node] == -1 for node in order])
    conditions = np.array(tree["split_conditions"], dtype=np.float32)[number]

    sets = dict.fromkeys(order)
    segments = zip(tree["categories_nodes"], tree["categories_segments"], tree["categories_sizes"], strict=True)
    for node, start, size in segments:
        sets[node] = frozenset(tree["categories"][start : start + size])
    categorical = np.array([sets[node] is not None for node in order])
    return {
        "number": number,
        "feature": np.where(leaf, -1, np.array(tree["split_indices"])[number]).astype(np.int32),
        "threshold": np.where(leaf | categorical, np.float32(np.nan), conditions),
        "right_set": [sets[node] for node in order],
        "default_left": np.array(tree["default_left"], dtype=bool)[number],
        "children": np.array(
            [
                (place[lefts[node]], place[rights[node]]) if lefts[node] != -1 else (place[node], place[node])
                for node in order
            ],
            dtype=np.int32,
        ),
        "value": np.where(leaf, np.float64(np.float32(weight)) * conditions.astype(np.float64), 0.0),
        "depth": depth,
    }
