"""Checks by group and intersection: who is judged, who is listed, and by which numbers."""

import numpy as np
import pytest
from statsmodels.stats.proportion import confint_proportions_2indep

from components.data.predictions import Predictions
from components.data.schema import RegressionLabel
from components.data.table import GroupColumn
from components.errors import InvalidInput
from components.gates import Decision, Outcome, Policy, run_gate


def policy(confidence=0.95, pass_correction="holm", **groups) -> Policy:
    return Policy(name="p", confidence=confidence, pass_correction=pass_correction, groups=groups)


def blocks(models, **cells):
    """Candidate and champion whose group `site` has, level by level, the given flip counts (a, b, c, d)."""
    counts = np.array(list(cells.values()))
    new = np.concatenate([np.repeat([True, False, True, False], cell) for cell in counts])
    old = np.concatenate([np.repeat([True, True, False, False], cell) for cell in counts])
    groups = {"site": np.repeat(list(cells), counts.sum(axis=1))}
    return models.model(new, groups=groups), models.model(old, groups=groups)


def by_subject(verdict, name):
    return {check.subject: check for check in verdict.checks if check.name == name}


def test_a_group_that_pays_for_the_others_is_rejected(models):
    """Overall the update is a gain; one site loses a tenth of its right answers."""
    verdict = run_gate(
        policy(nfr={"budget": 0.05}, error={"budget": 0.03}),
        *blocks(models, a=(900, 0, 60, 40), b=(900, 0, 60, 40), c=(400, 50, 0, 50)),
    )
    assert verdict.context["error_new"] < verdict.context["error_old"]
    assert verdict.decision is Decision.REJECT
    for name in ("group_nfr", "group_error"):
        checks = by_subject(verdict, name)
        assert checks["site=c"].outcome is Outcome.FAIL
        assert checks["site=a"].outcome is Outcome.PASS
    assert "site=c" in verdict.reasons[0]


@pytest.mark.parametrize(("rows", "decision"), [(505, Decision.PROMOTE), (504, Decision.HOLD)])
def test_eight_groups_need_505_rows_each_for_one_percent(models, rows, decision):
    cells = {f"level {number}": (rows, 0, 0, 0) for number in range(8)}
    assert run_gate(policy(nfr={"budget": 0.01}, minimum_rows=299), *blocks(models, **cells)).decision is decision


def test_without_correction_each_group_needs_299(models):
    cells = {f"level {number}": (299, 0, 0, 0) for number in range(8)}
    wanted = policy(nfr={"budget": 0.01}, minimum_rows=299, pass_correction="none")
    assert run_gate(wanted, *blocks(models, **cells)).decision is Decision.PROMOTE


def test_rows_needed_of_a_group_counts_its_own_rows(models):
    cells = {"big": (5000, 0, 0, 0), "small": (200, 0, 0, 0)}
    verdict = run_gate(policy(nfr={"budget": 0.01}, minimum_rows=300, small_groups="report"), *blocks(models, **cells))
    assert verdict.unjudged == ("site=small: 200 rows",)
    verdict = run_gate(
        policy(nfr={"budget": 0.02}, minimum_rows=150), *blocks(models, big=(5000, 0, 0, 0), small=(200, 1, 0, 0))
    )
    check = by_subject(verdict, "group_nfr")["site=small"]
    assert check.rows == 201
    assert 201 < check.rows_needed < 400


@pytest.mark.parametrize(("small_groups", "decision"), [("hold", Decision.HOLD), ("report", Decision.PROMOTE)])
def test_small_groups_hold_or_are_listed_and_never_vanish(models, small_groups, decision):
    """Twenty rows, all of them lost: too few to judge, and never taken for fair."""
    update = blocks(models, a=(500, 0, 0, 0), b=(0, 20, 0, 0))
    verdict = run_gate(policy(nfr={"budget": 0.05}, small_groups=small_groups), *update)
    assert verdict.decision is decision
    held = by_subject(verdict, "group_nfr").get("site=b")
    if small_groups == "hold":
        assert held.outcome is Outcome.INCONCLUSIVE
        assert (held.rows, held.rows_needed) == (20, 100)
        assert verdict.unjudged == ()
    else:
        assert held is None
        assert verdict.unjudged == ("site=b: 20 rows",)


def test_a_level_without_rows_is_listed(models):
    site = GroupColumn(np.zeros(400, dtype=np.int32), ("here", "elsewhere"))
    update = models.update(400, 0, 0, 0, groups={"site": site})
    assert "site=elsewhere: 0 rows" in run_gate(policy(nfr={"budget": 0.05}, small_groups="report"), *update).unjudged
    held = by_subject(run_gate(policy(nfr={"budget": 0.05}), *update), "group_nfr")["site=elsewhere"]
    assert held.outcome is Outcome.INCONCLUSIVE
    assert held.rows == 0


def test_a_group_of_everyone_has_no_gap_to_judge(models):
    """With one level there is nobody to compare with; that is said, not passed."""
    update = models.update(400, 0, 0, 0, groups={"site": np.repeat("here", 400)})
    verdict = run_gate(policy(gap=[{"metric": "error"}], small_groups="report"), *update)
    assert verdict.unjudged == ("site=here: 0 rows outside it",)
    assert verdict.decision is Decision.HOLD


def test_harm_hidden_in_an_intersection_needs_depth_two(models):
    """Errors of black women and white men rise, the others' fall: no single column shows it."""
    sex, race = np.repeat(["f", "f", "m", "m"], 1000), np.repeat(["b", "w", "b", "w"], 1000)
    crossed = (sex == "f") == (race == "b")
    row = np.arange(4000) % 1000
    champion = models.model(np.where(crossed, row >= 100, row >= 200), groups={"sex": sex, "race": race})
    candidate = models.model(np.where(crossed, row >= 200, row >= 100), groups={"sex": sex, "race": race})

    assert run_gate(policy(error={"budget": 0.03}), candidate, champion).decision is Decision.PROMOTE
    verdict = run_gate(policy(error={"budget": 0.03}, intersections=2), candidate, champion)
    failed = {check.subject for check in verdict.checks if check.outcome is Outcome.FAIL}
    assert failed == {"sex=f & race=b", "sex=m & race=w"}


def test_gap_bounds_are_newcombes_at_holms_level(models):
    """The larger of two p-values is held against the whole level, the smaller against half of it."""
    labels = np.zeros(1000, dtype=int)
    candidate = models.model(
        np.r_[np.arange(300) >= 36, np.arange(700) >= 70],
        labels=labels,
        groups={"sex": np.repeat(["f", "m"], [300, 700])},
    )
    checks = by_subject(run_gate(policy(gap=[{"metric": "error", "tolerance": 0.05}]), candidate), "group_gap_error")
    for subject, counts, level in (("sex=f", (36, 300, 70, 700), 0.05), ("sex=m", (70, 700, 36, 300), 0.025)):
        upper = confint_proportions_2indep(*counts, method="newcomb", compare="diff", alpha=2 * level)[1]
        assert checks[subject].upper == pytest.approx(upper)
        assert (checks[subject].outcome is Outcome.PASS) == (upper <= 0.05)


def test_gaps_in_false_rates_look_at_their_own_rows(models):
    """Women's positives are missed more often; their negatives are not called positive more often."""
    labels = np.tile([0, 1], 1000)
    sex = np.repeat(["f", "m"], 1000)
    missed = (sex == "f") & (labels == 1) & (np.arange(2000) % 4 == 1)
    candidate = models.model(~missed, labels=labels, groups={"sex": sex})
    verdict = run_gate(policy(gap=[{"metric": "false_negative_rate"}, {"metric": "false_positive_rate"}]), candidate)
    missed_gap = by_subject(verdict, "group_gap_false_negative_rate")
    assert missed_gap["sex=f"].outcome is Outcome.FAIL
    assert missed_gap["sex=f"].value == pytest.approx(0.5)
    assert missed_gap["sex=f"].rows == 500
    assert missed_gap["sex=m"].outcome is Outcome.PASS
    assert by_subject(verdict, "group_gap_false_positive_rate")["sex=f"].outcome is Outcome.PASS


def test_an_intersection_with_the_rows_of_its_parent_is_asked_once(models):
    """Everyone at site a is a woman, so 'sex=f & site=a' is 'site=a' again; that no man is there is listed."""
    groups = {"sex": np.repeat(["f", "f", "m"], 300), "site": np.repeat(["a", "b", "b"], 300)}
    wanted = policy(nfr={"budget": 0.05}, intersections=2, small_groups="report")
    verdict = run_gate(wanted, *models.update(900, 0, 0, 0, groups=groups))
    assert set(by_subject(verdict, "group_nfr")) == {"sex=f", "sex=m", "site=a", "site=b", "sex=f & site=b"}
    assert verdict.unjudged == ("sex=m & site=a: 0 rows",)


def test_only_the_named_columns_are_judged(models):
    groups = {"sex": np.tile(["f", "m"], 300), "site": np.repeat(["a", "b"], 300)}
    verdict = run_gate(policy(columns=["site"], nfr={"budget": 0.05}), *models.update(600, 0, 0, 0, groups=groups))
    assert set(by_subject(verdict, "group_nfr")) == {"site=a", "site=b"}


def test_rows_may_come_in_any_order(models):
    candidate, champion = blocks(models, a=(900, 9, 3, 40), b=(500, 30, 10, 50), c=(400, 2, 30, 50))
    wanted = policy(nfr={"budget": 0.05}, error={"budget": 0.05}, gap=[{"metric": "error"}])
    order = np.random.default_rng(5).permutation(len(candidate))
    shuffled = run_gate(wanted, candidate.take(order), champion.take(order))
    assert shuffled == run_gate(wanted, candidate, champion)


class TestRefused:
    def test_a_column_that_is_no_group(self, models):
        update = models.update(200, 0, 0, 0, groups={"sex": np.repeat(["f", "m"], 100)})
        with pytest.raises(InvalidInput, match="'groups.columns'.*'region'"):
            run_gate(policy(columns=["region"], nfr={"budget": 0.05}), *update)

    def test_groups_where_there_are_none(self, models):
        with pytest.raises(InvalidInput, match="groups"):
            run_gate(policy(nfr={"budget": 0.05}), *models.update(200, 0, 0, 0))

    def test_false_positives_of_a_number(self):
        rule, labels = RegressionLabel(column="y", kind="regression", tolerance=1.0), np.zeros(4)
        groups = {"sex": GroupColumn(np.array([0, 1, 0, 1], dtype=np.int32), ("f", "m"))}
        candidate = Predictions(rule, np.arange(4).astype(str), labels, groups, labels)
        with pytest.raises(InvalidInput, match="false_positive_rate"):
            run_gate(policy(gap=[{"metric": "false_positive_rate"}]), candidate)
