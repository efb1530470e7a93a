"""Owners and aggregator as processes of this machine, over loopback, with certificates made for the occasion."""

import socket
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from components.boosting.federated.programs import grow
from components.boosting.federated.rating import rate
from components.mpc.launch import Ended, OnProgress, run_jobs
from components.mpc.programs import Job, reference
from components.parties.file import make_parties

COMMAND = (sys.executable, "-m", "components.boosting.federated.process")
AGGREGATOR = "aggregator"


def grow_here(
    agreement: Mapping, *, folder: Path, private: Mapping[str, Path], on_progress: OnProgress, timeout: float = 30
) -> dict[str, Ended]:
    """Train with every owner in `private` (name → path of its input) as a process, and an aggregator.

    An owner that dies is done without, as long as enough are left; the aggregator goes on from the trees in `folder`.

    Raises
    ------
    PartyLost
        Too few owners are left.
    InvalidInput
        An owner refused its input.
    PartyCrashed
        A program failed.
    """
    return _run(reference(grow), agreement, folder, private, on_progress, timeout, aggregates=True)


def rate_here(
    agreement: Mapping, *, folder: Path, private: Mapping[str, Path], on_progress: OnProgress, timeout: float = 30
) -> dict[str, Ended]:
    """Score every owner's held-out rows in a process of its own; the first owner is the analyst.

    Raises as `grow_here`, and misses no owner.
    """
    return _run(reference(rate), agreement, folder, private, on_progress, timeout, aggregates=False)


def _run(
    program: str,
    agreement: Mapping,
    folder: Path,
    private: Mapping[str, Path],
    on_progress: OnProgress,
    timeout: float,
    *,
    aggregates: bool,
) -> dict[str, Ended]:
    listener = AGGREGATOR if aggregates else next(iter(private))
    with tempfile.TemporaryDirectory(prefix="troth-parties-") as secret:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            place = probe.getsockname()[:2]
        made, hosts = Path(secret) / "parties", {listener: place}
        make_parties(made, list(private), aggregator=AGGREGATOR, hosts=hosts, timeout=timeout, gather=max(60, timeout))
        jobs = [
            Job(
                program=program,
                parties=made,
                name=name,
                agreement=dict(agreement),
                private=private.get(name),
                folder=folder / name,
            )
            for name in (*([AGGREGATOR] if aggregates else []), *private)
        ]
        return run_jobs(jobs, on_progress, COMMAND, dispensable=list(private) if aggregates else ())
