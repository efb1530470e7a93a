"""A command that is told to end ends as one that was."""

import os
import signal
from contextlib import suppress

import pytest

from troth.session import _ended_by_sigterm


@pytest.fixture(autouse=True)
def handler():
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


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


def test_without_one_nothing_is_changed():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ConnectionError), _ended_by_sigterm():
        raise ConnectionError
    assert signal.getsignal(signal.SIGTERM) is before
