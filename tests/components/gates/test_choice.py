"""Which candidate goes to the gate."""

import pytest

from components.errors import InvalidInput
from components.gates import CandidateScore, Choice, choose

RETRAIN, BLEND, HEAVY = (
    CandidateScore("retrain", 0.100, 0.010),
    CandidateScore("blend", 0.105, 0.004),
    CandidateScore("heavy blend", 0.120, 0.001),
)
NAN = float("nan")


def test_fewest_flips_among_those_of_nearly_the_lowest_error():
    assert choose([RETRAIN, BLEND, HEAVY], Choice(rule="lowest_nfr", error_tolerance=0.005)) == BLEND


def test_tolerance_decides_who_counts_as_near():
    assert choose([RETRAIN, BLEND, HEAVY], Choice(error_tolerance=0.004)) == RETRAIN
    assert choose([RETRAIN, BLEND, HEAVY], Choice(error_tolerance=0.05)) == HEAVY


def test_lowest_error_looks_at_error_alone():
    assert choose([HEAVY, BLEND, RETRAIN], Choice(rule="lowest_error")) == RETRAIN


@pytest.mark.parametrize("rule", ["lowest_nfr", "lowest_error"])
def test_the_earlier_of_equals(rule):
    first, second = CandidateScore("first", 0.1, 0.01), CandidateScore("second", 0.1, 0.01)
    assert choose([first, second], Choice(rule=rule)) == first
    assert choose([second, first], Choice(rule=rule)) == second


def test_without_a_champion_the_lowest_error_wins():
    candidates = [CandidateScore("a", 0.102, NAN), CandidateScore("b", 0.100, NAN)]
    assert choose(candidates, Choice()).name == "b"


def test_nothing_to_choose_from_is_refused():
    with pytest.raises(InvalidInput):
        choose([], Choice())
    with pytest.raises(InvalidInput, match="broken"):
        choose([RETRAIN, CandidateScore("broken", NAN, NAN)], Choice())
