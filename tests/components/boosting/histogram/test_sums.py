"""What owners send: sums that are the same however rows are divided, and that never overflow."""

from dataclasses import replace

import numpy as np
import pytest

from components.boosting.histogram import Level, Planner, Split, intercept
from components.boosting.histogram.terms import HESSIAN_BOUND
from components.boosting.model import model_digest
from components.errors import InvalidInput

OBJECTIVES = ("binary:logistic", "multi:softprob", "reg:squarederror")


def divide(rows: int, owners: int, seed: int) -> list[np.ndarray]:
    """Any division, an owner without rows among them."""
    owner = np.random.default_rng(seed).integers(0, owners, rows)
    return [np.flatnonzero(owner == number) for number in range(owners + 1)]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_models_are_bit_for_bit_the_same_for_any_division_of_the_rows(histogram, objective):
    drawn = histogram.draw_rows(700, objective=objective, categories=(3, 9), missing=0.1)
    terms = drawn.terms(rounds=3)
    whole = model_digest(histogram.train(terms, [drawn.rows(terms)]))
    for owners in (2, 5):
        parts = [drawn.rows(terms, chosen) for chosen in divide(700, owners, owners)]
        assert model_digest(histogram.train(terms, parts)) == whole
    shuffled = np.random.default_rng(0).permutation(700)
    assert model_digest(histogram.train(terms, [drawn.rows(terms, shuffled)])) == whole
    assert model_digest(histogram.train(terms, [drawn.rows(terms, threads=3)])) == whole


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_histograms_are_sums_of_gradients_and_hessians(histogram, objective):
    drawn = histogram.draw_rows(400, objective=objective, categories=(5,), missing=0.2)
    terms = drawn.terms()
    rows = drawn.rows(terms)
    counts = rows.label_sums()
    _, margins = intercept(terms, counts[2:], counts[0])
    rows.start(margins)
    planner = Planner(terms)
    sums = rows.begin(planner.begin(0))[0] * terms.steps
    labels = drawn.labels
    match objective:
        case "binary:logistic":
            p = 1 / (1 + np.exp(-margins[0].astype(float)))
            gradients, hessians = p - labels, np.full(400, p * (1 - p))
        case "multi:softprob":
            p = np.exp(margins[0]) / np.exp(margins).sum()
            gradients, hessians = p - (labels == 0), np.full(400, 2 * p * (1 - p))
        case _:
            gradients, hessians = margins[0] - labels, np.ones(400)
    starts = terms.cuts.starts(range(4))
    for feature in range(4):
        bins = drawn.bins[:, feature]
        slots = starts[feature + 1] - starts[feature]
        expected = [np.bincount(bins, values, minlength=slots) for values in (gradients, hessians)]
        found = sums[starts[feature] : starts[feature + 1]]
        np.testing.assert_allclose(found, np.column_stack(expected), rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(found.sum(axis=0), [gradients.sum(), hessians.sum()], rtol=1e-5, atol=1e-4)


def test_only_the_lighter_of_two_siblings_is_asked_for(histogram):
    """Rows of a level whose histograms are sent: half of those at most."""
    drawn = histogram.draw_rows(600)
    terms = drawn.terms(max_depth=5)
    rows, planner = drawn.rows(terms), Planner(terms)
    rows.start(np.zeros(1, dtype=np.float32))
    level = planner.receive(rows.begin(planner.begin(0)))
    levels = 1
    while level.wanted:
        weights = {node: planner.tree.sums[node][1] for split in level.splits for node in (split.left, split.right)}
        assert len(level.wanted) <= len(level.splits)
        for split in level.splits:
            asked = [node for node in (split.left, split.right) if node in level.wanted]
            assert all(weights[node] == min(weights[split.left], weights[split.right]) for node in asked)
        sums = rows.descend(level)
        for node, histogram_of_node in zip(level.wanted, sums, strict=True):
            assert tuple(histogram_of_node[: terms.cuts.starts([0])[1]].sum(axis=0)) == planner.tree.sums[node]
        level = planner.receive(sums)
        levels += 1
    assert levels == 5
    assert set(level.leaves) == {node for node, left in enumerate(planner.tree.left) if left < 0}


def test_the_largest_sums_fit(histogram):
    """Every gradient as large as it may be, at the declared maximum of rows."""
    for objective in OBJECTIVES:
        terms = drawn_terms(histogram, objective)
        for bound, scale in zip((terms.gradient_bound, 1.0), terms.scales, strict=True):
            for rows in (1, 1000, 2**20 - 1, 2**20, 2**33):
                scale = replace(terms, rows=rows).scales[0 if bound == terms.gradient_bound else 1]
                assert rows * bound * scale < 2**63
    assert drawn_terms(histogram, "binary:logistic", rows=10**6).scales[0] >= 2**40


def drawn_terms(histogram, objective, rows=300):
    return replace(histogram.draw_rows(50, objective=objective).terms(), rows=rows)


def test_more_rows_than_declared_are_refused(histogram):
    drawn = histogram.draw_rows(100)
    terms = replace(drawn.terms(), rows=99)
    with pytest.raises(InvalidInput, match="100 rows, but at most 99"):
        drawn.rows(terms)
    halves = [drawn.rows(terms, slice(0, 50)), drawn.rows(terms, slice(50, 100))]
    with pytest.raises(InvalidInput, match="100 rows, but at most 99"):
        histogram.train(terms, halves)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_labels_outside_the_terms_are_refused(histogram, objective):
    drawn = histogram.draw_rows(100, objective=objective)
    terms = drawn.terms()
    drawn.labels[3:5] = 1000
    with pytest.raises(InvalidInput, match="labels that are not"):
        drawn.rows(terms)


def test_a_gradient_that_outgrows_the_terms_is_refused(histogram):
    drawn = histogram.draw_rows(100, objective="reg:squarederror")
    terms = replace(drawn.terms(), rows=110)
    rows = drawn.rows(terms, held_out=slice(0, 10))
    rows.start(np.float32([terms.label_range[1] + 3 * terms.gradient_bound]))
    with pytest.raises(InvalidInput, match="beyond"):
        rows.begin(Planner(terms).begin(0))
    with pytest.raises(InvalidInput, match="label_range"):
        rows.loss()


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_tree_that_broke_off_can_be_begun_again(histogram, objective):
    drawn = histogram.draw_rows(300, objective=objective)
    terms = drawn.terms(subsample=0.7, rounds=2)
    undisturbed = model_digest(histogram.train(terms, [drawn.rows(terms)]))
    rows, planner = drawn.rows(terms), Planner(terms)
    begin = rows.begin

    def interrupted(start):
        rows.descend(planner.receive(begin(planner.begin(start.number))))
        return begin(start)

    rows.begin = interrupted
    assert model_digest(histogram.train(terms, [rows])) == undisturbed


@pytest.mark.parametrize(
    "change",
    [
        {"feature": 4},
        {"feature": -1},
        {"feature": True},
        {"left": 5},
        {"cut": 99},
        {"cut": 0.5},
        {"right_categories": (0,)},
        {"node": 1},
        {"default_left": 255},
        {"default_left": 0},
    ],
)
def test_a_split_of_another_tree_is_refused(histogram, change):
    drawn = histogram.draw_rows(100, categories=(5,))
    terms = drawn.terms()
    rows = drawn.rows(terms)
    rows.start(np.zeros(1, dtype=np.float32))
    rows.begin(Planner(terms).begin(0))
    split = Split(node=0, left=1, right=2, feature=0, default_left=False, cut=3)
    with pytest.raises(InvalidInput, match="does not continue"):
        rows.descend(Level((replace(split, **change),)))
    rows.descend(Level((split,), wanted=(1,)))
    child = replace(split, node=1, left=3, right=4)
    with pytest.raises(InvalidInput, match="does not continue"):
        rows.descend(Level((replace(split, left=3, right=4),)))
    with pytest.raises(InvalidInput, match="does not continue"):
        rows.finish(Level((child, replace(child, node=3, left=5, right=6)), leaves={2: 0, 4: 0, 5: 0, 6: 0}))


def test_leaves_of_another_tree_are_refused(histogram):
    drawn = histogram.draw_rows(100, categories=(5,))
    rows = drawn.rows(drawn.terms())
    rows.start(np.zeros(1, dtype=np.float32))
    split = Split(node=0, left=1, right=2, feature=0, default_left=False, cut=3)
    for leaves in ({1: 0.5}, {0: 0.5}, {0: 0.5, 1: 0.5, 2: 0.5}):
        rows.begin(Planner(rows.terms).begin(0))
        with pytest.raises(InvalidInput, match="leaves"):
            rows.finish(Level((split,), leaves=leaves))
        with pytest.raises(InvalidInput, match="leaves"):
            rows.replay(0, (split,), leaves)
    rows.replay(0, (split,), {1: 0.5, 2: -0.5})


def test_a_share_of_rows_and_features_is_drawn_for_each_tree(histogram):
    drawn = histogram.draw_rows(2000, objective="reg:squarederror", categories=(3, 9))
    terms = drawn.terms(subsample=0.3, colsample_bytree=0.6, max_depth=2)
    rows, planner = drawn.rows(terms, seed=5), Planner(terms)
    rows.start(np.float32([10]))
    shares, features = [], set()
    for number in range(6):
        start = planner.begin(number)
        sums = rows.begin(start)
        assert sums.shape[1] == terms.cuts.starts(start.features)[-1]
        level = planner.receive(sums)
        shares.append(planner.tree.sums[0][1] * terms.steps[1] / 2000)
        features.add(start.features)
        assert len(start.features) == 3
        assert {split.feature for split in level.splits} <= set(start.features)
        while level.wanted:
            level = planner.receive(rows.descend(level))
        rows.finish(level)
    np.testing.assert_allclose(shares, 0.3, atol=0.05)
    assert len(set(shares)) == 6
    assert len(features) > 1


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_rows_that_were_not_drawn_have_margins_too(histogram, objective):
    """Validation rows that repeat the training rows have their loss, whoever was drawn."""
    drawn = histogram.draw_rows(600, objective=objective, categories=(3, 9), missing=0.2)
    terms = replace(drawn.terms(subsample=0.5, colsample_bytree=0.6, rounds=4, early_stopping_rounds=50), rows=1200)
    rows = drawn.rows(terms, held_out=slice(None))
    booster = histogram.train(terms, [rows])
    margins = booster.predict(drawn.quantised(), output_margin=True).reshape(600, -1)
    for parts in (rows._train, rows._held_out):
        np.testing.assert_allclose(np.concatenate([part.margins for part in parts]), margins, rtol=1e-5, atol=1e-5)


def test_no_leaf_has_fewer_rows_than_the_hessian_allows(histogram):
    for objective in OBJECTIVES:
        drawn = histogram.draw_rows(400, objective=objective)
        terms = drawn.terms(min_child_weight=30 * HESSIAN_BOUND[objective], max_depth=6, rounds=6)
        booster = histogram.train(terms, [drawn.rows(terms)])
        leaves = booster.predict(drawn.quantised(), pred_leaf=True).reshape(400, -1)
        fewest = min(np.unique(column, return_counts=True)[1].min() for column in leaves.T)
        assert 30 <= fewest < 400


def test_an_owner_without_rows_sends_zeros(histogram):
    drawn = histogram.draw_rows(50)
    terms = drawn.terms()
    nobody = drawn.rows(terms, slice(0, 0))
    nobody.start(np.zeros(1, dtype=np.float32))
    assert not nobody.label_sums().any()
    assert not nobody.begin(Planner(terms).begin(0)).any()
    nobody.finish(Level(splits=(), leaves={0: 0.5}))
    with pytest.raises(InvalidInput, match="no owner has rows"):
        histogram.train(terms, [nobody])
