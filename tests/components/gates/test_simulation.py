"""How often whole policies promote what they must not and reject what is fine, over simulated gates.

Each world draws independent rows from known rates and puts them through the real gate. The allowed number of mistakes
is the 99.9 % quantile of a binomial with the promised 5 %, so that a gate that keeps its promise practically never
fails here. The slow runs would notice a gate that errs in 10 % of its gates, the quick ones one that errs in 15 %.
"""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from components.data.predictions import Predictions
from components.data.schema import BinaryLabel
from components.data.table import GroupColumn
from components.gates import Decision, Policy, run_gate
from components.gates.policy import read_policy

POLICIES = sorted((Path(__file__).parents[3] / "deploy" / "policies").glob("*.yaml"))
GATES = [pytest.param(150, id="150 gates"), pytest.param(400, id="400 gates", marks=pytest.mark.slow)]
LEVELS = tuple(f"g{number}" for number in range(6))
GROUP_ROWS = 250


def decisions(policy, gates, *, negative, positive, wrong, rows=GROUP_ROWS) -> list[Decision]:
    """Verdicts on worlds with, by group, these shares of negative flips, positive flips and rows both get wrong."""
    rng = np.random.default_rng(20)
    shares = np.column_stack(np.broadcast_arrays(negative, positive, wrong, np.zeros(len(LEVELS))))
    shares[:, 3] = 1 - shares.sum(axis=1)
    codes = np.repeat(np.arange(len(LEVELS), dtype=np.int32), rows)
    groups, ids = {"group": GroupColumn(codes, LEVELS)}, np.arange(len(codes)).astype(str)
    labels, rule = np.zeros(len(codes), dtype=np.int32), BinaryLabel(column="y")
    limits = np.cumsum(shares, axis=1)[codes]
    made = []
    for _ in range(gates):
        fate = (rng.random(len(codes))[:, None] > limits).sum(
            axis=1
        )  # 0 negative flip, 1 positive, 2 both wrong, 3 right
        new, old = (fate == 0) | (fate == 2), (fate == 1) | (fate == 2)
        candidate, champion = (Predictions(rule, ids, labels, groups, np.where(bad, 0.9, 0.1)) for bad in (new, old))
        made.append(run_gate(policy, candidate, champion).decision)
    return made


def assert_at_most_one_in_twenty(made, decision):
    assert made.count(decision) <= binom.ppf(0.999, len(made), 0.05)


def one(first, others):
    return np.r_[first, np.full(len(LEVELS) - 1, others)]


OVERALL = {"flip_budget": {"nfr": 0.03}, "not_worse": {}}
IN_GROUPS = {"nfr": {"budget": 0.06}, "error": {"budget": 0.05}, "gap": [{"metric": "error", "tolerance": 0.08}]}
CHECKS = {**OVERALL, "maximum_error": {"budget": 0.3}, "groups": IN_GROUPS}
FULL = Policy.model_validate({"name": "full", "fail_correction": "policy", **CHECKS})
UNCORRECTED = FULL.model_copy(update={"pass_correction": "none"})

# What sits exactly on its budget while everything else is far within; there the gate errs most.
AT_A_BUDGET = {
    "flips of all": {"negative": 0.03, "positive": 0.03, "wrong": 0.05},
    "flips of one group": {"negative": one(0.06, 0.002), "positive": one(0.06, 0.002), "wrong": 0.05},
    "rise of error in one group": {"negative": one(0.055, 0.0), "positive": one(0.005, 0.02), "wrong": one(0.01, 0.06)},
    "gap of one group": {"negative": 0.002, "positive": 0.002, "wrong": one(0.128, 0.048)},
    "everything in all groups": {"negative": 0.03, "positive": 0.03, "wrong": 0.27},
}


@pytest.mark.parametrize("policy", [FULL, pytest.param(UNCORRECTED, marks=pytest.mark.slow)], ids=["holm", "none"])
@pytest.mark.parametrize("world", AT_A_BUDGET)
@pytest.mark.parametrize("gates", GATES)
def test_what_misses_a_budget_by_nothing_is_seldom_promoted_and_seldom_rejected(policy, world, gates):
    """The edge of a budget counts as a miss and as a hit, so both kinds of mistake are bounded there."""
    made = decisions(policy, gates, **AT_A_BUDGET[world])
    assert_at_most_one_in_twenty(made, Decision.PROMOTE)
    assert_at_most_one_in_twenty(made, Decision.REJECT)


@pytest.mark.parametrize("gates", GATES)
def test_what_keeps_every_budget_is_seldom_rejected(gates):
    """Within the null, but near: a gate that looked at estimates alone would reject many of these."""
    made = decisions(FULL, gates, negative=0.028, positive=0.03, wrong=np.linspace(0.05, 0.1, len(LEVELS)))
    assert_at_most_one_in_twenty(made, Decision.REJECT)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("gates", GATES)
def test_each_kind_of_check_seldom_rejects_what_keeps_its_budget(check, gates):
    """Unless told otherwise the level is each check's own; everything sits exactly on its budget here."""
    asked = {check: CHECKS[check]} if check != "groups" else {"groups": {"nfr": IN_GROUPS["nfr"]}}
    policy = Policy.model_validate({"name": check, **asked})
    share = 0.06 if check == "groups" else 0.03
    made = decisions(policy, gates, negative=share, positive=share, wrong=0.3 - share)
    assert_at_most_one_in_twenty(made, Decision.REJECT)


SHIPPED = [policy for policy in map(read_policy, POLICIES) if policy.flip_budget]


@pytest.mark.parametrize("policy", SHIPPED, ids=[policy.name for policy in SHIPPED])
@pytest.mark.parametrize("gates", GATES)
def test_policies_that_are_shipped_keep_what_they_promise(policy, gates):
    """At the budget of flips seldom promoted; better than the champion, if near the budget, seldom rejected."""
    of_other_rows = ("golden_set", "beats_constant", "privacy", "frames")
    policy, budget = policy.model_copy(update=dict.fromkeys(of_other_rows)), policy.flip_budget.nfr
    allowed = binom.ppf(0.999, gates, policy.level)
    unfit = decisions(policy, gates, negative=budget, positive=budget, wrong=0.05, rows=1000)
    assert unfit.count(Decision.PROMOTE) <= allowed
    fit = decisions(policy, gates, negative=0.8 * budget, positive=budget, wrong=0.05, rows=1000)
    assert fit.count(Decision.REJECT) <= allowed


def test_equal_groups_are_not_called_unequal():
    """Six groups of 100 that err alike: point estimates differ by 5 points in most of the gates, bounds do not."""
    policy = Policy.model_validate({"name": "gap", "groups": {"gap": [{"metric": "error", "tolerance": 0.05}]}})
    made = decisions(policy, 150, negative=0.0, positive=0.0, wrong=0.2, rows=100)
    assert_at_most_one_in_twenty(made, Decision.REJECT)


def test_a_clearly_fine_candidate_with_enough_rows_is_promoted():
    made = decisions(FULL, 60, negative=0.005, positive=0.01, wrong=0.1, rows=1000)
    assert made.count(Decision.PROMOTE) >= 57


def test_a_clearly_unfit_candidate_is_rejected():
    made = decisions(FULL, 60, negative=one(0.15, 0.005), positive=0.01, wrong=0.1, rows=500)
    assert made.count(Decision.REJECT) >= 57
