"""What the terminal shows while a flow runs: one line a finished stage, a bar for long work (in a file, a line now
and then), no log noise.

Prefect logs every state change; a person at a terminal wants the story. So Prefect's console handler is replaced by one
that prints what stages say, and bars are drawn from the same progress reports that feed the Prefect UI. With
`TROTH_VERBOSE=1` everything Prefect says is shown instead.
"""

import logging
import os
import sys
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)

_TOLD = ("prefect.flow_runs", "prefect.task_runs")
_ENGINE = (
    "Beginning flow run",
    "Finished in state",
    "Created task run",
    "Beginning subflow run",
    "View at",
    "Created subflow",
)
_SAID_AT_THE_END = (
    "Encountered exception",
    "Finished in state Failed",
    "Finished in state Crashed",
    "Task run failed",
    "Crash detected",
)
"""What failed is one sentence when the command ends; it is not told twice."""
_SECONDS_BETWEEN_LINES = 30.0


class _Story(logging.Handler):
    """Prints what stages log; the engine's own lines are left out unless they are warnings."""

    def __init__(self, bars: Progress) -> None:
        super().__init__(logging.INFO)
        self.bars = bars

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text.startswith(_SAID_AT_THE_END) or not text.strip():
            return
        if record.levelno < logging.WARNING and text.startswith(_ENGINE):
            return
        style = "yellow" if record.levelno == logging.WARNING else "red" if record.levelno > logging.WARNING else None
        self.bars.console.print(text, style=style, markup=False, soft_wrap=True)


class _Bars:
    """A bar per task, gone when it is done."""

    def __init__(self, bars: Progress) -> None:
        self.bars, self.ids = bars, {}

    def __call__(self, task: str, done: int, total: int, note: str) -> None:
        if task not in self.ids:
            self.ids[task] = self.bars.add_task(task, total=total)
        self.bars.update(self.ids[task], completed=done, total=total, description=f"{task} {note}".strip())
        if done >= total:
            self.bars.remove_task(self.ids.pop(task))


class _Lines:
    """For a file or a pipe, in which no bar can move: how far long work is, every half minute."""

    def __init__(self) -> None:
        self.began: dict[str, float] = {}
        self.last: dict[str, float] = {}

    def __call__(self, task: str, done: int, total: int, note: str) -> None:
        now = time.monotonic()
        began, last = self.began.setdefault(task, now), self.last.setdefault(task, now)
        if done >= total:
            del self.began[task]  # the next of its kind is counted from its own beginning
        elif now - last >= _SECONDS_BETWEEN_LINES:
            self.last[task] = now
            about = f"{task} {note}".strip()
            console.print(f"  {about}: {done} of {total} after {now - began:.0f} s", markup=False, soft_wrap=True)


class tell_the_story:
    """Context manager: while it lasts, runs in this process are told on this terminal."""

    def __enter__(self) -> None:
        if os.environ.get("TROTH_VERBOSE"):
            self.bars = None
            return
        from tasks import progress

        self.bars = Progress(
            TextColumn("  [dim]{task.description}"),
            BarColumn(24),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not sys.stdout.isatty(),
        )
        self.bars.start()
        self.story, self.drawn = _Story(self.bars), _Bars(self.bars) if sys.stdout.isatty() else _Lines()
        progress.listen(self.drawn)
        _replace_console_handlers(self.story)

    def __exit__(self, *failure) -> None:
        if self.bars is None:
            return
        from tasks import progress

        progress.stop_listening(self.drawn)
        for name in _TOLD:
            logging.getLogger(name).removeHandler(self.story)
        self.bars.stop()


def _replace_console_handlers(story: logging.Handler) -> None:
    """Take Prefect's console handler off its loggers and give runs' loggers `story` instead."""
    from prefect.logging.handlers import PrefectConsoleHandler

    for name in ["", *logging.root.manager.loggerDict]:
        logger = logging.getLogger(name)
        logger.handlers = [one for one in logger.handlers if not isinstance(one, PrefectConsoleHandler)]
    for name in _TOLD:
        logging.getLogger(name).addHandler(story)
    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.WARNING)
