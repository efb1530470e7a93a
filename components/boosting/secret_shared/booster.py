"""An opened model as an ordinary XGBoost model.

Nodes that did not split are leaves, so the hidden trees' public shape disappears. Apart from the rest, since only the
analyst needs XGBoost, which takes seconds to import.
Source: XGBoost's model schema (doc/model.schema), version 3.2.
"""

import numpy as np
import xgboost

from components.boosting.document import model_document
from components.boosting.model import from_document
from components.boosting.secret_shared.agreement import Agreement
from components.boosting.secret_shared.objective import scale_of
from components.boosting.secret_shared.opened import OpenedModel
from components.boosting.secret_shared.splits import Splits, candidate_splits
from components.boosting.secret_shared.train import drawn


def to_booster(agreement: Agreement, opened: OpenedModel) -> xgboost.Booster:
    """The model as XGBoost would have saved it."""
    middle, half = scale_of(agreement) if agreement.objective == "reg:squarederror" else (0.0, 1.0)
    trees = []
    for number in range(len(opened.splits)):
        splits = candidate_splits(agreement, drawn(agreement, number)[1])
        for output in range(agreement.outputs):
            tree = _Tree(agreement, splits)
            tree.add(
                opened.splits[number, output],
                opened.cuts[number, output].astype(np.uint32).view(np.float32),
                # Back to the label's own units: gradients and leaf values were computed in half widths.
                opened.sums[:, number, output] * np.array([[half], [1.0]]),
                opened.leaves[number, output] * half,
            )
            trees.append(tree.document(len(trees)))
    base = middle + half * opened.base
    document = model_document(
        agreement.objective,
        1 / (1 + np.exp(-base)) if agreement.objective == "binary:logistic" else base,
        trees,
        features=[feature.name for feature in agreement.features],
        feature_types=["c" if feature.kind == "categorical" else "q" for feature in agreement.features],
    )
    return from_document(document)


class _Tree:
    """One tree in XGBoost's columns, nodes numbered as they are added."""

    def __init__(self, agreement: Agreement, splits: Splits):
        self.agreement, self.splits = agreement, splits
        self.penalty = agreement.parameters.reg_lambda
        self.columns: dict[str, list] = {
            name: []
            for name in (
                "base_weights", "default_left", "left_children", "loss_changes", "parents", "right_children",
                "split_conditions", "split_indices", "split_type", "sum_hessian",
                "categories", "categories_nodes", "categories_segments", "categories_sizes",
            )
        }  # fmt: skip

    def add(self, chosen, cuts, sums, leaves) -> None:
        """Breadth first, as XGBoost numbers its nodes; entries are (place in the full tree, parent)."""
        inner = len(chosen)
        waiting = [(0, 2**31 - 1)]
        while waiting:
            place, parent = waiting.pop(0)
            # A node that did not split sent all its rows left, where noise may have decided otherwise.
            while place < inner and chosen[place] == len(self.splits):
                place = 2 * place + 1
            number = len(self.columns["parents"])
            if parent != 2**31 - 1:
                side = "left_children" if self.columns["left_children"][parent] == -1 else "right_children"
                self.columns[side][parent] = number
            if place >= inner:
                self._leaf(parent, sums[:, place], leaves[place - inner])
            else:
                self._split(number, parent, place, int(chosen[place]), cuts[place], sums)
                waiting += [(2 * place + 1, number), (2 * place + 2, number)]

    def document(self, number: int) -> dict:
        count = len(self.columns["parents"])
        shape = {"num_deleted": "0", "num_nodes": str(count), "size_leaf_vector": "1"}
        return {**self.columns, "id": number, "tree_param": shape | {"num_feature": str(len(self.agreement.features))}}

    def _leaf(self, parent: int, sums: np.ndarray, value: float) -> None:
        self._node(parent, sums, weight=value, condition=value, feature=0, kind=0, default_left=0, gain=0.0)

    def _split(self, number: int, parent: int, place: int, choice: int, cut: float, sums: np.ndarray) -> None:
        feature, threshold = int(self.splits.feature[choice]), int(self.splits.threshold[choice])
        shape = self.agreement.features[feature]
        categorical = shape.kind == "categorical"
        if categorical:
            self.columns["categories_nodes"].append(number)
            self.columns["categories_segments"].append(len(self.columns["categories"]))
            self.columns["categories_sizes"].append(1)
            self.columns["categories"].append(threshold)
        elif threshold < 0:
            cut = -np.finfo(np.float32).max
        elif threshold >= shape.bins - 1:
            cut = np.finfo(np.float32).max
        score = [self._score(sums[:, at]) for at in (2 * place + 1, 2 * place + 2, place)]
        self._node(
            parent,
            sums[:, place],
            # As XGBoost keeps it: of inner nodes without eta.
            weight=-sums[0, place] / (sums[1, place] + self.penalty),
            condition=0.0 if categorical else float(cut),
            feature=feature,
            kind=int(categorical),
            default_left=int(self.splits.default_left[choice]),
            gain=score[0] + score[1] - score[2],
        )

    def _node(self, parent, sums, *, weight, condition, feature, kind, default_left, gain) -> None:
        row = {
            "base_weights": float(weight),
            "default_left": default_left,
            "left_children": -1,
            "loss_changes": float(gain),
            "parents": parent,
            "right_children": -1,
            "split_conditions": float(condition),
            "split_indices": feature,
            "split_type": kind,
            "sum_hessian": float(sums[1]),
        }
        for name, value in row.items():
            self.columns[name].append(value)

    def _score(self, sums: np.ndarray) -> float:
        weight = sums[1] + self.penalty
        return float(sums[0] ** 2 / weight) if weight > 0 else 0.0
