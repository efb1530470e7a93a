import json

import numpy as np
import pytest
import xgboost

from components.boosting.candidates import CandidatePlan, blends, candidates, retrain_with_other_seed
from components.boosting.held_out import folds_by_person, held_out_correctness
from components.boosting.model import model_digest
from components.boosting.parameters import BoostingParameters
from components.boosting.pooled import predict, predict_margins, train_pooled
from components.data.predictions import predictions_of
from components.errors import InvalidInput


@pytest.fixture(scope="module")
def update(table_of, small):
    """A champion of the first half of the rows, all rows, and which of them it saw."""
    table = table_of("binary", rows=600)
    seen = np.arange(600) < 300
    return train_pooled(table.take(seen), small), table, seen


def test_without_a_champion_there_is_only_the_retrain(table_of, small):
    table = table_of("binary")
    (only,) = candidates(table, None, None, small, CandidatePlan())
    assert only.name == "retrain"
    assert model_digest(only.booster) == model_digest(train_pooled(table, small))


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_every_candidate_is_a_plain_model(table_of, small, kind):
    old, table, test = table_of(kind, seed=1), table_of(kind, seed=2), table_of(kind, seed=3)
    champion, validation = train_pooled(old, small), table_of(kind, seed=4)
    seen, steps = np.zeros(len(table), dtype=bool), []
    stopped = small.model_copy(update={"early_stopping_rounds": 3})
    plan = CandidatePlan(distillation_strengths=(0.5, 2), warm_start_rounds=4)
    offered = list(
        candidates(table, validation, champion, stopped, plan, seen=seen, progress=lambda name, *_: steps.append(name))
    )
    assert [candidate.name for candidate in offered] == [
        "retrain", "blend_0.25", "blend_0.5", "blend_0.75", "warm_start", "distill_0.5", "distill_2",
    ]  # fmt: skip
    assert set(steps) == {"retrain", "warm_start", "distill_0.5", "distill_2"}
    constant = max(np.bincount(test.labels)) / len(test) if kind != "regression" else 0.3
    for candidate in offered:
        json.dumps(candidate.settings)
        loaded = xgboost.Booster(model_file=bytearray(candidate.booster.save_raw("ubj")))
        scores = predict(loaded, test)
        if kind == "multiclass":
            np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)
        assert predictions_of(test, scores).right.mean() > constant, candidate.name


def test_the_plan_is_followed(update, small):
    champion, table, seen = update
    plan = CandidatePlan(kinds=("blend",), blend_weights=(0.1,))
    assert [c.name for c in candidates(table, None, champion, small, plan, seen=seen)] == ["retrain", "blend_0.1"]


def test_warm_start_keeps_the_champion_inside(update, small):
    champion, table, seen = update
    before = model_digest(champion)
    plan = CandidatePlan(kinds=("warm_start",), warm_start_rounds=3)
    warm = [list(candidates(table, None, champion, small, plan, seen=seen))[1].booster for _ in range(2)]
    assert warm[0].num_boosted_rounds() == 11
    np.testing.assert_allclose(predict_margins(warm[0][:8], table), predict_margins(champion, table), rtol=1e-6)
    assert model_digest(champion) == before


def test_a_repeated_run_gives_the_same_models(update, small):
    """Whatever was trained in between: XGBoost's random state must not carry over."""
    champion, table, seen = update
    first = {
        c.name: model_digest(c.booster) for c in candidates(table, None, champion, small, CandidatePlan(), seen=seen)
    }
    train_pooled(table, small.model_copy(update={"rounds": 3, "seed": 9}))
    plan = CandidatePlan(kinds=("distill", "warm_start"))
    for candidate in candidates(table, None, champion, small, plan, seen=seen):
        assert model_digest(candidate.booster) == first[candidate.name], candidate.name


def test_a_champion_of_other_features_is_refused_before_training(update, small):
    champion, table, _ = update
    features = dict(list(table.schema.features.items())[:-1])
    narrow = type(table)(table.schema.model_copy(update={"features": features}), table.columns)
    with pytest.raises(InvalidInput, match="town"):
        next(candidates(narrow, None, champion, small, CandidatePlan(), progress=lambda *_: pytest.fail("trained")))


def test_a_champion_of_another_label_is_refused_before_training(table_of, small):
    champion = train_pooled(table_of("binary"), small)
    positive = table_of("binary").schema.label.model_copy(update={"positive": "0"})
    turned = table_of("binary").schema.model_copy(update={"label": positive})
    for table, named in (
        (table_of("multiclass"), "multi:softprob"),
        (type(table_of("binary"))(turned, table_of("binary").columns), "classes"),
    ):
        with pytest.raises(InvalidInput, match=named):
            next(candidates(table, None, champion, small, CandidatePlan(), progress=lambda *_: pytest.fail("trained")))


def test_where_rows_are_apart_only_blends_are_offered(update, small):
    champion, table, _ = update
    with pytest.raises(InvalidInput, match="warm_start and distill"):
        CandidatePlan(kinds=("warm_start", "distill")).require_apart()
    plan = CandidatePlan(blend_weights=(0.5,))
    plan.require_apart()
    (half,) = blends(train_pooled(table, small), champion, plan)
    assert (half.name, half.record) == ("blend_0.5", None)
    assert not list(blends(champion, champion, CandidatePlan(kinds=())))


def test_seed_noise_needs_something_drawn(table_of, small):
    table = table_of("binary")
    still = small.model_copy(update={"subsample": 1.0, "colsample_bytree": 1.0})
    for parameters, differ in ((small, True), (still, False)):
        one, other = train_pooled(table, parameters), retrain_with_other_seed(table, None, parameters)
        assert (predict(one, table) != predict(other, table)).any() == differ


def test_folds_keep_persons_whole_and_balanced():
    person = np.random.default_rng(0).choice([f"p{i}" for i in range(23)], 400)
    fold = folds_by_person(person, folds=4, seed=1)
    holders = {name: set(fold[person == name]) for name in np.unique(person)}
    assert all(len(folds) == 1 for folds in holders.values())
    assert sorted(np.bincount([folds.pop() for folds in holders.values()])) == [5, 6, 6, 6]
    with pytest.raises(InvalidInput, match="folds is 24"):
        folds_by_person(person, folds=24, seed=1)


def test_memorised_rows_do_not_count_as_right(table_of):
    """A champion that learned its rows by heart is right on all of them, but not on held-out terms."""
    table = table_of("binary", rows=600, cut=1.2)
    deep = BoostingParameters(rounds=60, max_depth=12, eta=1.0, min_child_weight=0, reg_lambda=0.01, threads=2)
    seen = np.arange(600) < 400
    champion = train_pooled(table.take(seen), deep)
    direct = predictions_of(table, predict(champion, table)).right
    right = held_out_correctness(champion, deep, table, seen=seen, folds=3)
    assert direct[seen].mean() > 0.97
    np.testing.assert_array_equal(right[~seen], direct[~seen])
    assert abs(right[seen].mean() - direct[~seen].mean()) < 0.1
