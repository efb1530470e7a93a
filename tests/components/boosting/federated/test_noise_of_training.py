"""Noise on all sums of a training: as much as one person's rows take, no less, and never drawn twice for one sum."""

import json
import math
from collections import Counter

import numpy as np
import pytest

from components.boosting.federated import RowsOfOwner, SumNoise, progress_of, train
from components.boosting.federated import owner as owner_module
from components.boosting.federated.agreement import state_after, state_of, terms_document
from components.boosting.federated.model import model_of
from components.boosting.federated.noise import above_noise, counted_parts, first_rows
from components.boosting.pooled import predict_margins
from components.errors import InvalidInput
from components.federated import Content
from components.federated.noise_account import rho_of
from components.federated.quantiles import first_grid
from tests.components.boosting.federated.conftest import dealt
from tests.components.boosting.federated.rehearsal import Rehearsal
from tests.components.boosting.federated.test_one_set_of_owners import Crash


@pytest.fixture
def noisy(agreement):
    def make(schema, noise: SumNoise, contributors: int = 1, **settings):
        return agreement(schema, **settings).model_copy(update={"noise": noise, "contributors": contributors})

    return make


def said_by(agreed, table, edges) -> dict[str, np.ndarray]:
    """What an owner of these rows gives to each kind of sum."""
    rows, asked = RowsOfOwner(agreed, table, seed=1), agreed.searched()
    sums, answers = rows.sums, rows.answers
    grids = [first_grid().boundaries for _ in asked]
    document = {"features": asked, "sizes": list(map(len, grids))}
    found = {"count": sums["count"](Content(document, np.concatenate(grids), 0))}
    terms, margins = terms_document(edges, 10**4, (-50.0, 50.0)), [0.3] * agreed.outputs
    answers["prepare"](Content(terms))
    found["labels"] = sums["labels"](Content({"state": state_of(terms)}, batch=1))
    answers["catch_up"](Content({"margins": margins, "first": 0, "trees": []}))
    features = list(range(len(agreed.schema_.features)))
    state, leaf = state_of(terms, margins), {"splits": [], "wanted": [], "leaves": [[0, 0.2]]}
    for number in range(agreed.outputs):
        asked = Content({"number": number, "features": features, "state": state}, batch=2)
        found.setdefault("tree", sums["begin"](asked))
        answers["finish"](Content(leaf))
        state = state_after(state, [], {0: 0.2})
    found["loss"] = sums["loss"](Content({"state": state}, batch=2))
    return {kind: vector.view(np.int64) for kind, vector in found.items()}


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("rows", [1, 3])
def test_no_person_moves_a_sum_by_more_than_the_noise_is_for(noisy, joint, monkeypatch, kind, rows):
    """Every person is left out in turn; some have as many rows as may count, and one more."""
    monkeypatch.setattr(owner_module, "add_noise", lambda vector, deviation: vector)
    table = joint(60, kind=kind)
    places = np.concatenate([np.arange(60), np.repeat(np.arange(20), rows)])
    table = table.take(np.sort(places))
    agreed = noisy(table.schema, SumNoise(epsilon=5, delta=1e-5, rows=rows), rounds=1, max_depth=2, max_bin=4)
    plan, edges = agreed.noise_plan, {name: [-0.5, 0.5] for name in agreed.searched()}
    whole, moved = said_by(agreed, table, edges), Counter()
    for person in np.unique(table.person):
        fewer = said_by(agreed, table.take(np.flatnonzero(table.person != person)), edges)
        for what, vector in whole.items():
            moved[what] = max(moved[what], float(np.linalg.norm((vector - fewer[what]).astype(float))))
    for what, most in moved.items():
        assert 0 < most <= plan.plans[what].sensitivity, what
        if what in ("count", "tree"):
            assert most > 0.05 * plan.plans[what].sensitivity, what


def test_all_sums_together_spend_what_is_promised(noisy, joint):
    """Each kind of sum as often as a training can ask for it; a row is in training, or in losses, never in both."""
    schema = joint(10).schema
    agreed = noisy(schema, SumNoise(epsilon=3, delta=1e-6), contributors=2, rounds=7, max_depth=4)
    plan = agreed.noise_plan
    assert {kind: one.sums for kind, one in plan.plans.items()} == {"count": 8, "labels": 1, "tree": 28, "loss": 7}
    spent = {
        kind: one.sums * one.sensitivity**2 / (2 * one.contributors * one.deviation**2)
        for kind, one in plan.plans.items()
    }
    trained = spent["count"] + spent["labels"] + spent["tree"]
    assert 0.9 * rho_of(3, 1e-6) < trained <= rho_of(3, 1e-6)
    assert spent["loss"] <= rho_of(3, 1e-6)
    assert 2.8 < plan.to_json()["epsilon"] <= 3


def test_an_owner_adds_its_part_to_every_sum(noisy, joint, monkeypatch):
    table = joint(900)
    agreed = noisy(table.schema, SumNoise(epsilon=5, delta=1e-5), rounds=1, max_depth=2)
    edges = {name: np.linspace(-2, 2, 200).tolist() for name in agreed.searched()}
    said = said_by(agreed, table, edges)
    monkeypatch.setattr(owner_module, "add_noise", lambda vector, deviation: vector)
    for what, vector in said_by(agreed, table, edges).items():
        added = said[what] - vector
        assert np.any(added != 0), what
        if len(added) > 500:
            assert np.std(added) == pytest.approx(agreed.noise_plan.deviation(what), rel=0.1)


def test_a_model_is_learnt_under_noise(noisy, joint):
    table = joint(6000)
    noise = SumNoise(epsilon=100, delta=1e-5)
    agreed = noisy(table.schema, noise, rounds=4, max_depth=2, max_bin=8, min_child_weight=50)
    rehearsal = Rehearsal({name: RowsOfOwner(agreed, part) for name, part in zip("abc", dealt(table, 3), strict=True)})
    progress = train(rehearsal, agreed, batches=rehearsal.batch)
    assert progress.rounds[-1].loss < 0.95 * math.log(2)
    assert np.ptp(predict_margins(model_of(agreed, progress), table)) > 0.3
    asked = Counter("tree" if name in ("begin", "descend") else name for _, name, *_ in rehearsal.opened)
    assert all(asked[kind] <= plan.sums for kind, plan in agreed.noise_plan.plans.items())


def test_nothing_is_asked_for_twice_under_noise(noisy, joint):
    """With other noise a second time would spend more: a round that was stopped in the middle counts as lost."""
    table = joint(600)
    agreed = noisy(table.schema, SumNoise(epsilon=100, delta=1e-5), rounds=2, max_depth=2, max_bin=4)
    parts = dealt(table, 3)

    def owners():
        return {name: RowsOfOwner(agreed, part) for name, part in zip("abc", parts, strict=True)}

    for stop in range(6):
        kept = []

        def keep(event, kept=kept, stop=stop):
            if len(kept) == stop:
                raise Crash
            kept.append(json.dumps(event))

        first, again = Rehearsal(owners()), Rehearsal(owners())
        with pytest.raises(Crash):
            train(first, agreed, batches=first.batch, keep=keep)
        start = progress_of(map(json.loads, kept))
        if start.begun and not start.margins:
            with pytest.raises(InvalidInput, match="epsilon"):
                train(again, agreed, start=start, batches=again.batch)
            continue
        pending = start.begun
        progress = train(again, agreed, start=start, batches=again.batch)
        assert progress.rounds[0].cut_short == bool(pending)
        numbers = [content.document["number"] for _, name, content, _ in first.opened + again.opened if name == "begin"]
        assert len(set(numbers)) == len(numbers)


def test_of_who_has_more_rows_the_first_count():
    person = np.array(["b", "a", "b", "b", "a", "c"])
    assert first_rows(person, 1).tolist() == [0, 1, 5]
    assert first_rows(person, 2).tolist() == [0, 1, 2, 4, 5]
    assert first_rows(person, 9).tolist() == list(range(6))
    assert first_rows(person[:0], 1).tolist() == []


def test_cells_of_noise_alone_count_as_empty():
    assert above_noise(np.array([-900, -1, 0, 39, 41]), 10).tolist() == [0, 0, 0, 0, 41]


@pytest.mark.parametrize(("members", "threshold", "parts"), [(3, 2, 1), (4, 3, 1), (5, 3, 2), (5, 4, 1), (21, 11, 10)])
def test_parts_of_those_who_may_collude_and_of_one_owner_more_do_not_count(members, threshold, parts):
    assert counted_parts(members, members=members, threshold=threshold) == parts


def test_noise_under_which_nothing_is_learnt_is_refused(noisy, joint):
    agreed = noisy(joint(10).schema, SumNoise(epsilon=0.01, delta=1e-9), rounds=5000, max_depth=8)
    with pytest.raises(InvalidInput, match="fewer rounds"):
        _ = agreed.noise_plan


def test_bins_that_noise_would_hide_are_refused_before_anything_is_spent(noisy, joint):
    table = joint(600)
    agreed = noisy(table.schema, SumNoise(epsilon=1, delta=1e-5), rounds=1, max_bin=16)
    rehearsal = Rehearsal({name: RowsOfOwner(agreed, part) for name, part in zip("ab", dealt(table, 2), strict=True)})
    with pytest.raises(InvalidInput, match="max_bin"):
        train(rehearsal, agreed, batches=rehearsal.batch)
    assert not rehearsal.opened


def test_owners_give_no_more_features_than_noise_is_for(noisy, joint):
    table = joint(300)
    agreed = noisy(table.schema, SumNoise(epsilon=5, delta=1e-5), rounds=1, colsample_bytree=0.7)
    edges = {name: [0.0] for name in agreed.searched()}
    with pytest.raises(InvalidInput, match="features"):
        said_by(agreed, table, edges)


def test_who_has_more_rows_counts_like_who_has_one(noisy, joint):
    table = joint(60)
    doubled = table.take(np.repeat(np.arange(60), 2))
    agreed = noisy(table.schema, SumNoise(epsilon=5, delta=1e-5), rounds=1)
    one, two = (RowsOfOwner(agreed, part).answers["describe"](Content()).document for part in (table, doubled))
    assert one == two
