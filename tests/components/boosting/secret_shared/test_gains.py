"""Gains on shares: as exact as the choice of a split needs, however many rows there are and whatever lambda is."""

import numpy as np
import pytest

from components.boosting.parameters import BoostingParameters
from components.boosting.secret_shared import Agreement, Block, FeatureShape, Holding, open_model, train
from components.boosting.secret_shared.booster import to_booster
from components.boosting.secret_shared.gains import best_splits
from components.boosting.secret_shared.objective import statistics
from components.boosting.secret_shared.splits import candidate_splits
from components.mpc.simulate import simulate

BINS, NODES = 4, 64


def agreement(rows: int, *, bins=BINS, may_miss=True, **parameters) -> Agreement:
    whole = {"start": 0, "stop": rows}
    return Agreement(
        parties=("a", "b"),
        rows=rows,
        features=[FeatureShape(name=name, bins=bins, may_miss=may_miss) for name in ("x", "y")],
        blocks=[Block(owner=owner, **whole, features=(owner,)) for owner in (0, 1)],
        labels=[Block(owner=0, **whole, features=())],
        objective="binary:logistic",
        parameters=BoostingParameters(**parameters),
    )


def chosen(public: Agreement, left: np.ndarray, total: np.ndarray) -> np.ndarray:
    """The position of the split of each node for left sums (2, nodes, C) and totals (2, nodes)."""
    splits = candidate_splits(public, np.arange(2))

    def program(engine):
        return engine.reveal("choice", best_splits(public, splits, *held(engine, left, total)).one_hot)

    results, _ = simulate(program, 2)
    return results[0].argmax(axis=1)


def held(engine, *arrays):
    return [engine.share(0, array if engine.party == 0 else None, array.shape) for array in arrays]


@pytest.mark.parametrize("rows", [2000, 50_000, 1_000_000])
@pytest.mark.parametrize("least", [0.0, 1.0])
def test_where_nothing_is_gained_nothing_is_split(rows, least):
    """Every candidate divides gradients as it divides hessians, or leaves one side empty."""
    public = agreement(rows, min_child_weight=least)
    splits = candidate_splits(public, np.arange(2))
    random = np.random.default_rng(0)
    total = np.array([[0.15], [0.2]]) * rows + random.random((2, NODES))
    left = total[:, :, None] * ((splits.threshold + 1) / BINS)
    assert np.all(chosen(public, left, total) == len(splits))


@pytest.mark.parametrize("rows", [2000, 200_000, 1_000_000])
def test_the_split_chosen_is_the_best_or_as_good(rows):
    public = agreement(rows)
    splits = candidate_splits(public, np.arange(2))
    random = np.random.default_rng(1)
    hessians = rows * 0.2 * random.dirichlet(np.ones(BINS + 1), (NODES, 2))
    # What chance does to sums of gradients: gains of a few units, as they are where little is left to learn.
    gradients = 0.1 * hessians + np.sqrt(hessians) * random.normal(size=hessians.shape)
    gradients[:, 1, -1] += (gradients[:, 0] - gradients[:, 1]).sum(axis=1)
    hessians[:, 1, -1] += (hessians[:, 0] - hessians[:, 1]).sum(axis=1)
    sums = np.rint(np.array([gradients, hessians]) * 2**20) / 2**20
    below = np.concatenate([np.zeros((2, NODES, 2, 1)), np.cumsum(sums[..., :BINS], axis=3)], axis=3)
    left = below[:, :, splits.feature, splits.threshold + 1]
    left = left + np.where(splits.default_left, sums[:, :, splits.feature, BINS], 0)
    total = sums[:, :, 0].sum(axis=2)

    def score(part):
        return np.where(part[1] >= 1, part[0] ** 2 / (part[1] + 1), -np.inf)

    gains = score(left) + score(total[:, :, None] - left) - score(total)[:, None]
    gains = np.concatenate([gains, np.zeros((NODES, 1))], axis=1)
    found = gains[np.arange(NODES), chosen(public, left, total)]
    assert np.median(gains.max(axis=1)) > 1
    assert np.max(gains.max(axis=1) - found) < 0.1


def test_the_greatest_lambda_on_few_rows(boosting):
    data = boosting.draw_bins(40, 3)
    trained = boosting.train_on(data, parameters=boosting.settings(reg_lambda=1e6))
    ours, theirs = boosting.opened_margins(trained, data), boosting.xgboost_margins(trained, data)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-6)


@pytest.mark.parametrize(("objective", "factor"), [("binary:logistic", 1), ("multi:softprob", 2)])
def test_hessians_of_very_many_rows_are_raised_and_gradients_are_not(objective, factor):
    public = agreement(2**21).model_copy(update={"objective": objective, "outputs": 2})
    margins = np.array([[-40.0, -13.0, -8.0, -1.0, 0.0, 2.0, 9.0, 40.0]])
    margins = margins if objective == "binary:logistic" else np.concatenate([margins, 0 * margins])

    def program(engine):
        labels = engine.zeros(margins.shape)
        return engine.reveal("statistics", statistics(public, *held(engine, margins), labels))

    gradients, hessians = simulate(program, 2)[0][0]
    p = 1 / (1 + np.exp(-(margins if len(margins) == 1 else margins - margins[::-1])))
    np.testing.assert_allclose(gradients, p, rtol=0, atol=1e-5)
    np.testing.assert_allclose(hessians, factor * p * (1 - p) + public.floor, rtol=0, atol=1e-5)
    # However near to certain a row is, it weighs what the bound of weights counts on.
    assert public.floor > 4e-4
    assert public.rows * hessians.min() * public.weight_bound >= public.rows * public.gradient_bound


@pytest.mark.slow
def test_very_many_rows_give_the_trees_of_xgboost(boosting):
    """Their hessians are raised a little."""
    data = boosting.draw_bins(200_000, 4, missing=0.1)
    trained = boosting.train_on(data, parameters=boosting.settings(rounds=2, max_depth=2))
    assert trained.agreement.floor > 0
    ours, theirs = boosting.opened_margins(trained, data), boosting.xgboost_margins(trained, data)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-4)


def test_features_without_a_cut_point_leave_one_leaf():
    """Too few values, or all alike: where none is missing either, there is nothing to split by."""
    rows = 50
    public = agreement(rows, bins=1, may_miss=False, rounds=1, eta=1.0, subsample=1.0, max_depth=2)
    labels = (np.arange(rows) < 10).astype(float)

    def program(engine):
        bins = {engine.party: np.zeros((rows, 1), dtype=np.uint16)} if engine.party >= 0 else {}
        own = Holding(bins=bins, labels={0: labels}, cuts={engine.party: np.zeros(0, dtype=np.float32)})
        return open_model(engine, public, train(engine, public, own), 0)

    booster = to_booster(public, simulate(program, 2)[0][0])
    trees = booster.trees_to_dataframe()
    assert trees["Feature"].tolist() == ["Leaf"]
    assert abs(trees["Gain"][0]) < 1e-3
