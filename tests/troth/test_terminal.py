"""Where no bar can move, a line now and then says how far long work is."""

import pytest

from troth import terminal


@pytest.fixture
def lines(monkeypatch, capsys):
    clock = {"now": 0.0}
    monkeypatch.setattr(terminal.time, "monotonic", lambda: clock["now"])
    told = terminal._Lines()

    def at(second: float, *step) -> str:
        clock["now"] = second
        with terminal.console.capture() as said:
            told(*step)
        return said.get()

    return at


def test_long_work_is_told_of_every_half_minute(lines):
    assert lines(0, "training", 1, 100, "retrain") == ""
    assert lines(20, "training", 20, 100, "retrain") == ""
    assert "training retrain: 31 of 100 after 31 s" in lines(31, "training", 31, 100, "retrain")
    assert lines(45, "training", 45, 100, "retrain") == ""
    assert "62 of 100" in lines(62, "training", 62, 100, "retrain")


def test_what_begins_anew_has_a_clock_of_its_own_and_many_short_ones_are_told_of_too(lines):
    lines(0, "audit", 1, 2, "a twin")
    assert lines(20, "audit", 2, 2, "a twin") == ""
    assert lines(21, "audit", 1, 9, "a reference") == ""
    assert "audit a reference: 3 of 9 after 14 s" in lines(35, "audit", 3, 9, "a reference")
    assert lines(50, "audit", 4, 9, "a reference") == ""
