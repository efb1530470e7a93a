"""Federated boosting, owners and aggregator as processes, masks on, against `xgboost.train` on all rows in one place.

    python benchmarks/federated_boosting.py [--rows 1000000] [--owners 3] [--trees 50] [--features 30]

Both grow trees of depth 6 with 256 bins on one thread a process; ours with public edges, over loopback TLS. *Start* is
what a training of one tree takes, for ours with all processes that start, read their stores and bin them, for XGBoost
the quantile matrix; *a tree* is the rest, divided. Memory is an owner's peak beyond one whose rows are few, in units of
its binned rows.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import xgboost
from scipy.stats import norm

from components.boosting import BoostingParameters
from components.boosting.federated.launch import AGGREGATOR, grow_here
from components.data.schema import BinaryLabel, Schema
from components.data.table import Table
from components.partition import write_holding
from components.secret_file import create_once

BINS, DEPTH = 256, 6
TRAINING = 0.9
SPLIT = {"salt": "benchmark", "shares": [TRAINING, 0.05, 0.05]}
COLUMNS = ("start", "a tree", "all", "XGBoost's", "a tree", "all", "ratio, a tree", "all", "wall a tree",
           "MB an owner, tree", "peak / bins")  # fmt: skip


def schema_of(features: int) -> Schema:
    """Edges at the quantiles of what is drawn."""
    edges = np.unique(norm.ppf(np.arange(1, BINS) / BINS).astype(np.float32)).tolist()
    return Schema(
        name="drawn",
        person="id",
        label={"column": "y"},
        features={f"x{number}": {"edges": edges} for number in range(features)},
    )


def draw(rows: int, features: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    matrix = random.standard_normal((rows, features), dtype=np.float32)
    signal = matrix[:, 0] * matrix[:, 1] + matrix[:, 2]
    return matrix, (signal + random.standard_normal(rows, dtype=np.float32) > 0).astype(np.int8)


def parameters_of(trees: int) -> BoostingParameters:
    return BoostingParameters(
        rounds=trees, max_depth=DEPTH, max_bin=BINS, eta=0.3, subsample=1, colsample_bytree=1, threads=1
    )


def federated(folder: Path, rows: int, features: int, owners: int, trees: int) -> dict:
    """Processor seconds of all processes, and what the rounds and the owners' memory say."""
    schema, private = schema_of(features), {}
    for number in range(owners):
        name, count = f"owner-{number}", round(rows / TRAINING / owners)
        matrix, labels = draw(count, features, number)
        ids = np.arange(count) + number * count
        columns = {"id": ids, "y": labels, **{f"x{one}": matrix[:, one] for one in range(features)}}
        record = write_holding(folder / "stores", name, Table(schema, pa.table(columns)))
        private[name] = folder / f"{name}-{trees}.json"
        own = {"owner": name, "path": str(record.path), "rows": record.rows, "digest": record.digest}
        create_once(private[name], json.dumps({"holding": own | {"columns": list(record.columns)}}).encode())
    public = {"schema": schema.model_dump_json(), "split": SPLIT}
    public["parameters"] = parameters_of(trees).model_dump(mode="json")
    ended = grow_here(public, folder=folder / f"run-{trees}", private=private, on_progress=lambda name, event: None)
    rounds = ended[AGGREGATOR].document["rounds"]
    return {
        "cpu": sum(one.counts["cpu_seconds"] for one in ended.values()),
        "peak": max(ended[name].counts["peak_bytes"] for name in private),
        "wall": float(np.median([one["seconds"] for one in rounds])),
        "sent": float(np.median([one["received"] for one in rounds])) / owners / 1e6,
    }


def pooled(rows: int, features: int, trees: int) -> float:
    """Processor seconds of the matrix and `xgboost.train`."""
    matrix, labels = draw(rows, features, 0)
    settings = parameters_of(trees).to_xgboost(BinaryLabel(column="y"))
    started = time.process_time()
    xgboost.train(settings, xgboost.QuantileDMatrix(matrix, labels, max_bin=BINS, nthread=1), trees)
    return time.process_time() - started


def measure(rows: int, features: int, owners: int, trees: int) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        idle = federated(Path(folder) / "few", 30_000, features, owners, 1)["peak"]
        one, many = (federated(Path(folder), rows, features, owners, count) for count in (1, trees))
    its_start, its_all = pooled(rows, features, 1), pooled(rows, features, trees)
    tree, its_tree = (many["cpu"] - one["cpu"]) / (trees - 1), (its_all - its_start) / (trees - 1)
    bins = rows / TRAINING / owners * features
    return [
        one["cpu"], tree, many["cpu"], its_start, its_tree, its_all, tree / its_tree, many["cpu"] / its_all,
        many["wall"], many["sent"], (many["peak"] - idle) / bins,
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--owners", type=int, nargs="+", default=[3])
    parser.add_argument("--trees", type=int, default=50)
    parser.add_argument("--features", type=int, default=30)
    options = parser.parse_args()
    print(f"{options.features} features, {BINS} bins, depth {DEPTH}, {options.trees} trees; processor seconds")
    print(f"{'rows, owners':18}" + "".join(f"{name:>18}" for name in COLUMNS))
    for rows in options.rows:
        for owners in options.owners:
            figures = measure(rows, options.features, owners, options.trees)
            print(f"{f'{rows:,}, {owners}':18}" + "".join(f"{one:18.3g}" for one in figures), flush=True)


if __name__ == "__main__":
    main()
