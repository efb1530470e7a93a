"""Drawn rows of every kind, trained on by ours and by XGBoost on the same edges, and how two models' trees compare."""

from dataclasses import dataclass

import numpy as np
import pytest
import xgboost

from components.boosting.histogram import Cuts, Rows, Terms, bin_columns, cuts_of, train
from components.boosting.model import to_document
from components.boosting.parameters import BoostingParameters

CLASSES = 3
NUMERIC = 3


@dataclass
class Drawn:
    """Rows (n, F), the last features categorical, with labels and the matrix that XGBoost made of the training rows."""

    matrix: np.ndarray
    labels: np.ndarray
    objective: str
    types: list[str]
    grid: xgboost.QuantileDMatrix
    max_bin: int

    @property
    def cuts(self) -> Cuts:
        return cuts_of(self.grid)

    @property
    def bins(self) -> np.ndarray:
        return bin_columns(self.matrix.T, self.cuts, len(self.labels))

    def quantised(self, rows=slice(None)) -> xgboost.QuantileDMatrix:
        return xgboost.QuantileDMatrix(
            self.matrix[rows], self.labels[rows], ref=self.grid, **described(self.types), max_bin=self.max_bin
        )

    def plain(self, rows=slice(None)) -> xgboost.DMatrix:
        return xgboost.DMatrix(self.matrix[rows], self.labels[rows], **described(self.types))

    def terms(self, **settings) -> Terms:
        """Every row and feature is drawn unless settings say otherwise."""
        chosen = {"rounds": 4, "max_depth": 4, "eta": 0.3, "subsample": 1, "colsample_bytree": 1} | settings
        return Terms(
            self.cuts,
            self.objective,
            BoostingParameters(**chosen),
            rows=len(self.labels),
            outputs=CLASSES if self.objective == "multi:softprob" else 1,
            label_range=(float(self.labels.min()) - 1, float(self.labels.max()) + 1),
        )

    def rows(self, terms: Terms, chosen=slice(None), held_out=None, **options) -> Rows:
        bins, labels = self.bins, self.labels
        validation = None if held_out is None else (bins[held_out], labels[held_out])
        return Rows(terms, bins[chosen], labels[chosen], validation=validation, **options)


def described(types: list[str]) -> dict:
    return {
        "feature_names": [f"x{number}" for number in range(len(types))],
        "feature_types": types,
        "enable_categorical": True,
        "nthread": 1,
    }


def draw_rows(
    rows: int = 500,
    *,
    objective: str = "binary:logistic",
    categories: tuple[int, ...] = (),
    missing: float = 0.0,
    max_bin: int = 16,
    seed: int = 0,
) -> Drawn:
    """Labels that depend on two numbers together and on the last feature."""
    random = np.random.default_rng(seed)
    numbers = random.normal(size=(rows, NUMERIC))
    codes = [random.integers(0, count, rows) for count in categories]
    matrix = np.column_stack([numbers, *codes]).astype(np.float32)
    signal = numbers[:, 0] * numbers[:, 1] + matrix[:, -1] % 3 + random.normal(scale=0.5, size=rows)
    match objective:
        case "binary:logistic":
            labels = signal > np.median(signal) + 0.2
        case "multi:softprob":
            labels = np.digitize(signal, np.quantile(signal, [0.3, 0.8]))
        case _:
            labels = 3 * signal + 10
    types = ["q"] * NUMERIC + ["c"] * len(categories)
    # The edges come from rows where every category is, and are public before any row is looked at.
    public = np.random.default_rng(seed + 1).normal(size=(300, NUMERIC)) * 0.8
    codes = [np.arange(300) % count for count in categories]
    grid = xgboost.QuantileDMatrix(
        np.column_stack([public, *codes]).astype(np.float32), **described(types), max_bin=max_bin
    )
    matrix[random.random(matrix.shape) < missing] = np.nan
    return Drawn(matrix, labels.astype(np.float32), objective, types, grid, max_bin)


def trees_of(booster: xgboost.Booster) -> list[dict]:
    return to_document(booster)["learner"]["gradient_booster"]["model"]["trees"]


def scores_of(booster: xgboost.Booster) -> list[float]:
    written = to_document(booster)["learner"]["learner_model_param"]["base_score"]
    return [float(score) for score in written.strip("[]").split(",")]


def train_xgboost(
    drawn: Drawn, terms: Terms, ours: xgboost.Booster, rows=slice(None), estimated: bool = False, **options
) -> xgboost.Booster:
    """XGBoost on one thread, from the same intercept or its own."""
    left_out = {"rounds", "early_stopping_rounds", "threads", "max_bin"}
    settings = terms.parameters.model_dump(exclude=left_out) | {
        "objective": terms.objective,
        "max_bin": drawn.max_bin,
        "tree_method": "hist",
        "nthread": 1,
    }
    if not estimated:
        settings["base_score"] = scores_of(ours)
    if terms.outputs > 1:
        settings["num_class"] = terms.outputs
    return xgboost.train(settings, drawn.quantised(rows), terms.parameters.rounds, verbose_eval=False, **options)


def assert_same_trees(ours: xgboost.Booster, theirs: xgboost.Booster, penalty: float = 1.0) -> float:
    """The share of trees that are the same, up to the first in which two splits of a node gain the same; 1 without.

    XGBoost's gain is a difference of single-precision numbers, of which the last digits depend on the order in which
    rows were added up. Where its split and ours differ, and gain the same but for those digits, either may be chosen,
    and what was grown from there on is another model.
    """
    mine, others = trees_of(ours), trees_of(theirs)
    assert len(mine) == len(others)
    for number, (one, other) in enumerate(zip(mine, others, strict=True)):
        for node in range(len(one["parents"])):
            assert node < len(other["parents"])
            splits = [
                (tree["left_children"][node], tree["split_indices"][node], _condition(tree, node), _default(tree, node))
                for tree in (one, other)
            ]
            if splits[0] != splits[1]:
                digits = 8 * np.finfo(np.float32).eps * _parts_of_gain(other, node, penalty)
                gains = [max(tree["loss_changes"][node], 1e-6) for tree in (one, other)]
                assert gains[0] == pytest.approx(gains[1], rel=1e-6, abs=digits), splits
                return number / len(mine)
        assert len(one["parents"]) == len(other["parents"])
        for name, absolute in (("base_weights", 1e-6), ("sum_hessian", 1e-6), ("split_conditions", 1e-6)):
            np.testing.assert_allclose(one[name], other[name], rtol=1e-5, atol=absolute, err_msg=name)
    return 1.0


def _condition(tree: dict, node: int):
    if node in tree["categories_nodes"]:
        place = tree["categories_nodes"].index(node)
        start, size = tree["categories_segments"][place], tree["categories_sizes"][place]
        return sorted(tree["categories"][start : start + size])
    return None if tree["left_children"][node] < 0 else tree["split_conditions"][node]


def _default(tree: dict, node: int) -> int:
    return tree["default_left"][node]


def _parts_of_gain(tree: dict, node: int, penalty: float) -> float:
    return tree["loss_changes"][node] + 2 * tree["base_weights"][node] ** 2 * (tree["sum_hessian"][node] + penalty)


class Histogram:
    """What tests of the histogram engine use."""

    draw_rows = staticmethod(draw_rows)
    trees_of = staticmethod(trees_of)
    train_xgboost = staticmethod(train_xgboost)
    assert_same_trees = staticmethod(assert_same_trees)
    train = staticmethod(train)
    Rows = Rows
    scores_of = staticmethod(scores_of)


@pytest.fixture(scope="session")
def histogram():
    return Histogram()
