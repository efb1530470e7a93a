"""Policies on disk: the ones that ship, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from components.boosting import BoostingParameters, predict, train_pooled
from components.boosting.blend import blend
from components.data.predictions import predictions_of
from components.data.rand_hie import load_rand_hie
from components.data.split import split_table
from components.errors import InvalidInput
from components.fairness import one_row_per_person
from components.gates import run_gate
from components.gates.policy import Policy, read_policy, rows_without_event
from components.gates.statistics import clopper_pearson_upper

SHIPPED = Path(__file__).parents[3] / "deploy" / "policies"


@pytest.fixture
def written(tmp_path):
    def write(document) -> Path:
        path = tmp_path / "policy.yaml"
        path.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
        return path

    return write


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_policies_are_valid_and_look_at_the_groups_of_a_first_model_too(path):
    policy = read_policy(path)
    assert policy.name == path.stem
    assert policy.groups.gap


def test_a_policy_survives_being_written_and_read_again(written):
    policy = read_policy(SHIPPED / "strict.yaml")
    assert read_policy(written(policy.model_dump(mode="json", exclude_none=True))) == policy
    assert Policy.model_validate_json(policy.model_dump_json()) == policy


def test_nothing_is_implied(written):
    policy = read_policy(written({"name": "empty"}))
    checks = (policy.flip_budget, policy.not_worse, policy.maximum_error, policy.beats_constant, policy.golden_set)
    assert checks == (None,) * 5
    assert policy.groups is None


@pytest.mark.parametrize(
    ("extra", "named"),
    [
        ({"flipbudget": {"nfr": 0.01}}, "flipbudget"),
        ({"flip_budget": {"nfr": 0}}, "flip_budget.nfr"),
        ({"flip_budget": {"nfr": 1}}, "flip_budget.nfr"),
        ({"flip_budget": {"nfr": float("nan")}}, "flip_budget.nfr"),
        ({"flip_budget": {}}, "flip_budget.nfr"),
        ({"maximum_error": {"budget": -0.1}}, "maximum_error.budget"),
        ({"golden_set": {"flips_allowed": 1}}, "golden_set.flips_allowed"),
        ({"confidence": 0.5}, "confidence"),
        ({"confidence": 95}, "confidence"),
        ({"groups": {"columns": "all"}}, "groups"),
        ({"groups": {"columns": [], "nfr": {"budget": 0.1}}}, "groups.columns"),
        ({"groups": {"columns": ["sex", "sex"], "nfr": {"budget": 0.1}}}, "groups.columns"),
        ({"groups": {"intersections": 4, "nfr": {"budget": 0.1}}}, "groups.intersections"),
        ({"groups": {"gap": [{"metric": "accuracy"}]}}, "groups.gap"),
        ({"groups": {"gap": [{"metric": "error"}, {"metric": "error", "tolerance": 0.1}]}}, "groups.gap"),
        ({"pass_correction": "bonferroni"}, "pass_correction"),
        ({"choice": {"rule": "best"}}, "choice.rule"),
    ],
)
def test_a_mistake_is_refused_by_its_key(written, extra, named):
    with pytest.raises(InvalidInput) as refused:
        read_policy(written({"name": "p", **extra}))
    assert named in str(refused.value)
    assert "policy.yaml" in str(refused.value)


@pytest.mark.parametrize(
    ("text", "named"),
    [("name: p\nnot_worse:\n", "not_worse"), ("name: p\ngroups:\n  error: {budget: 0.1}\n  nfr:\n", "groups.nfr")],
)
def test_a_check_left_empty_is_refused_rather_than_dropped(written, text, named):
    with pytest.raises(InvalidInput, match=named):
        read_policy(written(text))


def test_a_rise_its_own_minimum_could_never_show_is_refused_with_what_it_could(written):
    def asked(rows: int) -> dict:
        return {"name": "p", "groups": {"minimum_rows": rows, "error": {"budget": 0.02}}}

    # Without a flip Tango's bound is z^2 / (n + z^2): the fewest rows for 2 % at 95 % are 133.
    with pytest.raises(InvalidInput, match=r"groups\.error\.budget.* 132 rows"):
        read_policy(written(asked(132)))
    assert read_policy(written(asked(133))).groups.error.budget == 0.02


@pytest.mark.parametrize(
    ("extra", "key", "rows"),
    [
        ({"minimum_rows": 200, "flip_budget": {"nfr": 0.01}}, "flip_budget.nfr", 299),
        ({"minimum_rows": 20, "maximum_error": {"budget": 0.1}}, "maximum_error.budget", 29),
        ({"groups": {"minimum_rows": 100, "nfr": {"budget": 0.02}}}, "groups.nfr.budget", 149),
        ({"confidence": 0.99, "minimum_rows": 400, "flip_budget": {"nfr": 0.01}}, "flip_budget.nfr", 459),
    ],
)
def test_a_budget_its_own_minimum_could_never_show_is_refused_with_the_rows_it_takes(written, extra, key, rows):
    with pytest.raises(InvalidInput) as refused:
        read_policy(written({"name": "p", **extra}))
    assert key in str(refused.value)
    assert f" {rows} " in str(refused.value)


@pytest.mark.parametrize("budget", [0.01, 0.05, 0.3])
@pytest.mark.parametrize("level", [0.05, 0.01])
def test_rows_without_event_are_the_fewest_that_show_a_budget(budget, level):
    rows = rows_without_event(budget, level)
    assert clopper_pearson_upper(0, rows, level) <= budget < clopper_pearson_upper(0, rows - 1, level)


def test_eight_groups_need_505_rows_each():
    assert rows_without_event(0.01, 0.05 / 8) == 505


def test_the_policy_of_the_rand_records_judges_pairs_and_lists_those_too_small():
    table = load_rand_hie((1, 2, 3))
    part = split_table(table, "troth")
    train, gate = table.take(part.train), table.take(part.gate)
    gate = gate.take(one_row_per_person(gate))
    settings = BoostingParameters(threads=1)
    old, new = (train_pooled(train.take(rows), settings) for rows in (train.time == 1, train.time <= 3))
    both = (old, blend(new, old, old_weight=0.5))
    champion, candidate = (predictions_of(gate, predict(booster, gate)) for booster in both)
    document = read_policy(SHIPPED / "rand_hie.yaml").model_dump(exclude_none=True)
    without_golden = Policy.model_validate({key: value for key, value in document.items() if key != "golden_set"})
    constant = gate.labels == np.bincount(train.labels).argmax()
    verdict = run_gate(without_golden, candidate, champion, constant_right=constant)

    pairs = [check for check in verdict.checks if "&" in check.subject]
    assert len({check.subject for check in pairs}) == 28
    assert all(check.rows >= 150 for check in pairs)
    assert len([name for name in verdict.unjudged if "&" in name]) == 34
