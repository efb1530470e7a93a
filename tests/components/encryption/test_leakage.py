"""The report: attacks succeed where they must, fail where the scheme protects, and would notice a broken one."""

import dataclasses
import json
from functools import cached_property

import numpy as np
import pytest

from components.encryption import attacks, leakage_report, publish
from components.encryption import attacks_on_order as order
from components.encryption.grid import thresholds
from components.encryption.order_columns import OrderColumns
from components.encryption.questions import cut_of


@pytest.mark.parametrize(("mode", "cut_points"), [("order", "decoys"), ("order", "untold"), ("hidden", "decoys")])
def test_no_attack_exceeds_its_bound(cases, published, mode, cut_points):
    ada, bob = (published("binary", mode, cut_points, user) for user in ("ada", "bob"))
    report = leakage_report(ada, cases["binary"].rows, other=bob)
    found = {leak.name: leak for leak in report.leaks}
    assert report.within_bounds
    assert found["collusion"].success == 1
    assert found["link by content"].success == 0
    assert found["link by shape"].success == 1
    assert all((leak.bound is None) == (leak.basis == "measured") for leak in report.leaks)
    # No bound that nothing could exceed.
    assert all(leak.bound is None or leak.bound < 1 for leak in report.leaks)
    assert found["use of columns"].success == (mode == "order")
    assert json.loads(json.dumps(report.document()))["fingerprint"] == ada.client.fingerprint.hex()
    assert all(leak.sentence.endswith(".") and 0 <= leak.success <= 1 for leak in report.leaks)


class StraightLine:
    """A domain that keeps order and no secret: rank r is the r-th of equal intervals."""

    def __init__(self, size: int) -> None:
        self.size = size

    def intervals(self, columns, ranks):
        columns, ranks = np.broadcast_arrays(columns, ranks)
        width = np.uint64((2**64 - 1) // self.size)
        return ranks.astype(np.uint64) * width, np.full(ranks.shape, width)


@pytest.fixture
def straight(monkeypatch):
    """Puts such a domain in the place of the keyed one, under all keys."""

    def plant():
        keyed = OrderColumns._domain.func
        domain = cached_property(lambda columns: StraightLine(keyed(columns).size))
        domain.__set_name__(OrderColumns, "_domain")
        monkeypatch.setattr(OrderColumns, "_domain", domain)

    return plant


@pytest.mark.parametrize("kind", ["binary", "stumps"])
@pytest.mark.parametrize("cut_points", ["decoys", "untold"])
def test_a_straight_line_would_be_found_out(cases, published, issued, straight, kind, cut_points):
    """Under any keys the same, so that what fresh keys show says nothing; with three cuts chance allows anything."""
    rows = cases[kind].rows[:100]
    assert leakage_report(published(kind, cut_points=cut_points), rows).within_bounds
    straight()
    made = publish(cases[kind].booster, issued(cases[kind].booster), mode="order", cut_points=cut_points)
    report = leakage_report(made, rows)
    found = {leak.name: leak for leak in report.leaks}
    assert found["places by line"].success == 1
    assert not report.within_bounds
    if cut_points == "untold":
        assert found["threshold by range"].success == 1


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
@pytest.mark.parametrize(("cut_points", "by_range", "by_line"), [("decoys", 0.03, 0.12), ("untold", 0.06, 0.03)])
def test_a_range_that_is_known_gives_little_away(cases, published, kind, cut_points, by_range, by_line):
    """Over twenty keys, in all: some three thresholds in a thousand with decoys, three in a hundred untold."""
    made, rows = published(kind, cut_points=cut_points), cases[kind].rows[:100]
    users = [order.with_fresh_keys(made.client.columns, bytes([number]) * 32) for number in range(20)]
    seen = [order.observe(made.forest, columns, rows) for columns in users]
    assert np.mean([order.found_by_range([one], rows) for one in seen]) < by_range
    assert order.found_by_range(seen, rows) < 2 * by_range
    assert 0 < order.met_by_line(users, rows) < by_line <= order.line_bound(made.client.columns)


@pytest.mark.parametrize("kind", ["constant", "one-hot", "multiclass"])
def test_any_model_has_a_report(cases, published, kind):
    rows = cases[kind].edges[:60].copy()
    rows[:, 1] = np.nan
    for mode in ("order", "hidden"):
        report = leakage_report(published(kind, mode), rows)
        assert report.within_bounds
        assert np.isfinite([leak.success for leak in report.leaks]).all()


def bare_columns(made):
    """The columns of a grid that holds the thresholds alone."""
    needed, edges = thresholds(made.forest), np.full_like(made.grid.edges, np.nan)
    for row, own in zip(edges, needed, strict=True):
        row[: len(own)] = own
    grid = dataclasses.replace(made.grid, edges=edges[:, : max(map(len, needed))])
    return dataclasses.replace(made.client.columns, grid=grid)


def test_a_grid_of_thresholds_alone_would_be_found_out(cases, published):
    """What decoys are for: with k = M every rank is known."""
    made = published("binary")
    forest, columns = made.forest, bare_columns(made)
    seen = order.observe(forest, columns, cases["binary"].rows[:50])
    diluted = order.observe(forest, made.client.columns, cases["binary"].rows[:50])
    assert order.found_by_grid([seen], columns) > 3 * order.found_by_grid([diluted], made.client.columns)


def test_more_thresholds_than_decoys_allow_would_be_found_out(cases, published):
    made = published("binary")
    assert 0 < _success(made, cases, "cut points by grid") <= 0.25
    wrong = dataclasses.replace(made, client=dataclasses.replace(made.client, columns=bare_columns(made)))
    assert not leakage_report(wrong, cases["binary"].rows[:50]).within_bounds


def test_a_grid_that_forgets_the_former_one_would_be_found_out(cases, published):
    made = published("binary")
    names, edges = made.forest.features, made.grid.edges
    good = dataclasses.replace(made, former={name: row[1:2].tolist() for name, row in zip(names, edges, strict=True)})
    assert _success(good, cases, "cut points by versions") <= 0.25
    decoys = [np.setdiff1d(row, cuts).tolist() for row, cuts in zip(edges, thresholds(made.forest), strict=True)]
    bad = dataclasses.replace(made, former=dict(zip(names, decoys, strict=True)))
    assert _success(bad, cases, "cut points by versions") == 1
    assert not leakage_report(bad, cases["binary"].rows[:50]).within_bounds


def _success(made, cases, name: str) -> float:
    report = leakage_report(made, cases["binary"].rows[:50])
    return next(leak.success for leak in report.leaks if leak.name == name)


def test_nodes_that_make_the_same_cut_are_counted(published):
    for mode in ("order", "hidden"):
        made = published("binary", mode)
        cuts = [cut_of(made.forest, node) for node in np.flatnonzero(~made.forest.is_leaf)]
        expected = np.mean([cuts.count(cut) > 1 for cut in cuts])
        assert 0 < expected < 1
        assert attacks.nodes_alike(made.model) == (float(mode == "order"), expected)


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
