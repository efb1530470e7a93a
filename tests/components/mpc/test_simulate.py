"""Parties and dealer as threads: what they return, and that one which fails keeps nobody waiting."""

import numpy as np
import pytest

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
