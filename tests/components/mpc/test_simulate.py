"""Parties and dealer as threads: what they return, and that one which fails keeps nobody waiting."""

import queue
import time

import numpy as np
import pytest

from components.mpc.network import DEALER, PartyLost, local_networks
from components.mpc.simulate import simulate

FOR_EVER = 3600


def test_results_are_the_parties_in_their_order():
    results, engines = simulate(lambda engine: engine.party, 3)
    assert results == [0, 1, 2]
    assert [engine.party for engine in engines] == [0, 1, 2]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("failing", [0, 2, -1], ids=["first", "last", "dealer"])
def test_when_one_fails_the_others_end_at_once(failing):
    def program(engine):
        if engine.party == failing:
            raise ZeroDivisionError("on purpose")
        # More than the dealer may run ahead, and openings that the failing one never answers.
        for _ in range(200):
            words = engine.dealt(lambda: np.zeros(4, dtype=np.uint64), (4,))
            if not engine.deals:
                engine.open("trial", words)

    with pytest.raises(ZeroDivisionError, match="on purpose"):
        simulate(program, 3, timeout=FOR_EVER)


class Stalled(queue.Queue):
    """A box whose first look takes a second: the process was stopped, and with it whoever was to fill the box."""

    def get(self, *, timeout):
        if not self.unfinished_tasks:
            time.sleep(1.0)
            self.put(("trial", b"octets"))
            raise queue.Empty
        return super().get(timeout=timeout)


def test_who_was_stopped_looks_again_before_it_gives_the_others_up():
    (network, _), _ = local_networks(2, timeout=0.5)
    network.boxes[1, 0] = Stalled()
    assert network.round("trial", {}, {1: 6}) == {1: b"octets"}


def test_who_sends_nothing_is_given_up():
    (network, _), dealer = local_networks(2, timeout=0.2)
    with pytest.raises(PartyLost, match="party 1 did not send trial within 0.2 s"):
        network.round("trial", {}, {1: 6})
    for _ in range(dealer.boxes[DEALER, 0].maxsize):
        dealer.deal(0, memoryview(b"octets"))
    with pytest.raises(PartyLost, match="party 0 took nothing"):
        dealer.deal(0, memoryview(b"octets"))
