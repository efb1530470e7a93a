"""The report: attacks succeed where they must, fail where the scheme protects, and would notice a broken one."""

import dataclasses
import json

import numpy as np
import pytest

from components.encryption import attacks, leakage_report
from components.encryption import attacks_on_order as order


@pytest.mark.parametrize(("mode", "cut_points"), [("order", "decoys"), ("order", "untold"), ("hidden", "decoys")])
def test_no_attack_exceeds_its_bound(cases, published, mode, cut_points):
    ada, bob = (published("binary", mode, cut_points, user) for user in ("ada", "bob"))
    report = leakage_report(ada, cases["binary"].rows, other=bob)
    found = {leak.name: leak for leak in report.leaks}
    assert report.within_bounds
    assert found["collusion"].success == 1
    assert found["link by content"].success == 0
    assert found["link by shape"].success == 1
    assert json.loads(json.dumps(report.document()))["fingerprint"] == ada.client.fingerprint.hex()
    assert all(leak.sentence.endswith(".") and 0 <= leak.success <= 1 for leak in report.leaks)


@pytest.mark.parametrize("kind", ["constant", "one-hot", "multiclass"])
def test_any_model_has_a_report(cases, published, kind):
    rows = cases[kind].edges[:60].copy()
    rows[:, 1] = np.nan
    for mode in ("order", "hidden"):
        report = leakage_report(published(kind, mode), rows)
        assert report.within_bounds
        assert np.isfinite([leak.success for leak in report.leaks]).all()


def test_a_grid_of_thresholds_alone_would_be_found_out(cases, published):
    """What decoys are for: with k = M every rank is known."""
    made = published("binary")
    grid = made.client.columns.grid
    forest = made.forest
    bare = np.full_like(grid.edges, np.nan)
    features, values, _ = order.numeric_cuts(forest)
    for feature in range(len(forest.features)):
        own = np.unique(values[features == feature])
        bare[feature, : len(own)] = own
    width = int((~np.isnan(bare)).sum(axis=1).max())
    columns = dataclasses.replace(made.client.columns, grid=dataclasses.replace(grid, edges=bare[:, :width]))
    seen = order.observe(forest, columns, cases["binary"].rows[:50])
    diluted = order.observe(forest, made.client.columns, cases["binary"].rows[:50])
    assert order.found_by_grid([seen], columns) > 3 * order.found_by_grid([diluted], made.client.columns)


def test_averaging_users_gets_closer(cases, published):
    made, rows = published("multiclass"), cases["multiclass"].rows[:50]
    columns = made.client.columns
    users = [order.observe(made.forest, order.with_fresh_keys(columns, bytes([k]) * 32), rows) for k in range(200)]
    assert order.found_by_grid(users, columns) > 3 * np.mean([order.found_by_grid([one], columns) for one in users])


def test_the_attack_sees_the_tokens_of_the_artifact(published):
    made = published("binary")
    columns, tokens, _ = made.client.columns.thresholds(*order.numeric_cuts(made.forest))
    inner = (made.model.children[:, 0] != np.arange(len(made.model.children))) & (made.model.split < 0)
    held = set(zip(made.model.column[inner].tolist(), made.model.token[inner].tolist(), strict=True))
    assert set(zip(columns.tolist(), tokens.tolist(), strict=True)) == held


def test_order_is_seen_and_quantiles_are_matched_where_queries_are_many(cases, published):
    columns, rows = published("binary", cut_points="untold").client.columns, cases["binary"].rows
    assert order.ordered_pairs(columns, rows) == 1
    assert order.found_by_quantiles(columns, rows, rows) == 1
    assert order.repeated_tokens(columns, rows) < 0.001


def test_concordance_knows_order_from_chance():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=150)
    assert attacks.concordance(truth, truth) == attacks.concordance(-truth, truth) == 1
    guesses = [attacks.concordance(rng.normal(size=150), truth) for _ in range(200)]
    assert max(guesses) < attacks.fair(truth) < 0.7
    bits = rng.random(150) < 0.1
    guesses = [attacks.concordance(rng.normal(size=150), bits.astype(float)) for _ in range(200)]
    assert max(guesses) < attacks.fair(bits) < 0.95


def test_leaves_in_the_clear_would_be_found_out(published):
    made = published("binary")
    read = attacks.leaf_values(made.model, made.client, 200)
    assert attacks.concordance(read, read) > attacks.fair(read)


def test_two_users_share_nothing_but_shapes(published):
    for mode in ("order", "hidden"):
        ada, bob = (published("multiclass", mode, user=user).model for user in ("ada", "bob"))
        assert attacks.shared_words(ada, bob) == 0
        assert attacks.shared_words(ada, ada) == 1
        assert attacks.same_shapes(ada, bob) == 1
        assert attacks.same_shapes(ada, published("stumps", mode).model) < 1
