"""Signals wait for what they may not cut short, and then do what they always do."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from components.uninterrupted import uninterrupted


@pytest.fixture(autouse=True)
def heeded():
    """Whatever runs the tests may ignore Ctrl-C, as a shell's background does."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_comes_when_the_block_has_ended(number):
    def stop(*_):
        raise SystemExit(7)

    before, done = signal.signal(number, stop), []
    try:
        with pytest.raises(SystemExit), uninterrupted():  # noqa: PT012
            os.kill(os.getpid(), number)
            done.append(sum(range(1000)))
        assert len(done) == 1
        assert signal.getsignal(number) is stop
    finally:
        signal.signal(number, before)


def test_what_fails_in_the_block_puts_handlers_back_too():
    with pytest.raises(ZeroDivisionError), uninterrupted():
        1 / 0  # noqa: B018
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(KeyboardInterrupt), uninterrupted():  # noqa: PT012
        os.kill(os.getpid(), signal.SIGINT)
        1 / 0  # noqa: B018


def test_signals_that_come_all_the_time_come_between_blocks_and_after_them():
    ended, came, within = threading.Event(), [], []
    signal.signal(signal.SIGINT, lambda *_: came.append(1))

    def pester():
        while not ended.wait(0.0003):
            os.kill(os.getpid(), signal.SIGINT)

    pest = threading.Thread(target=pester)
    pest.start()
    while len(came) < 50 and len(within) < 10**6:
        with uninterrupted():
            before = len(came)
            sum(range(200))
            within.append(len(came) - before)
    ended.set()
    pest.join()
    assert sum(within) == 0
    before = len(came)
    assert before >= 50
    signal.raise_signal(signal.SIGINT)
    assert len(came) == before + 1


def test_a_signal_before_the_block_has_begun_leaves_no_other_put_off(monkeypatch):
    """SIGTERM in the moment between the two handlers, which raises."""
    before, set_handler, calls = signal.getsignal(signal.SIGTERM), signal.signal, []

    def stop(*_):
        raise SystemExit(7)

    def interrupted(*arguments):
        calls.append(set_handler(*arguments))
        if len(calls) == 1:
            signal.raise_signal(signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(signal, "signal", interrupted)
            with pytest.raises(SystemExit), uninterrupted():
                pass
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert signal.getsignal(signal.SIGTERM) is stop
    finally:
        signal.signal(signal.SIGTERM, before)


def test_in_another_thread_nothing_is_touched():
    seen = []

    def work():
        with uninterrupted():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]


PESTERED = """
import os, random, signal, threading, time
from contextlib import suppress
import numpy as np
import pyarrow as pa
from components.boosting import BoostingParameters
from components.boosting.pooled import train_pooled
from components.data.schema import Schema
from components.data.table import Table

asked = threading.Event()

def stop(*_):
    if asked.is_set():
        asked.clear()
        raise KeyboardInterrupt

signal.signal(signal.SIGINT, stop)
random.seed(0)
draw, rows = np.random.default_rng(0), 30_000
schema = {"name": "t", "person": "id", "label": {"column": "y"}, "features": {"a": {}, "b": {}}}
columns = {"id": np.arange(rows).astype(str), "y": draw.integers(0, 2, rows)}
columns |= {"a": draw.normal(size=rows), "b": draw.normal(size=rows)}
table = Table(Schema.model_validate(schema), pa.table(columns))
table.features
parameters = BoostingParameters(rounds=1, max_depth=2, threads=1)

def pester():
    while True:
        time.sleep(random.random() * 0.02)
        os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=pester, daemon=True).start()
for _ in range(100):
    with suppress(KeyboardInterrupt):
        asked.set()
        while asked.is_set():
            train_pooled(table, parameters)
print("alive")
"""


@pytest.mark.slow
def test_ctrl_c_while_xgboost_reads_rows_aborts_no_process():
    """XGBoost, which calls Python for its rows, was left with fewer than it had counted, and wrote past its memory."""
    done = subprocess.run([sys.executable, "-c", PESTERED], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr
