"""Batches of some members only: none of fewer than agreed, and as safe from those who collude."""

import pytest

from components.federated.batch import Batch, least_survivors, survivors_of
from components.federated.violation import ProtocolViolation

FIRST, SECOND, THIRD = "owner00", "owner01", "owner02"


@pytest.mark.parametrize(
    ("roster", "threshold"),
    [
        ((FIRST, SECOND), 2),
        ((FIRST, SECOND, THIRD, "owner03"), 2),
        ((FIRST, SECOND, THIRD, "stranger"), 3),
        ((FIRST, THIRD, SECOND), 2),
        ((SECOND, THIRD, "owner03"), 2),
    ],
    ids=["too few", "too low a threshold", "a stranger", "out of order", "without this one"],
)
def test_a_roster_that_was_not_agreed_to_is_refused(project, roster, threshold):
    names = tuple(f"owner{number:02}" for number in range(5))
    assert project.member(FIRST, names, roster=3).advertise(Batch("run", 0, names[:3], 2, 1).encode())
    with pytest.raises(ProtocolViolation, match="other members"):
        project.member(FIRST, names, roster=3).advertise(Batch("run", 0, roster, threshold, 1).encode())


def test_fewer_withstand_as_many_who_collude(project):
    """Of ten with threshold 8 four may collude; so of six all must be left, and four make no batch."""
    names = tuple(f"owner{number:02}" for number in range(10))
    for size, threshold, holds in ((6, 6, True), (6, 5, False), (6, 4, False)):
        member = project.member(FIRST, names, threshold=8, roster=4)
        announcement = Batch("run", 0, names[:size], threshold, 1).encode()
        if holds:
            assert member.advertise(announcement)
            continue
        with pytest.raises(ProtocolViolation, match="another threshold"):
            member.advertise(announcement)
    assert survivors_of(4, members=10, threshold=8) > 3


def test_any_roster_withstands_as_many_who_collude_as_all_do_and_leaves_two_honest_ones_where_it_can():
    """2 t > n + c of all n; so it must be of a roster, and t - c of those left are honest."""
    for members in range(2, 13):
        for threshold in range(least_survivors(members), members + 1):
            colluding = max(c for c in range(members) if 2 * threshold > members + c)
            assert survivors_of(members, members=members, threshold=threshold) == threshold
            for roster in range(2, members + 1):
                least = survivors_of(roster, members=members, threshold=threshold)
                assert 2 * least > roster + colluding
                assert least > roster or least - colluding >= min(2, roster - colluding)
