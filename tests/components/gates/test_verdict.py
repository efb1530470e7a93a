"""Verdicts: how checks add up, and that a record tells all."""

import json

import pytest

from components.gates.verdict import Check, Decision, Outcome, Verdict, decide

NAN = float("nan")


def check(outcome, value=0.1, reason="because") -> Check:
    return Check("flip_budget", "all rows", outcome, value, 0.0, 0.2, 0.3, 100, f"{outcome} {reason}", 120)


@pytest.mark.parametrize(
    ("outcomes", "decision"),
    [
        ("PASS PASS", Decision.PROMOTE),
        ("PASS INCONCLUSIVE", Decision.HOLD),
        ("PASS INCONCLUSIVE FAIL", Decision.REJECT),
        ("", Decision.HOLD),
    ],
)
def test_one_failure_rejects_and_one_doubt_holds(outcomes, decision):
    assert decide(tuple(check(Outcome(one)) for one in outcomes.split()), {}).decision is decision


def test_reasons_name_failures_first():
    verdict = decide((check(Outcome.INCONCLUSIVE), check(Outcome.PASS), check(Outcome.FAIL)), {})
    assert [reason.split()[0] for reason in verdict.reasons] == ["FAIL", "INCONCLUSIVE"]


def test_a_verdict_without_checks_does_not_claim_that_all_passed():
    assert "passed" not in decide((), {}).reasons[0]


def test_a_record_is_strict_json_and_reads_back_the_same():
    verdict = decide(
        (check(Outcome.PASS), check(Outcome.INCONCLUSIVE, value=NAN)), {"noise_floor": NAN, "nfr": 0.01}, ("b",)
    )
    written = json.dumps(verdict.to_json(), allow_nan=False)
    again = Verdict.from_json(json.loads(written))

    assert again.checks[0] == verdict.checks[0]
    assert repr(again) == repr(verdict)  # NaN equals itself only in print
