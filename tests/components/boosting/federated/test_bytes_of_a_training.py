"""All that the aggregator receives in a whole training over real connections, kept and looked at.

One owner is lost in the middle of a tree, after the sums of the levels above it were known.
"""

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import chi2

from components.errors import InvalidInput
from components.federated import seats
from components.federated.collector import FirstSum, LaterSum
from components.federated.frame import unpack
from tests.components.boosting.federated.conftest import dealt

FALSE_ALARM = 1e-9
LOST = "owner-2"


@pytest.fixture
def training(federate, agreement, joint, monkeypatch):
    """Frames that came in, sums that came out, and what each owner gave to each question, before any mask."""
    frames, opened, given = [], [], {}
    original = seats.unpack

    def heard(frame, kind, *, sender):
        frames.append((sender, kind, bytes(frame)))
        return original(frame, kind, sender=sender)

    def noting(close):
        def closed(self):
            one = close(self)
            opened.append((self.batch.number, self.message, one.survivors, one.total.copy()))
            return one

        return closed

    monkeypatch.setattr(seats, "unpack", heard)
    for kind in (FirstSum, LaterSum):
        monkeypatch.setattr(kind, "close", noting(kind.close))
    descended = []

    def wrap(name, what, handler):
        def noted(content):
            if (name, what) == (LOST, "descend"):
                descended.append(1)
                # The second level of the second tree.
                if len(descended) == 3:
                    raise InvalidInput("visits.csv is gone")
            answer = handler(content)
            if isinstance(answer, np.ndarray):
                given.setdefault(name, []).append((what, content.batch, answer.view(np.int64).copy()))
            return answer

        return noted

    table = joint(2400)
    agreed = agreement(table.schema, rounds=3, max_depth=3, max_bin=8)
    together = federate(agreed, dealt(table, 3), wrap=wrap, timeout=5)
    return together, agreed, frames, opened, given


def test_the_aggregator_has_right_sums_and_nothing_of_one_owner(training):
    together, agreed, frames, opened, order = training
    rounds = together.progress.rounds
    assert [(LOST in one.members, one.cut_short) for one in rounds] == [(True, 0), (True, 1), (False, 0)]
    assert LOST in rounds[1].lost
    # Every byte that came is counted, in the rounds or before them.
    received = sum(len(content) for _, kind, content in frames if kind == "answer")
    assert received == together.progress.traffic[0] + sum(one.received for one in rounds)

    # What came from each owner for a sum is uniform in every byte, whatever went in.
    masked = {name: [] for name in order}
    for sender, kind, content in frames:
        _, parts = unpack(content, kind, sender=sender)
        for part in parts:
            if b"masked vector" in bytes(part[:200]):
                masked[sender].append(np.frombuffer(unpack(part, "masked vector", sender=sender)[1][0], dtype=np.uint8))
    for name, vectors in masked.items():
        assert len(vectors) == len(order[name])
        octets = np.concatenate(vectors)
        expected = len(octets) / 256
        statistic = np.sum((np.bincount(octets, minlength=256) - expected) ** 2) / expected
        assert FALSE_ALARM < chi2.sf(statistic, 255) < 1 - FALSE_ALARM
        plain = np.concatenate([vector for *_, vector in order[name]])
        words = np.concatenate(vectors).view(np.int64)
        assert np.count_nonzero(words == plain) == 0

    # Each sum that was opened is that of all its survivors: the same in all sums of a batch.
    sums, survivors_of, seen = [], {}, {}
    for batch, _, survivors, total in opened:
        place = seen[batch] = seen.get(batch, -1) + 1
        asked = {name: [one for one in order[name] if one[1] == batch][place] for name in survivors}
        vectors = {name: vector for name, (_, _, vector) in asked.items()}
        np.testing.assert_array_equal(sum(vectors.values()), total.view(np.int64))
        assert survivors_of.setdefault(batch, survivors) == survivors
        sums.append((asked["owner-0"][0], total.view(np.int64), vectors))

    # Histograms of nodes, of all together and of each owner: no two of the first differ by one of the second.
    slots = int(agreed.terms(together.progress.terms).cuts.starts(range(3))[-1])
    nodes = [
        (total[at : at + 2 * slots], {name: vector[at : at + 2 * slots] for name, vector in vectors.items()})
        for what, total, vectors in sums
        if what in ("begin", "descend")
        for at in range(0, len(total), 2 * slots)
    ]
    assert len(nodes) > 6
    for (one, owned), (other, _) in permutations(nodes, 2):
        for name, own in owned.items():
            equal = (one - other == own) & (own != 0)
            assert equal.sum() < 0.2 * (own != 0).sum(), name
    for one, owned in nodes:
        for name, own in owned.items():
            assert np.count_nonzero((one == own) & (own != 0)) < 0.2 * np.count_nonzero(own), name
