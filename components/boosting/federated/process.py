"""One member of a federated run as a process of its own: `python -m components.boosting.federated.process JOB.json`.

Everything about the process is as in `components.mpc.process`; only how members meet is another matter: owners dial
the aggregator, each on its own, and a lost one need not end the others.
"""

import sys
from collections.abc import Callable

from components.federated import AggregatorLost, ProtocolViolation, TooFewMembers
from components.mpc.network import PartyLost
from components.mpc.process import main
from components.mpc.programs import Job, Outcome, Task, find_program
from components.parties.file import read_parties


def in_federation(job: Job, say: Callable[..., None], at: Callable[[str], None]) -> tuple[Outcome, dict]:
    """Run the job's program as this member."""
    parties = read_parties(job.parties)

    def report(**progress) -> None:
        if "tree" in progress:
            at(f"in tree {progress['tree']}")
        say("progress", **progress)

    analyst = parties.names.index(parties.analyst)
    task = Task(job.name, job.agreement, analyst, job.private, job.folder, resume_from=0, tag="", report=report)
    try:
        return find_program(job.program)(parties, task) or {}, {}
    except (AggregatorLost, TooFewMembers, ProtocolViolation) as error:
        raise PartyLost(str(error)) from error


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], in_federation))
