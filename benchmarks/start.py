"""How long a person waits at the start: `troth --help`, the first flow on a bare machine, and the next one.

    python benchmarks/start.py [--repeats 5]

Each is a process from the shell, in a home that does not exist before the first flow: that one also makes the
databases of Prefect and MLflow and the signing key. The flow is `tabular` on one year of the RAND records with a short
training, so that what is left is mostly the start.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def timed(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Wall and CPU seconds of a command and its children."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - started, cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    troth = str(Path(sys.executable).with_name("troth"))
    found: dict[str, list[tuple[float, float]]] = {"troth --help": [], "first flow": [], "next flow": []}
    for repeat in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            environment = os.environ | {"TROTH_HOME": f"{folder}/home", "COLUMNS": "120"}
            found["troth --help"].append(timed([troth, "--help"], environment))
            for name, seed in (("first flow", 0), ("next flow", 1)):
                command = [troth, "run", "tabular", "--years", "1", "--set", "rounds=10", "--seed", str(seed)]
                found[name].append(timed(command, environment))
        print(f"{repeat + 1} of {repeats}", file=sys.stderr)
    print(f"median of {repeats}\n{'':14}{'wall s':>9}{'CPU s':>9}")
    for name, times in found.items():
        wall, cpu = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"{name:14}{wall:9.2f}{cpu:9.2f}")


if __name__ == "__main__":
    main()
