"""Code that no signal may cut short, because whoever called it, or comes after it, could not cope.

C that calls Python cannot be told that Python gave up. XGBoost reads rows by calling back, four times over; where
Ctrl-C came in one of these calls it took the rows to be at their end, wrote past its own memory, and the process was
aborted. And half a transaction keeps a database locked.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Put off what SIGINT and SIGTERM do until the block has ended; only where signals arrive, in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came, is_over = [], False
    # None stands for a handler that is not Python's, which raises nothing in Python.
    before = {one: handler for one in (signal.SIGINT, signal.SIGTERM) if (handler := signal.getsignal(one)) is not None}

    def put_off(number: int, _) -> None:
        if not is_over:
            came.append(number)
            return
        # While handlers were put back another signal came, and what it raised left this one in its place.
        signal.signal(number, before[number])
        signal.raise_signal(number)

    try:
        for one in before:
            signal.signal(one, put_off)
        yield
    finally:
        is_over = True
        for one, handler in before.items():
            signal.signal(one, handler)
        for number in came:
            signal.raise_signal(number)
