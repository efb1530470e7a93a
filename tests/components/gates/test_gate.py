"""Checks over all rows, what applies without a champion, what is reported, and what is refused."""

import numpy as np
import pytest
from scipy.stats import binomtest

from components.data.predictions import Predictions
from components.data.schema import MulticlassLabel, RegressionLabel
from components.errors import InvalidInput
from components.gates import Decision, Outcome, Policy, run_gate


def only(verdict, name):
    """The one check of that name."""
    (check,) = [check for check in verdict.checks if check.name == name]
    return check


@pytest.mark.parametrize(
    ("negative", "outcome"), [(4, "PASS"), (5, "INCONCLUSIVE"), (15, "INCONCLUSIVE"), (16, "FAIL")]
)
def test_flip_budget_at_its_edges(models, negative, outcome):
    """Of 1000 rows a budget of 1 % allows 4 flips, and 16 are shown to be too many."""
    candidate, champion = models.update(900 - negative, negative, 0, 100)
    check = only(run_gate(Policy(name="p", flip_budget={"nfr": 0.01}), candidate, champion), "flip_budget")

    assert check.outcome == outcome
    assert check.upper == pytest.approx(binomtest(negative, 1000, alternative="less").proportion_ci(0.95).high)
    assert check.lower == pytest.approx(binomtest(negative, 1000, alternative="greater").proportion_ci(0.95).low)


def test_rows_needed_would_have_passed(models):
    """At 5 flips in 1000 rows, so many rows more would have shown 1 %."""
    policy = Policy(name="p", flip_budget={"nfr": 0.01})
    needed = only(run_gate(policy, *models.update(895, 5, 0, 100)), "flip_budget").rows_needed
    assert 1000 < needed < 1300
    flips = int(0.005 * needed)
    assert run_gate(policy, *models.update(needed - flips, flips, 0, 0)).decision is Decision.PROMOTE


def test_no_number_of_rows_helps_an_estimate_beyond_its_budget(models):
    check = only(run_gate(Policy(name="p", flip_budget={"nfr": 0.01}), *models.update(888, 12, 0, 100)), "flip_budget")
    assert check.outcome is Outcome.INCONCLUSIVE
    assert check.rows_needed is None


def test_not_worse_fails_only_what_is_significantly_worse(models):
    policy = Policy(name="p", not_worse={})
    for negative, positive in ((50, 52), (60, 45), (62, 42), (65, 41)):
        verdict = run_gate(policy, *models.update(700, negative, positive, 100))
        worse = binomtest(negative, negative + positive, alternative="greater").pvalue <= 0.05
        assert (verdict.decision is Decision.REJECT) == worse
        assert (verdict.decision is Decision.PROMOTE) != worse


def test_even_flips_pass_not_worse_and_fail_the_flip_budget(models):
    """50 of 1000 answers get worse and 52 better: an aggregate test sees no difference, the flip budget does."""
    verdict = run_gate(Policy(name="p", not_worse={}, flip_budget={"nfr": 0.03}), *models.update(800, 50, 52, 98))
    assert only(verdict, "not_worse").outcome is Outcome.PASS
    assert only(verdict, "flip_budget").outcome is Outcome.FAIL
    assert verdict.decision is Decision.REJECT


def test_evidence_of_being_worse_that_is_not_enough_to_reject_still_holds(models):
    """p = 0.04 among two kinds of check: not enough to reject, too much to promote."""
    policy = Policy(name="p", not_worse={}, maximum_error={"budget": 0.5}, fail_correction="policy")
    verdict = run_gate(policy, *models.update(800, 23, 12, 165))
    assert 0.025 < binomtest(23, 35, alternative="greater").pvalue < 0.05
    assert only(verdict, "not_worse").outcome is Outcome.INCONCLUSIVE
    assert verdict.decision is Decision.HOLD


@pytest.mark.parametrize(("wrong", "outcome"), [(200, "PASS"), (240, "INCONCLUSIVE"), (300, "FAIL")])
def test_maximum_error_asks_of_the_candidate_alone(models, wrong, outcome):
    candidate = models.model(np.arange(1000) >= wrong)
    assert (
        only(run_gate(Policy(name="p", maximum_error={"budget": 0.25}), candidate), "maximum_error").outcome == outcome
    )


@pytest.mark.parametrize(("lost", "won", "outcome"), [(10, 40, "PASS"), (20, 22, "INCONCLUSIVE"), (40, 10, "FAIL")])
def test_beats_constant_counts_rows_won_and_lost(models, lost, won, outcome):
    candidate, constant = models.update(100, lost, won, 50)
    verdict = run_gate(Policy(name="p", beats_constant={}), candidate, constant_right=constant.right)
    assert only(verdict, "beats_constant").outcome == outcome


def test_a_constant_candidate_does_not_beat_itself(models):
    candidate = models.model(np.arange(100) < 70)
    verdict = run_gate(Policy(name="p", beats_constant={}), candidate, constant_right=candidate.right)
    assert verdict.decision is Decision.HOLD


def test_too_few_rows_hold_whatever_they_show(models):
    policy = Policy(name="p", minimum_rows=500, maximum_error={"budget": 0.25})
    verdict = run_gate(policy, models.model(np.ones(499)))
    assert only(verdict, "maximum_error").outcome is Outcome.PASS
    assert only(verdict, "minimum_rows").rows_needed == 500
    assert verdict.decision is Decision.HOLD
    assert run_gate(policy, models.model(np.ones(500))).decision is Decision.PROMOTE


def test_without_a_champion_nothing_is_compared(models):
    groups = {"sex": np.repeat(["f", "m"], 500)}
    policy = Policy(
        name="p", minimum_rows=300, flip_budget={"nfr": 0.01}, not_worse={},
        groups={"nfr": {"budget": 0.05}, "error": {"budget": 0.05}},
    )  # fmt: skip
    verdict = run_gate(policy, models.model(np.ones(1000), groups=groups))
    assert verdict.checks == ()
    assert verdict.decision is Decision.HOLD
    assert verdict.context == {"error_new": 0.0}


def test_a_policy_without_checks_promotes_nothing(models):
    assert run_gate(Policy(name="p"), *models.update(1000, 0, 0, 0)).decision is Decision.HOLD


def test_context_holds_the_rates_and_what_the_caller_adds(models):
    context = run_gate(Policy(name="p"), *models.update(800, 20, 40, 140), context={"noise_floor": 0.03}).context
    assert context == pytest.approx({
        "noise_floor": 0.03, "error_new": 0.16, "error_old": 0.18, "nfr": 0.02, "pfr": 0.04,
        "relative_nfr": 0.02 / (0.82 * 0.16), "churn": 0.06,
    })  # fmt: skip


def test_confidence_is_the_policys(models):
    update = models.update(895, 5, 0, 100)
    assert run_gate(Policy(name="p", flip_budget={"nfr": 0.01}), *update).decision is Decision.HOLD
    assert run_gate(Policy(name="p", confidence=0.9, flip_budget={"nfr": 0.01}), *update).decision is Decision.PROMOTE


def test_multiclass_flips_count_right_and_wrong(models):
    rule = MulticlassLabel(column="y", kind="multiclass", classes=("a", "b", "c"))
    labels, ids = np.arange(300) % 3, np.arange(300).astype(str)
    right = Predictions(rule, ids, labels, {}, np.eye(3)[labels])
    # Wrong before and wrong after in another way: churn, no flip.
    old, new = np.eye(3)[labels], np.eye(3)[labels]
    old[:30], new[:30] = np.eye(3)[(labels[:30] + 1) % 3], np.eye(3)[(labels[:30] + 2) % 3]
    verdict = run_gate(
        Policy(name="p", flip_budget={"nfr": 0.05}),
        Predictions(rule, ids, labels, {}, new),
        Predictions(rule, ids, labels, {}, old),
    )
    assert verdict.decision is Decision.PROMOTE
    assert verdict.context["churn"] == pytest.approx(0.1)
    assert verdict.context["nfr"] == 0
    assert right.right.all()


def test_regression_is_right_within_its_tolerance():
    rule, ids = RegressionLabel(column="y", kind="regression", tolerance=1.0), np.arange(400).astype(str)
    labels = np.linspace(0, 50, 400)
    champion = Predictions(rule, ids, labels, {}, labels + 0.5)
    policy = Policy(name="p", flip_budget={"nfr": 0.05})
    for shift, decision in ((-0.4, Decision.PROMOTE), (2.0, Decision.REJECT)):
        assert run_gate(policy, Predictions(rule, ids, labels, {}, labels + shift), champion).decision is decision
    assert run_gate(policy, champion, champion).context["churn"] == 0


class TestRefused:
    def test_no_rows(self, models):
        with pytest.raises(InvalidInput, match="gate rows"):
            run_gate(Policy(name="p", not_worse={}), models.model([]), models.model([]))

    def test_rows_in_another_order(self, models):
        with pytest.raises(InvalidInput, match="'b'"):
            run_gate(Policy(name="p"), models.model([1, 1], ids=["a", "b"]), models.model([1, 1], ids=["b", "a"]))

    def test_another_number_of_rows(self, models):
        with pytest.raises(InvalidInput, match="3"):
            run_gate(Policy(name="p"), models.model([1, 1]), models.model([1, 1, 1]))

    def test_other_labels(self, models):
        with pytest.raises(InvalidInput, match="label"):
            run_gate(Policy(name="p"), models.model([1, 1], labels=[0, 1]), models.model([1, 1], labels=[0, 0]))

    def test_a_row_twice(self, models):
        with pytest.raises(InvalidInput, match="'a'"):
            run_gate(Policy(name="p"), models.model([1, 1, 1], ids=["b", "a", "a"]))

    def test_a_score_that_is_no_number(self, models):
        broken = models.model([1, 1, 1], ids=["a", "b", "c"])
        broken.scores[1] = np.nan
        with pytest.raises(InvalidInput, match="candidate.*'b'"):
            run_gate(Policy(name="p"), broken, models.model([1, 1, 1], ids=["a", "b", "c"]))

    @pytest.mark.parametrize("given", [None, np.ones(5, dtype=bool)])
    def test_a_constant_answer_that_was_not_scored(self, models, given):
        with pytest.raises(InvalidInput, match="constant_right"):
            run_gate(Policy(name="p", beats_constant={}), models.model([1, 1]), constant_right=given)
