"""What `troth run language` costs, stage by stage: one run in a home of its own, read back from MLflow.

    python benchmarks/language_flow.py [OPTIONS OF troth run language ...]

Wall and processor seconds of each stage, as every run keeps them; the start of the process, of the embedded servers
and the page are in the total alone. What follows the name goes to `troth run language` as it is.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time

STAGES = ("partition", "train", "evaluate", "audit", "gate", "register", "promote")


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        os.environ["TROTH_HOME"] = home
        began = time.monotonic()
        done = subprocess.run(["troth", "run", "language", *sys.argv[1:]])
        total = time.monotonic() - began
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            sys.exit(done.returncode)
        costs = costs_of_stages()
    print(f"{'stage':12}{'wall s':>10}{'processor s':>14}")
    for stage, (wall, processor) in costs.items():
        print(f"{stage:12}{wall:>10.1f}{processor:>14.1f}")
    print(f"{'in all':12}{total:>10.1f}{used.ru_utime + used.ru_stime:>14.1f}")
    print(f"audit / training: {costs['audit'][1] / costs['train'][1]:.2f} in processor time")


def costs_of_stages() -> dict[str, tuple[float, float]]:
    """Wall and processor seconds of every stage of the newest run."""
    from tasks.report import find_run
    from tasks.tracking import PROCESSOR_SECONDS, SECONDS, connect, find_stage

    settings, client = connect()
    run_id = find_run(client, settings, "last")
    experiment = client.get_run(run_id).info.experiment_id
    found = {stage: find_stage(client, run_id, experiment, stage).data.metrics for stage in STAGES}
    return {stage: (metrics[SECONDS], metrics[PROCESSOR_SECONDS]) for stage, metrics in found.items()}


if __name__ == "__main__":
    main()
