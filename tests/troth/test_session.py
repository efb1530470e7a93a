"""A command that is told to end ends as one that was."""

import ctypes
import os
import signal
import time
from contextlib import suppress

import pytest

from troth.session import _ended_by_sigterm


@pytest.fixture(autouse=True)
def handler():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    # In the background of a shell Ctrl-C is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handled in before.items():
        signal.signal(number, handled)


def tell() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def fail_to_tidy_up() -> None:
    try:
        tell()
    finally:
        raise ConnectionError("the server is gone")


def fail_before() -> None:
    try:
        raise ConnectionError("the server is gone")
    except ConnectionError:
        tell()


def go_on_regardless() -> None:
    with suppress(SystemExit):
        tell()


@pytest.mark.parametrize("ending", [tell, fail_to_tidy_up, fail_before, go_on_regardless])
def test_a_signal_is_the_exit_code_whatever_else_goes_wrong(ending):
    with pytest.raises(SystemExit) as end, _ended_by_sigterm():
        ending()
    assert end.value.code == 128 + signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_comes_while_c_calls_python_ends_it_all_the_same(number):
    """There Python drops what is raised: XGBoost, which reads rows so, would train on as if nothing had been said."""
    went_on = []

    def work() -> None:
        ctypes.CFUNCTYPE(None)(lambda: os.kill(os.getpid(), number))()
        went_on.append("after the call")
        time.sleep(30)
        went_on.append("to the end")

    with pytest.raises((SystemExit, KeyboardInterrupt)) as end, _ended_by_sigterm():
        work()
    assert went_on == ["after the call"]
    assert getattr(end.value, "code", 128 + signal.SIGINT) == 128 + number


def test_what_is_dropped_otherwise_is_told_as_ever(monkeypatch):
    told = []
    monkeypatch.setattr("sys.unraisablehook", told.append)
    with _ended_by_sigterm():
        ctypes.CFUNCTYPE(None)(lambda: 1 / 0)()
    assert [one.exc_type for one in told] == [ZeroDivisionError]


def test_without_one_nothing_is_changed():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ConnectionError), _ended_by_sigterm():
        raise ConnectionError
    assert signal.getsignal(signal.SIGTERM) is before
