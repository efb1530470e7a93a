"""From an exception to the one sentence a person reads.

What the user can put right (bad input, a full disk, a refused model) exits with 2 and no traceback. The rest is ours:
the traceback goes to a file, its name is printed, and the exit code is 1.
"""

import errno
import os
import shutil
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from components.errors import InvalidInput

RESUME = "the same command, given again, continues where this stopped ('troth status' names the champion)"
_FULL_BELOW = 1 << 20


def explain(error: BaseException, *, goes_on: bool) -> tuple[str, int]:
    """(sentence, exit code) for an exception that reached the top; no sentence where all has been said.

    `goes_on` says that the command continues, given again, what it had begun.
    """
    then = f"; {RESUME}" if goes_on else ""
    if hasattr(error, "format_message"):
        return _usage(error), 2
    links = list(_chain(error))
    # Looked for first: what else went wrong is told by its consequence.
    if full := next((link for link in links if _is_full_disk(link)), None):
        where = f" ({full.filename})" if getattr(full, "filename", None) else ""
        return f"the disk is full{where}; free some space{then}", 2
    for link in links:
        if isinstance(link, InvalidInput):
            return str(link), 2
        if isinstance(link, PermissionError):
            return f"{link.filename} may not be read or written by this user; correct its permissions", 2
    if _is_full():
        return f"the disk is full ({_home()}); free some space{then}", 2
    summary = " ".join(str(error).split())[:300] or type(error).__name__
    return f"{summary} ({type(error).__name__}; details in {_keep(error)}){then}", 1


def _usage(error) -> str:
    """What typer has to say about the command as it was typed; nothing where it has shown the help instead."""
    said = error.format_message().strip().removesuffix(".")
    context = getattr(error, "ctx", None)
    return said and f"{said[0].lower()}{said[1:]}" + (f"; see '{context.command_path} --help'" if context else "")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_full_disk(error: BaseException) -> bool:
    full = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
    return (isinstance(error, OSError) and error.errno in full) or "database or disk is full" in str(error)


def _is_full() -> bool:
    """Whether the disk of Troth's home has no room left, which a server that failed over it does not pass on."""
    try:
        return shutil.disk_usage(_home()).free < _FULL_BELOW
    except OSError:
        return False


def _home() -> Path:
    return Path(os.environ.get("TROTH_HOME", ".troth"))


def _keep(error: BaseException) -> Path:
    folder = _home() / "errors"
    text = "".join(traceback.format_exception(error))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{time.strftime('%Y%m%d-%H%M%S')}.log"
        path.write_text(text)
    except OSError:
        return Path(os.devnull)
    return path
