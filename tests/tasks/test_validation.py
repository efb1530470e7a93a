from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.data.predictions import Predictions
from components.data.schema import BinaryLabel
from components.data.table import GroupColumn
from components.gates import Check, Decision, GoldenPredictions, Outcome, Policy, Verdict, run_gate
from components.gates.policy import PrivacyChecks
from components.gates.privacy import PrivacyEvidence, privacy_checks
from components.gates.verdict import decide
from tasks.validation import bounds_of, is_valid_to_mlflow

RULE = BinaryLabel(column="ill", positive="1")
GROUPS = {"minimum_rows": 60, "nfr": {"budget": 0.2}, "error": {"budget": 0.2}, "gap": [{"metric": "error"}]}
SECTIONS = {
    "minimum_rows": 200,
    "flip_budget": {"nfr": 0.1},
    "not_worse": {},
    "maximum_error": {"budget": 0.3},
    "beats_constant": {},
    "golden_set": {},
    "groups": GROUPS | {"small_groups": "hold"},
}
PRIVACY = PrivacyChecks(
    epsilon=8,
    lower_bound={"audits": ["one step"], "steps": 100},
    membership={"true_positive_rate": 0.3, "members": 200},
    exposure={"bits": 4, "secrets": 12},
)


def predictions(right: np.ndarray, levels: np.ndarray | None = None) -> Predictions:
    """Of rows whose label is 1, right where told, in groups of so many levels."""
    rows = len(right)
    groups = {} if levels is None else {"site": GroupColumn(levels.astype(np.int32), ("a", "b", "c"))}
    return Predictions(RULE, np.arange(rows).astype(str), np.ones(rows, dtype=np.int32), groups, right.astype(float))


@st.composite
def policies(draw) -> Policy:
    """Any of the checks there are, none of them included."""
    asked = draw(st.sets(st.sampled_from(sorted(SECTIONS))))
    changes = {"groups": GROUPS | {"small_groups": draw(st.sampled_from(["hold", "report"]))}}
    return Policy.model_validate({"name": "drawn", **{name: (SECTIONS | changes)[name] for name in asked}})


@st.composite
def evidence(draw) -> PrivacyEvidence:
    """Of a training and its audits, on few or many members, secrets and steps."""
    rate = draw(st.floats(0, 0.5))
    return PrivacyEvidence(
        claim=draw(st.floats(0.5, 9)),
        delta=1e-5,
        lower_bounds={"one step": draw(st.floats(0, 9))} if draw(st.booleans()) else {},
        audited_steps=draw(st.integers(0, 200)),
        sampling=draw(st.floats(0, 1)),
        attacks={"loss": {0.01: (rate, max(0.0, rate - 0.1), rate + 0.1)}} if draw(st.booleans()) else {},
        members=draw(st.integers(1, 400)),
        exposures={1: tuple(draw(st.lists(st.floats(0.1, 8), max_size=24)))},
    )


def beside_the_gate() -> st.SearchStrategy[tuple[Check, ...]]:
    """Checks that hold a candidate whose bounds are within: older data than the champion's, a group that is gone."""
    older = Check("newer_data", "training rows", Outcome.INCONCLUSIVE, 1.0, 1.0, 1.0, 2.0, 0, "older")
    gone = Check("same_groups", "site=d", Outcome.INCONCLUSIVE, 0.0, 0.0, 1.0, 1.0, 0, "gone")
    return st.sampled_from([(), (older,), (gone,)])


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 2000),
    st.tuples(st.floats(0.5, 1), st.floats(0.5, 1)),
    policies(),
    st.none() | evidence(),
    beside_the_gate(),
    st.tuples(st.booleans(), st.booleans()),
    st.integers(0, 2**31),
)
def test_mlflow_lets_pass_what_the_gate_promotes_and_nothing_else(
    rows, shares, policy, audited, further, there_are, seed
):
    rng, (has_champion, has_golden) = np.random.default_rng(seed), there_are
    levels = rng.choice(3, rows, p=[0.6, 0.37, 0.03])
    candidate, champion = (predictions(rng.random(rows) < share, levels) for share in shares)
    golden = GoldenPredictions(candidate.take(slice(0, 2)), champion.take(slice(0, 2)) if has_champion else None)
    verdict = run_gate(
        policy,
        candidate,
        champion if has_champion else None,
        constant_right=rng.random(rows) < 0.6,
        golden=golden if has_golden else None,
    )
    private = privacy_checks(PRIVACY, audited, confidence=policy.confidence) if audited else ()
    verdict = decide((*verdict.checks, *private, *further), {})
    assert is_valid_to_mlflow(bounds_of(verdict)) == (verdict.decision is Decision.PROMOTE)


@pytest.mark.parametrize(("outcome", "passes"), [(Outcome.PASS, True), (Outcome.INCONCLUSIVE, False)])
def test_what_cannot_be_counted_follows_its_outcome(outcome, passes):
    nothing = float("nan")
    check = Check("golden_set", "all rows", outcome, nothing, nothing, nothing, 0.0, 10, "for a reason")
    assert is_valid_to_mlflow(bounds_of(decide([check], {}))) is passes


def test_a_bound_beyond_its_budget_is_seen_by_mlflow_whatever_the_outcome_says():
    check = Check("flip_budget", "all rows", Outcome.INCONCLUSIVE, 0.02, 0.01, 0.03, 0.025, 10, "for a reason")
    assert not is_valid_to_mlflow(bounds_of(Verdict(Decision.PROMOTE, (check,), {})))


def test_of_two_checks_of_one_subject_the_one_that_did_not_pass_counts():
    passed = Check("privacy_lower_bound", "one step", Outcome.PASS, 1.0, 1.0, 1.0, 8.0, 0, "below the claim")
    too_few = replace(passed, outcome=Outcome.INCONCLUSIVE)
    for order in ((passed, too_few), (too_few, passed)):
        assert not is_valid_to_mlflow(bounds_of(decide(order, {})))


def test_where_nothing_was_checked_nothing_passes():
    assert not is_valid_to_mlflow(bounds_of(decide((), {})))
