"""How long a gate takes, and how much memory: a million rows, fifty group levels and every pair of them.

    python -m benchmarks.gates            # or: python benchmarks/gates.py [--rows 1000000]

Each line runs in a process of its own, so that peak memory is that run's alone; it includes the rows themselves.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np

from components.data.predictions import Predictions
from components.data.schema import BinaryLabel
from components.data.table import GroupColumn
from components.gates import Policy, run_gate

SHAPES = {"5 columns x 10 levels, pairs": (5, 10, 2), "25 columns x 2 levels, pairs": (25, 2, 2)}


def one_gate(rows: int, columns: int, levels: int, depth: int) -> dict:
    """Seconds, peak memory (MiB) and checks of one full gate on made-up predictions."""
    rng = np.random.default_rng(0)
    names = tuple(f"level {level}" for level in range(levels))
    groups = {
        f"column {column}": GroupColumn(rng.integers(0, levels, rows, dtype=np.int32), names)
        for column in range(columns)
    }
    ids = np.array([f"person-{row}" for row in range(rows)])
    labels = rng.integers(0, 2, rows, dtype=np.int32)
    old = np.clip(labels + rng.normal(0, 0.4, rows), 0.01, 0.99).astype(np.float32)
    new = np.clip(old + rng.normal(0, 0.01, rows), 0.01, 0.99).astype(np.float32)
    champion, candidate = (Predictions(BinaryLabel(column="y"), ids, labels, groups, scores) for scores in (old, new))
    rates = ("error", "false_positive_rate", "false_negative_rate")
    policy = Policy.model_validate({
        "name": "benchmark", "flip_budget": {"nfr": 0.03}, "not_worse": {}, "maximum_error": {"budget": 0.25},
        "beats_constant": {},
        "groups": {"intersections": depth, "nfr": {"budget": 0.05}, "error": {"budget": 0.02},
                   "gap": [{"metric": rate, "tolerance": 0.05} for rate in rates]},
    })  # fmt: skip
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    verdict = run_gate(policy, candidate, champion, constant_right=labels == 0)
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "checks": len(verdict.checks),
        "verdict": verdict.decision,
        "wall": time.perf_counter() - started,
        "cpu": cpu,
        "peak": after.ru_maxrss / 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--shape", choices=SHAPES, help="run this one here, and print JSON")
    asked = parser.parse_args()
    if asked.shape:
        print(json.dumps(one_gate(asked.rows, *SHAPES[asked.shape])))
        return
    print(
        f"{asked.rows} rows\n\n| groups | checks | verdict | wall s | CPU s | peak RSS MiB |\n|---|---|---|---|---|---|"
    )
    for shape in SHAPES:
        command = [sys.executable, __file__, "--rows", str(asked.rows), "--shape", shape]
        ran = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        print("| {} | {checks} | {verdict} | {wall:.2f} | {cpu:.2f} | {peak:.0f} |".format(shape, **ran))


if __name__ == "__main__":
    main()
