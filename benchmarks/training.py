"""Pooled training against plain `xgboost.train` on the same matrix: processor time, wall time and peak memory.

    python benchmarks/training.py [--rows 1000000] [--features 30] [--rounds 50]

Every run is a process of its own, started in turn, so that peaks do not mix. Plain runs start from a float32 matrix and
train on a `DMatrix` (what most people write) or a `QuantileDMatrix`; ours starts from a `Table`, whose Arrow columns
count in its peak beside the matrix made from them. Times begin when the data are there.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np

KINDS = ("plain DMatrix", "plain QuantileDMatrix", "train_pooled")
THREADS, DEPTH, REPEATS = 2, 6, 2


def matrix_and_labels(rows: int, features: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    matrix = random.standard_normal((rows, features), dtype=np.float32)
    signal = matrix[:, 0] * matrix[:, 1] + matrix[:, 2]
    matrix[random.random(rows) < 0.1, 3] = np.nan
    return matrix, (signal + random.standard_normal(rows, dtype=np.float32) > 0).astype(np.int32)


def prepare_plain(kind: str, rows: int, features: int, parameters):
    import xgboost

    from components.data.schema import BinaryLabel

    matrix, labels = matrix_and_labels(rows, features)
    build = xgboost.QuantileDMatrix if "Quantile" in kind else xgboost.DMatrix
    settings = parameters.to_xgboost(BinaryLabel(column="y"))
    return lambda: xgboost.train(settings, build(matrix, labels, nthread=THREADS), parameters.rounds)


def prepare_ours(rows: int, features: int, parameters):
    import pyarrow as pa

    from components.boosting import train_pooled
    from components.data.schema import Schema
    from components.data.table import Table

    matrix, labels = matrix_and_labels(rows, features)
    names = [f"x{number}" for number in range(features)]
    columns = {name: pa.array(np.ascontiguousarray(matrix[:, place])) for place, name in enumerate(names)}
    schema = Schema(name="drawn", person="id", label={"column": "y"}, features={name: {} for name in names})
    table = Table(schema, pa.table(columns | {"id": np.arange(rows), "y": labels}))
    return lambda: train_pooled(table, parameters)


def measure(kind: str, rows: int, features: int, rounds: int) -> dict:
    """One training in this process."""
    from components.boosting import BoostingParameters

    parameters = BoostingParameters(rounds=rounds, max_depth=DEPTH, subsample=1, colsample_bytree=1, threads=THREADS)
    train = (
        prepare_ours(rows, features, parameters)
        if kind == "train_pooled"
        else prepare_plain(kind, rows, features, parameters)
    )
    wall, processor = time.perf_counter(), time.process_time()
    train()
    return {
        "cpu_s": time.process_time() - processor,
        "wall_s": time.perf_counter() - wall,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--features", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--run", choices=KINDS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    sizes = (options.rows, options.features, options.rounds)
    if options.run:
        print(json.dumps(measure(options.run, *sizes)))
        return
    best = {}
    for _ in range(REPEATS):
        for kind in KINDS:
            command = [sys.executable, __file__, "--run", kind, *(f"--{name}={size}" for name, size in
                       zip(("rows", "features", "rounds"), sizes, strict=True))]  # fmt: skip
            figures = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            best[kind] = {name: min(value, best.get(kind, figures)[name]) for name, value in figures.items()}
    print("{:,} rows x {} features, depth {}, {} rounds".format(*sizes[:2], DEPTH, sizes[2]))
    print(f"{THREADS} threads, best of {REPEATS} runs in processes of their own")
    print(f"{'':24}{'CPU s':>8}{'wall s':>8}{'peak MB':>9}   ours / this: CPU, peak")
    ours = best["train_pooled"]
    for kind, figures in best.items():
        ratios = f"{ours['cpu_s'] / figures['cpu_s']:.2f}, {ours['peak_mb'] / figures['peak_mb']:.2f}"
        print(f"{kind:24}{figures['cpu_s']:8.1f}{figures['wall_s']:8.1f}{figures['peak_mb']:9.0f}   {ratios}")


if __name__ == "__main__":
    main()
