"""XGBoost through the pipeline's train stage against plain `xgboost.train` on the same training rows.

    python benchmarks/flow_training.py [--rows 1000000] [--features 30] [--rounds 50]

Both begin with files. *Reading* is, for the stage, reading the owners' stores, verifying their digests, joining them
and dividing the rows by person; for the plain run, reading the table. In a flow the partition stage has just done that,
and the train stage finds it in memory. *Training* is the rest: the train stage with all it records, the loss on the
selection rows and the model in MLflow among it; for the plain run, the matrix and `xgboost.train`. Each run is a
process of its own.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

THREADS, DEPTH = 2, 6
TRAIN_SHARE = 0.8
COLUMNS = ("reading cpu", "training cpu", "reading wall", "training wall", "peak_mib")


def make_table(rows: int, features: int, folder: Path) -> tuple[Path, Path]:
    """A table of which `TRAIN_SHARE` are `rows` rows, and its schema."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import yaml

    count = round(rows / TRAIN_SHARE)
    random = np.random.default_rng(0)
    matrix = random.standard_normal((count, features), dtype=np.float32)
    signal = matrix[:, 0] * matrix[:, 1] + matrix[:, 2]
    label = (signal + random.standard_normal(count, dtype=np.float32) > 0).astype(np.int8)
    names = [f"x{k}" for k in range(features)]
    columns = {"id": np.arange(count), **dict(zip(names, matrix.T, strict=True)), "y": label}
    pq.write_table(pa.table(columns), folder / "big.parquet")
    schema = {"name": "big", "person": "id", "label": {"column": "y"}, "features": {name: {} for name in names}}
    (folder / "big.yaml").write_text(yaml.safe_dump(schema, sort_keys=False))
    return folder / "big.parquet", folder / "big.yaml"


def plain(folder: Path, rounds: int) -> dict:
    """What a script of ten lines does: read the file, take the first rows as training rows, train."""
    import pandas as pd
    import xgboost

    from components.boosting import BoostingParameters
    from components.data.schema import BinaryLabel

    settings = BoostingParameters(rounds=rounds, max_depth=DEPTH, threads=THREADS).to_xgboost(BinaryLabel(column="y"))

    frame, reading = measured(lambda: pd.read_parquet(folder / "big.parquet"))

    def script() -> None:
        rows = frame.iloc[: round(TRAIN_SHARE * len(frame))]
        matrix = xgboost.DMatrix(rows.drop(columns=["id", "y"]), rows["y"], nthread=THREADS)
        xgboost.train(settings, matrix, rounds)

    return figures(reading, measured(script)[1])


def stage(folder: Path, rounds: int) -> dict:
    os.environ["TROTH_HOME"] = str(folder / "home")
    os.environ["PREFECT_LOGGING_LEVEL"] = "ERROR"
    import flows  # noqa: F401  prepares the environment
    from components.boosting import BoostingParameters, CandidatePlan
    from tasks.holdings import divide, forget_joined
    from tasks.inputs import OwnTable
    from tasks.partition import SplitShares, partition
    from tasks.pipeline import pipeline_run
    from tasks.train import train

    source = OwnTable(path=str(folder / "big.parquet"), schema_file=str(folder / "big.yaml"))
    with pipeline_run("tabular", name="benchmark", model="big", request={"rounds": rounds}) as run:
        shares = SplitShares(train=TRAIN_SHARE, selection=0.1)
        dealt = partition.fn(run, source, None, shares, None, 0)
        parameters = BoostingParameters(rounds=rounds, max_depth=DEPTH, threads=THREADS)
        forget_joined()
        _, reading = measured(lambda: divide(dealt))
        _, training = measured(lambda: train.fn(run, dealt, "pooled", parameters, CandidatePlan(kinds=())))
    return figures(reading, training)


def measured(work) -> tuple[object, dict]:
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return result, {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}


def figures(reading: dict, training: dict) -> dict:
    """CPU and wall seconds of each part, and the most memory that the whole process had."""
    parts = {"reading": reading, "training": training}
    found = {f"{part} {kind}": value for part, one in parts.items() for kind, value in one.items()}
    return found | {"peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--features", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", choices=["plain", "stage"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps({"plain": plain, "stage": stage}[options.only](options.folder, options.rounds)))
        return
    with tempfile.TemporaryDirectory() as folder:
        make_table(options.rows, options.features, Path(folder))
        results = {"plain": [], "stage": []}
        for _ in range(options.repeats):
            for kind, found in results.items():
                command = [
                    sys.executable,
                    __file__,
                    "--only",
                    kind,
                    "--folder",
                    folder,
                    "--rounds",
                    str(options.rounds),
                ]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                found.append(json.loads(done.stdout.strip().splitlines()[-1]))
    middle = {
        kind: {key: float(np.median([one[key] for one in found])) for key in found[0]}
        for kind, found in results.items()
    }
    print(
        f"{options.rows:,} training rows x {options.features}, {options.rounds} rounds, depth {DEPTH}, "
        f"{THREADS} threads; median of {options.repeats}"
    )
    print(f"{'':22}{'CPU s: reading':>16}{'training':>10}{'wall s: reading':>18}{'training':>10}{'peak MiB':>10}")
    for kind, name in (("plain", "plain xgboost.train"), ("stage", "train stage")):
        reading, seconds, reading_wall, wall, peak = (middle[kind][key] for key in COLUMNS)
        print(f"{name:22}{reading:16.1f}{seconds:10.1f}{reading_wall:18.1f}{wall:10.1f}{peak:10.0f}")
    for what, parts in (("training alone", ("training",)), ("reading and training", ("reading", "training"))):
        ours, plainly = (
            {unit: sum(middle[kind][f"{part} {unit}"] for part in parts) for unit in ("cpu", "wall")}
            for kind in ("stage", "plain")
        )
        print(f"ratio, {what}: {ours['cpu'] / plainly['cpu']:.2f} CPU, {ours['wall'] / plainly['wall']:.2f} wall")


if __name__ == "__main__":
    main()
