"""Programs that a process of a party may run, and the job that tells it which.

A job comes in a file and names its program by text; so that no file can make a party run something else, only functions
of `components` that were marked with `@program` are found.
"""

import importlib
import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from components.errors import InvalidInput
from components.mpc.engine import Engine
from components.mpc.hello import Json
from components.secret_file import create_once


class Job(BaseModel):
    """What one member of a run is to do.

    `private` is the path of its own input, which no other member sees; `folder` is where its log and results go.
    `listener` is the number of a socket it inherits, `attached` that it must not outlive whoever holds its input, and
    `streams` are the numbers of its input and output, where it is forked and has them not at once.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    program: str
    parties: Path
    name: str
    agreement: dict[str, object]
    folder: Path
    private: Path | None = None
    finished: dict[int, str] = {}
    latency: float = Field(default=0, ge=0)
    listener: int | None = None
    attached: bool = False
    streams: tuple[int, int] | None = None


@dataclass(frozen=True)
class Task:
    """What a program gets beside its engine; `resume_from` steps are on every owner's disk, of the same tries.

    `tag` names this try, the same at all members; whatever a step leaves on a disk is to carry it.
    `analyst` is the number of the one owner to whom this member's own parties.yaml lets results be opened.
    """

    name: str
    agreement: Mapping[str, Json]
    analyst: int
    private: Path | None
    folder: Path
    resume_from: int
    tag: str
    report: Callable[..., None]
    """`report(tree=3, level=1)`: say how far this party is. What is said is public."""


Outcome = Mapping[str, Json | np.ndarray]
Program = Callable[[Engine, Task], Outcome | None]

_PROGRAMS: dict[str, Program] = {}
_READY: dict[str, Callable[[], None]] = {}
_REFERENCE = re.compile(r"components(\.[a-z_][a-z0-9_]*)+:[a-z_][a-z0-9_]*")


def program(function: Program | None = None, *, ready: Callable[[], None] | None = None):
    """Allow processes of parties to run `function(engine, task)`; what it returns is stored in the party's folder.

    `ready` is what each of them would do first, whoever it is for, such as to load compiled loops.
    """
    if function is None:
        return partial(program, ready=ready)
    _PROGRAMS[reference(function)] = function
    if ready is not None:
        _READY[reference(function)] = ready
    return function


def reference(function: Program) -> str:
    """The text that names a program in a job."""
    return f"{function.__module__}:{function.__name__}"


def find_program(name: str) -> Program:
    """The program of a name.

    Raises
    ------
    InvalidInput
        It is none.
    """
    if name not in _PROGRAMS and _REFERENCE.fullmatch(name):
        with suppress(ModuleNotFoundError):
            importlib.import_module(name.partition(":")[0])
    if name not in _PROGRAMS:
        raise InvalidInput(f"'{name}' is no program for parties; only functions of components marked @program are")
    return _PROGRAMS[name]


def make_ready(name: str) -> None:
    """Import a program and do what each who runs it would do first; what is wrong with it they then find themselves."""
    with suppress(Exception):
        find_program(name)
        _READY.get(name, lambda: None)()


def store(outcome: Outcome, folder: Path) -> None:
    """Write what a program returned: `result.json`, and its arrays to `result.npz`, readable by their owner alone."""
    arrays = {name: value for name, value in outcome.items() if isinstance(value, np.ndarray)}
    document = {name: value for name, value in outcome.items() if name not in arrays}
    _clear(folder / "result.npz", folder / "result.json")
    if arrays:
        create_once(folder / "result.npz", b"")
        with (folder / "result.npz").open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
    create_once(folder / "result.json", json.dumps(document, allow_nan=False).encode())


def _clear(*paths: Path) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
