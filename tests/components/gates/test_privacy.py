"""What the gate says of claims, audits and attacks."""

import math

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from components.gates import Outcome, Policy
from components.gates.policy import FrameChecks, PrivacyChecks
from components.gates.privacy import PrivacyEvidence, privacy_checks, unjudged_audits

ALL = PrivacyChecks(
    epsilon=8,
    lower_bound={},
    membership={"true_positive_rate": 0.05},
    exposure={"bits": 4},
)


def evidence(**changes) -> PrivacyEvidence:
    sound = {
        "claim": 3.0,
        "delta": 1e-5,
        "reserved": 60,
        "taken": 60,
        "lower_bounds": {"one step": 2.5, "one run": 0.4},
        "could_show": {"one run": 3.4},
        "audited_steps": 400,
        "coins": 200,
        "sampling": 0.3,
        "attacks": {"loss": {0.01: (0.012, 0.008, 0.02), 0.001: (0.001, 0.0, 0.004)}},
        "members": 1000,
        "exposures": {1: (1.0, 0.5, 2.1, 1.4, 0.2, 1.1, 0.7, 2.0), 10: (9.0,) * 8},
    }
    return PrivacyEvidence(**sound | changes)


def outcomes(asked: PrivacyChecks | None = ALL, **changes) -> dict[str, Outcome]:
    return {check.subject: check.outcome for check in privacy_checks(asked, evidence(**changes), confidence=0.95)}


def test_a_sound_model_passes_every_check():
    found = outcomes()
    planted = "secrets planted 1 time"
    assert set(found) == {"privacy claim", "one step", "one run", "steps", "sampling", "loss", planted}
    assert set(found.values()) == {Outcome.PASS}


@pytest.mark.parametrize(
    ("changes", "subject"),
    [
        ({"claim": 8.5}, "privacy claim"),
        ({"claim": math.inf}, "privacy claim"),
        ({"lower_bounds": {"one step": 3.001}}, "one step"),
        ({"lower_bounds": {"one step": 2.9}, "training_claim": 2.8}, "one step"),
        ({"taken": 61}, "steps"),
        ({"sampling": 1e-9}, "sampling"),
        ({"attacks": {"loss": {0.01: (0.2, 0.15, 0.25)}}}, "loss"),
        ({"exposures": {1: (9.0,) * 8}}, "secrets planted 1 time"),
    ],
)
def test_each_broken_promise_rejects(changes, subject):
    assert outcomes(**changes)[subject] is Outcome.FAIL


@pytest.mark.parametrize(
    ("changes", "subject"),
    [
        ({"lower_bounds": {}}, "privacy audits"),
        ({"lower_bounds": {"one run": 2.0}, "could_show": {"one run": 2.2}}, "privacy audits"),
        ({"lower_bounds": {"one run": 2.0}, "could_show": {"one run": 3.0}}, "privacy audits"),
        ({"attacks": {}}, "membership attacks"),
        ({"attacks": {"loss": {0.01: (0.03, 0.01, 0.08)}}}, "loss"),
        ({"exposures": {}}, "secrets planted 1 time"),
        ({"exposures": {1: (3.0, 5.0)}}, "secrets planted 1 time"),
    ],
)
def test_what_was_not_shown_stays_open(changes, subject):
    assert outcomes(**changes)[subject] is Outcome.INCONCLUSIVE


def test_bounds_are_held_against_the_training_they_are_of():
    """A lineage may claim more than one training of it; what audits look at is the one."""
    changes = {"claim": 9.0, "training_claim": 3.0}
    asked = PrivacyChecks(epsilon=16, lower_bound={})
    assert outcomes(asked, **changes)["one step"] is Outcome.PASS
    assert outcomes(asked, **changes, lower_bounds={"one step": 5.0})["one step"] is Outcome.FAIL
    assert outcomes(asked, claim=math.inf, training_claim=3.0, lower_bounds={"one step": 5.0})["one step"] is (
        Outcome.FAIL
    )


@pytest.mark.parametrize("asked", [None, PrivacyChecks(epsilon=16)])
def test_a_refuted_claim_fails_unasked(asked):
    assert "one step" not in outcomes(asked)
    for changes, subject in (
        ({"lower_bounds": {"one step": 3.5}}, "one step"),
        ({"taken": 61}, "steps"),
        ({"sampling": 1e-9}, "sampling"),
    ):
        assert outcomes(asked, **changes)[subject] is Outcome.FAIL


@pytest.mark.parametrize(("claim", "judged"), [(3.0, True), (3.4, False), (8.0, False)])
def test_an_audit_that_could_not_have_refuted_the_claim_passes_nothing_and_is_listed(claim, judged):
    changes = {"claim": claim, "lower_bounds": {"one step": 2.5, "one run": 0.4}}
    found = privacy_checks(STRICT, evidence(**ENOUGH | changes), confidence=0.95)
    listed = unjudged_audits(STRICT, evidence(**changes))
    assert ("one run" in {check.subject for check in found}) == judged
    assert {check.outcome for check in found} == {Outcome.PASS}
    assert len(listed) == (not judged)
    assert all(name.startswith("one run") and "3.4" in name and f"{claim:.3g} is claimed" in name for name in listed)


def test_nothing_is_listed_that_nobody_asked_for_or_that_refutes():
    assert unjudged_audits(None, evidence(claim=8.0)) == unjudged_audits(PrivacyChecks(), evidence(claim=8.0)) == ()
    assert unjudged_audits(ALL, evidence(claim=math.inf)) == ()
    assert unjudged_audits(ALL, evidence(lower_bounds={"one run": 3.2})) == ()


STRICT = PrivacyChecks(
    lower_bound={"audits": ["one step", "one run", "sampling"], "steps": 400, "coins": 200},
    membership={"true_positive_rate": 0.05, "attacks": ["loss", "LiRA"], "members": 1000},
    exposure={"bits": 4, "secrets": 12},
)
ATTACKS = {name: {0.01: (0.012, 0.008, 0.02)} for name in ("loss", "LiRA")}
ENOUGH = {"attacks": ATTACKS, "exposures": {1: (1.4,) * 12}}


def test_what_the_policy_asks_of_audits_is_enough():
    assert set(outcomes(STRICT, **ENOUGH).values()) == {Outcome.PASS}


@pytest.mark.parametrize(
    ("changes", "subject"),
    [
        ({"audited_steps": 399}, "one step"),
        ({"coins": 20}, "one run"),
        ({"lower_bounds": {"one step": 2.5}}, "one run"),
        ({"sampling": None}, "sampling"),
        ({"attacks": {"loss": ATTACKS["loss"]}}, "LiRA"),
        ({"attacks": {}}, "loss"),
        ({"members": 999}, "LiRA"),
        ({"exposures": {1: (1.4,) * 11}}, "secrets planted 1 time"),
    ],
)
def test_an_audit_that_was_easier_than_the_policy_asks_stays_open(changes, subject):
    found = [
        check
        for check in privacy_checks(STRICT, evidence(**ENOUGH | changes), confidence=0.95)
        if check.subject == subject and check.outcome is not Outcome.PASS
    ]
    assert [check.outcome for check in found] == [Outcome.INCONCLUSIVE]


@pytest.mark.parametrize(
    ("changes", "subject"),
    [
        ({"attacks": {"loss": {0.01: (0.2, 0.15, 0.25)}}, "members": 50}, "loss"),
        ({"exposures": {1: (9.0,) * 8}}, "sec"),
    ],
)
def test_what_too_few_show_is_believed_where_it_is_bad(changes, subject):
    found = outcomes(STRICT, **ENOUGH | changes)
    assert Outcome.FAIL in [outcome for name, outcome in found.items() if name.startswith(subject)]


def test_a_model_that_learnt_no_secret_is_seldom_held():
    """With as many secrets as a policy may ask for at least; with fewer the policy is refused."""
    rng = np.random.default_rng(1)
    codes = -np.log2((rng.integers(1000, size=(4000, 12)) + 1) / 1000)
    asked = PrivacyChecks(exposure={"bits": 4, "secrets": 12})
    held = sum(
        outcomes(asked, exposures={1: tuple(bits)})["secrets planted 1 time"] is not Outcome.PASS for bits in codes
    )
    assert held <= 0.05 * 4000
    assert held >= 0.01 * 4000
    Policy(name="texts", privacy={"exposure": {"bits": 4, "secrets": 12}})
    with pytest.raises(ValidationError, match="at least 11"):
        Policy(name="texts", privacy={"exposure": {"bits": 4, "secrets": 8}})
    with pytest.raises(ValidationError, match="more bits"):
        Policy(name="texts", privacy={"exposure": {"bits": 1.2, "secrets": 100}})


def test_plain_training_claims_nothing_that_could_be_refuted():
    asked = PrivacyChecks(lower_bound={}, exposure={"bits": 4, "repeats": 10})
    found = outcomes(asked, claim=math.inf, lower_bounds={})
    assert found == {"secrets planted 10 times": Outcome.FAIL}


def test_the_interval_of_a_mean_exposure_holds_the_mean_of_secrets_never_seen():
    """Exposures of unseen secrets are exponential with mean log2(e); 90 % of intervals of 95 % bounds hold it."""
    rng, truth = np.random.default_rng(0), 1 / math.log(2)
    asked = PrivacyChecks(exposure={"bits": 100})
    held = 0
    for _ in range(600):
        bits = tuple(rng.exponential(truth, size=8))
        (check,) = privacy_checks(asked, evidence(exposures={1: bits}), confidence=0.95)
        held += check.lower <= truth <= check.upper
    assert stats.binomtest(held, 600, 0.9).pvalue > 1e-4


def test_frames_are_judged_by_their_own_budgets_alone():
    policy = Policy(
        name="texts",
        minimum_rows=100,
        flip_budget={"nfr": 0.05},
        beats_constant={},
        golden_set={},
        frames={"flip_budget": {"nfr": 0.2}},
        privacy={"epsilon": 1},
    )
    asked = policy.for_frames
    assert asked.flip_budget.nfr == 0.2
    assert asked.confidence == policy.confidence
    assert not any((asked.beats_constant, asked.golden_set, asked.minimum_rows, asked.privacy, asked.groups))
    assert Policy(name="rows").for_frames is None


def test_budgets_of_frames_must_be_possible_too():
    with pytest.raises(ValidationError, match="frames.flip_budget.nfr"):
        Policy(name="texts", minimum_rows=20, frames=FrameChecks(flip_budget={"nfr": 0.01}))
