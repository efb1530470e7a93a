"""Tables of bins dealt in every layout, trained on shares by threads, and XGBoost on the same bins to compare with."""

import sys
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import pytest
import xgboost

from components.boosting.parameters import BoostingParameters
from components.boosting.secret_shared import (
    Agreement,
    Block,
    FeatureShape,
    Holding,
    OpenedModel,
    Rows,
    open_model,
    predict_margins,
    train,
)
from components.boosting.secret_shared.booster import to_booster
from components.boosting.secret_shared.objective import in_label_units, scale_of
from components.boosting.secret_shared.train import drawn
from components.mpc.simulate import simulate

BINS, CATEGORIES = 8, 5
CLASSES = 3


@dataclass(frozen=True)
class Binned:
    """Rows as bins (n, F), `BINS` where missing, and labels (n,); the last `categorical` features are categories."""

    bins: np.ndarray
    labels: np.ndarray
    objective: str
    categorical: int
    may_miss: bool

    def __len__(self) -> int:
        return len(self.bins)

    @property
    def shapes(self) -> tuple[FeatureShape, ...]:
        numeric = self.bins.shape[1] - self.categorical
        return tuple(
            FeatureShape(
                name=f"x{position}",
                kind="numeric" if position < numeric else "categorical",
                bins=BINS if position < numeric else CATEGORIES,
                may_miss=self.may_miss,
            )
            for position in range(self.bins.shape[1])
        )

    def matrix(self, labels: bool = True) -> xgboost.DMatrix:
        return xgboost.DMatrix(
            np.where(self.bins == BINS, np.nan, self.bins).astype(np.float32),
            self.labels if labels else None,
            feature_names=[shape.name for shape in self.shapes],
            feature_types=["c" if shape.kind == "categorical" else "q" for shape in self.shapes],
            enable_categorical=True,
        )


def draw_bins(
    rows: int = 2000,
    features: int = 6,
    *,
    objective: str = "binary:logistic",
    categorical: int = 0,
    missing: float = 0.0,
    seed: int = 0,
) -> Binned:
    """Labels that depend on several bins; regression labels lie between about -30 and 160."""
    random = np.random.default_rng(seed)
    bins = random.integers(0, BINS, (rows, features)).astype(np.uint16)
    bins[:, features - categorical :] %= CATEGORIES
    signal = 3 * bins[:, 0] / BINS + np.sin(bins[:, 1]) + (bins[:, 2] > 4) * bins[:, 0] / BINS - 2
    signal += 1.5 * (bins[:, -1] == 2)
    match objective:
        case "binary:logistic":
            labels = (signal + random.logistic(size=rows) > 0).astype(float)
        case "multi:softprob":
            labels = np.digitize(signal + random.normal(size=rows), [-0.5, 0.8]).astype(float)
        case _:
            labels = np.clip(60 + 20 * (signal + random.normal(size=rows)), -30, 160)
    bins[random.random(bins.shape) < missing] = BINS
    return Binned(bins, labels, objective, categorical, missing > 0)


def settings(**changes) -> BoostingParameters:
    """Three rounds of depth three on all rows and features, unless changed."""
    return BoostingParameters(**{"rounds": 3, "eta": 0.3, "subsample": 1.0, "colsample_bytree": 1.0} | changes)


def blocks_of(layout: str, parties: int, rows: int, features: int) -> tuple[list[Block], list[Block]]:
    """Blocks and label blocks; 'mixed': all parties but the last hold rows of the first half of the features."""
    halves = np.array_split(np.arange(features), parties if layout == "vertical" else 2)
    ends = np.linspace(0, rows, (parties if layout == "horizontal" else parties - 1) + 1).astype(int).tolist()
    divided = list(enumerate(zip(ends, ends[1:], strict=False)))
    whole = {"start": 0, "stop": rows}
    match layout:
        case "vertical":
            blocks = [Block(owner=party, **whole, features=half.tolist()) for party, half in enumerate(halves)]
            return blocks, [Block(owner=0, **whole, features=())]
        case "horizontal":
            own = range(features)
        case _:
            own = halves[0].tolist()
    blocks = [Block(owner=party, start=start, stop=stop, features=own) for party, (start, stop) in divided]
    labels = [block.model_copy(update={"features": ()}) for block in blocks]
    if layout == "mixed":
        blocks.append(Block(owner=parties - 1, **whole, features=halves[1].tolist()))
    return blocks, labels


def agree(data: Binned, layout: str, parties: int, parameters: BoostingParameters) -> Agreement:
    blocks, labels = blocks_of(layout, parties, *data.bins.shape)
    return Agreement(
        parties=[f"party{number}" for number in range(parties)],
        rows=len(data),
        features=data.shapes,
        blocks=blocks,
        labels=labels,
        objective=data.objective,
        outputs=CLASSES if data.objective == "multi:softprob" else 1,
        label_range=(-30.0, 160.0) if data.objective == "reg:squarederror" else (0.0, 1.0),
        parameters=parameters,
    )


def held_by(agreement: Agreement, data: Binned, party: int) -> Holding:
    """A party's part; cuts are the bins themselves, so that the opened model reads bins. Empty for the dealer."""
    return Holding(
        bins={
            number: data.bins[block.start : block.stop, list(block.features)]
            for number, block in enumerate(agreement.blocks)
            if block.owner == party
        },
        labels={
            number: data.labels[block.start : block.stop]
            for number, block in enumerate(agreement.labels)
            if block.owner == party
        },
        cuts={
            feature: np.arange(1, BINS, dtype=np.float32)
            for block in agreement.blocks
            for feature in block.features
            if block.owner == party and agreement.features[feature].kind == "numeric"
        },
    )


@dataclass(frozen=True)
class Trained:
    """What a training gave: the analyst's model, and margins (outputs, n) of `scored` rows computed on shares."""

    agreement: Agreement
    opened: OpenedModel
    booster: xgboost.Booster
    margins: np.ndarray
    engines: list


def train_on(
    data: Binned,
    layout: str = "vertical",
    parties: int = 2,
    parameters: BoostingParameters | None = None,
    *,
    scored: Binned | None = None,
    analyst: int = 0,
) -> Trained:
    """Train, open to the analyst, and score other rows (or the same ones) on shares."""
    agreement = agree(data, layout, parties, parameters or settings())
    scored = scored or data
    others = agree(scored, layout, parties, agreement.parameters)

    def program(engine):
        model = train(engine, agreement, held_by(agreement, data, engine.party))
        opened = open_model(engine, agreement, model, analyst)
        rows = Rows(engine, others, held_by(others, scored, engine.party))
        return opened, engine.reveal("margins", predict_margins(others, rows, model))

    results, engines = simulate(program, parties, timeout=30)
    assert [opened is not None for opened, _ in results] == [party == analyst for party in range(parties)]
    opened, margins = results[analyst]
    return Trained(agreement, opened, to_booster(agreement, opened), in_label_units(agreement, margins), engines)


def options_of(agreement: Agreement) -> dict:
    """What XGBoost is told to do the same."""
    parameters = agreement.parameters
    classes = {"num_class": agreement.outputs} if agreement.objective == "multi:softprob" else {}
    return classes | {
        "objective": agreement.objective,
        **{name: getattr(parameters, name) for name in ("eta", "reg_lambda", "gamma", "min_child_weight", "max_depth")},
        "tree_method": "hist",
        "max_bin": 4096,
        "max_cat_to_onehot": 4096,
        "nthread": 1,
    }


def xgboost_margins(trained: Trained, data: Binned) -> np.ndarray:
    """(n,) or (n, K) margins of XGBoost on the rows and features that were drawn, one round after another.

    Every round starts from the margins so far, and a feature that was not drawn is missing everywhere.
    """
    agreement = trained.agreement
    whole = data.matrix()
    middle, half = scale_of(agreement) if agreement.objective == "reg:squarederror" else (0.0, 1.0)
    start = middle + half * trained.opened.base
    margins = np.tile(start, (len(data), 1))
    for number in range(agreement.parameters.rounds):
        rows, features = drawn(agreement, number)
        seen = data.bins.copy()
        seen[:, np.setdiff1d(np.arange(data.bins.shape[1]), features)] = BINS
        kept = replace(data, bins=seen[rows == 1], labels=data.labels[rows == 1]).matrix()
        kept.set_base_margin(margins[rows == 1].squeeze())
        tree = xgboost.train(options_of(agreement), kept, 1)
        whole.set_base_margin(margins.squeeze())
        margins = tree.predict(whole, output_margin=True).reshape(margins.shape).astype(np.float64)
    return margins.squeeze()


def opened_margins(trained: Trained, data: Binned) -> np.ndarray:
    """(n,) or (n, K) margins by the opened booster."""
    return trained.booster.predict(data.matrix(labels=False), output_margin=True)


def shared_margins(trained: Trained) -> np.ndarray:
    """The margins computed on shares, (n,) or (n, K)."""
    return trained.margins.T.squeeze()


@pytest.fixture(scope="session")
def boosting():
    """The functions above: `boosting.train_on`, `boosting.xgboost_margins`, …"""
    return sys.modules[__name__]


@pytest.fixture(scope="session")
def trained_once():
    """`train_on` on `draw_bins(**data)` in a layout, computed once a session for the same arguments."""

    @lru_cache
    def trained(layout: str, parties: int, data: tuple, parameters: tuple) -> Trained:
        return train_on(draw_bins(**dict(data)), layout, parties, settings(**dict(parameters)))

    def call(layout="vertical", parties=2, *, data=None, **parameters) -> Trained:
        return trained(layout, parties, tuple(sorted((data or {}).items())), tuple(sorted(parameters.items())))

    return call
