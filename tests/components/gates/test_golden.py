"""Golden rows: one flip is one too many."""

import pytest

from components.errors import InvalidInput
from components.gates import Decision, GoldenPredictions, Outcome, Policy, run_gate

POLICY = Policy(name="golden", golden_set={})


@pytest.fixture
def gate(models):
    def judge(golden, *, champion=True):
        candidate, old = models.update(90, 0, 0, 10)
        return run_gate(POLICY, candidate, old if champion else None, golden=golden)

    return judge


def test_a_flip_fails_and_is_named(gate, models):
    ids = ["first", "second", "third"]
    golden = GoldenPredictions(models.model([1, 0, 0], ids=ids), models.model([1, 1, 0], ids=ids))
    verdict = gate(golden)
    assert verdict.decision is Decision.REJECT
    assert "second" in verdict.reasons[0]
    assert "third" not in verdict.reasons[0]


def test_rows_the_champion_gets_wrong_may_stay_wrong(gate, models):
    golden = GoldenPredictions(models.model([1, 0]), models.model([1, 0]))
    assert gate(golden).decision is Decision.PROMOTE


def test_without_a_champion_every_golden_row_must_be_right(gate, models):
    assert gate(GoldenPredictions(models.model([1, 0]), None), champion=False).decision is Decision.REJECT
    assert gate(GoldenPredictions(models.model([1, 1]), None), champion=False).decision is Decision.PROMOTE


@pytest.mark.parametrize("given", ["nothing", "no rows"])
def test_golden_rows_that_are_asked_for_and_missing_hold(gate, models, given):
    golden = None if given == "nothing" else GoldenPredictions(models.model([]), models.model([]))
    verdict = gate(golden)
    assert verdict.decision is Decision.HOLD
    assert verdict.checks[0].outcome is Outcome.INCONCLUSIVE


def test_golden_rows_the_champion_was_not_scored_on_are_refused(gate, models):
    with pytest.raises(InvalidInput, match="golden"):
        gate(GoldenPredictions(models.model([1]), None))


def test_golden_rows_in_another_order_are_refused(gate, models):
    with pytest.raises(InvalidInput, match="golden row"):
        gate(GoldenPredictions(models.model([1, 1], ids=["a", "b"]), models.model([1, 1], ids=["b", "a"])))
