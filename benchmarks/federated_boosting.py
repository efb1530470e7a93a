"""Federated boosting, owners and aggregator as processes, masks on, against `xgboost.train` on the same rows and edges.

    python benchmarks/federated_boosting.py                                        1M x 30 x 50 trees, three owners
    python benchmarks/federated_boosting.py --rows 100000 1000000 10000000         with the number of rows
    python benchmarks/federated_boosting.py --owners 2 3 10 30                     with the number of owners
    python benchmarks/federated_boosting.py --rows 11000000 --features 28          HIGGS's shape

Both grow trees of depth 6 with 256 bins on one thread a process; ours with public edges, over loopback TLS. *Start* is
what a training of one tree takes, for ours with all processes that start, read their stores and bin them, for XGBoost
the quantile matrix; *a tree* is the rest, divided. *From the stores* is XGBoost as a program too, which starts, and
reads the same stores (`pooled_boosting.py`). *Masks* is the part of our tree's processor time that keys, shares, masks,
signatures and their checks take, measured apart on vectors of the same lengths. Memory is an owner's peak beyond one
whose rows are few, in units of its binned rows. Margins of both models are compared on 10 000 rows. Ours runs on all
cores at once, which on some machines makes each slower; so XGBoost's tree on two threads is shown too.
Goals of 1M x 30 x 50: all within 1.3 x XGBoost's, 4 MB an owner and tree, peak 3 x the bins.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import xgboost
from federated import whole_batch
from pooled_boosting import grid_of
from scipy.stats import norm

from components.boosting import BoostingParameters
from components.boosting.federated.launch import AGGREGATOR, grow_here
from components.boosting.model import from_document
from components.data.schema import BinaryLabel, Schema
from components.data.split import PARTS, split_of
from components.data.table import Table
from components.partition import write_holding
from components.secret_file import create_once

BINS, DEPTH = 256, 6
TRAINING = 0.9
SPLIT = {"salt": "benchmark", "shares": [TRAINING, 0.05, 0.05]}
COLUMNS = ("start", "a tree", "all", "XGBoost's", "a tree", "two threads", "all", "from the stores", "ratio, a tree",
           "all", "from the stores", "masks", "wall a tree", "MB an owner, tree", "peak / bins",
           "margins apart")  # fmt: skip


def edges() -> np.ndarray:
    """Inner edges at the quantiles of what is drawn."""
    return np.unique(norm.ppf(np.arange(1, BINS) / BINS).astype(np.float32))


def schema_of(features: int) -> Schema:
    public = {f"x{number}": {"edges": edges().tolist()} for number in range(features)}
    return Schema(name="drawn", person="id", label={"column": "y"}, features=public)


def draw(rows: int, features: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    matrix = random.standard_normal((rows, features), dtype=np.float32)
    signal = matrix[:, 0] * matrix[:, 1] + matrix[:, 2]
    return matrix, (signal + random.standard_normal(rows, dtype=np.float32) > 0).astype(np.int8)


def parameters_of(trees: int) -> BoostingParameters:
    return BoostingParameters(
        rounds=trees, max_depth=DEPTH, max_bin=BINS, eta=0.3, subsample=1, colsample_bytree=1, threads=1
    )


def ids_of(count: int, owner: int) -> np.ndarray:
    return np.arange(count) + owner * count


def hand_out(folder: Path, rows: int, features: int, owners: int) -> dict[str, Path]:
    """Each owner's store, written, and the path of its private input."""
    schema, private, count = schema_of(features), {}, round(rows / TRAINING / owners)
    for number in range(owners):
        name, (matrix, labels) = f"owner-{number}", draw(count, features, number)
        columns = {"id": ids_of(count, number), "y": labels, **{f"x{one}": matrix[:, one] for one in range(features)}}
        record = write_holding(folder / "stores", name, Table(schema, pa.table(columns)))
        private[name] = folder / f"{name}.json"
        own = asdict(record) | {"path": str(record.path)}
        create_once(private[name], json.dumps({"holding": own}).encode())
    return private


def federated(folder: Path, private: dict[str, Path], features: int, trees: int) -> dict:
    """Processor seconds of all processes, what the rounds and the owners' memory say, and the model."""
    public = {"schema": schema_of(features).model_dump_json(), "split": SPLIT}
    public["parameters"] = parameters_of(trees).model_dump(mode="json")
    ended = grow_here(public, folder=folder / f"run-{trees}", private=private, on_progress=lambda name, event: None)
    document = ended[AGGREGATOR].document
    return {
        "cpu": sum(one.counts["cpu_seconds"] for one in ended.values()),
        "peak": max(ended[name].counts["peak_bytes"] for name in private),
        "wall": float(np.median([one["seconds"] for one in document["rounds"]])),
        "sent": float(np.median([one["received"] for one in document["rounds"]])) / len(private) / 1e6,
        "model": from_document(json.loads(document["model"])),
    }


def pooled(rows: int, features: int, owners: int, trees: int) -> dict:
    """Processor seconds of one tree and of all, with the matrix, on the training rows of all owners; the model.

    And of a tree on two threads.
    """
    count = round(rows / TRAINING / owners)
    matrix, labels = np.empty((count * owners, features), dtype=np.float32), np.empty(count * owners, dtype=np.int8)
    kept = 0
    for number in range(owners):
        part, own = draw(count, features, number)
        ids = ids_of(count, number).astype(str)
        trained = split_of(ids, SPLIT["salt"], tuple(SPLIT["shares"])) == PARTS.index("train")
        until = kept + int(trained.sum())
        matrix[kept:until], labels[kept:until], kept = part[trained], own[trained], until
    matrix, labels = matrix[:kept], labels[:kept]
    settings = parameters_of(trees).to_xgboost(BinaryLabel(column="y"))
    grid, used = grid_of(edges(), features), {}
    for many in (1, trees):
        started = time.process_time()
        binned = xgboost.QuantileDMatrix(matrix, labels, ref=grid, max_bin=BINS, nthread=1)
        model = xgboost.train(settings, binned, many)
        used[many] = time.process_time() - started
    started = time.process_time()
    xgboost.train(settings | {"nthread": 2}, binned, trees)
    return {"one": used[1], "all": used[trees], "model": model, "two": (time.process_time() - started) / trees}


def from_stores(folder: Path, private: dict[str, Path], features: int, trees: int) -> float:
    """Processor seconds of a process that reads all stores and trains XGBoost."""
    asked = SPLIT | {
        "stores": [json.loads(path.read_text())["holding"]["path"] for path in private.values()],
        "features": [f"x{number}" for number in range(features)],
        "edges": edges().tolist(),
        "bins": BINS,
        "settings": parameters_of(trees).to_xgboost(BinaryLabel(column="y")),
        "trees": trees,
    }
    path = folder / "pooled.json"
    path.write_text(json.dumps(asked))
    program = Path(__file__).with_name("pooled_boosting.py")
    done = subprocess.run([sys.executable, program, path], stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout)


def masks(features: int, owners: int) -> float:
    """Processor seconds of a tree that keys, shares, masks and signatures take, of all owners and the aggregator."""
    nodes = [1, *(2**level for level in range(DEPTH - 1))]
    return min(whole_batch(owners, [node * features * (BINS + 1) * 2 for node in nodes]) for _ in range(3))


def measure(rows: int, features: int, owners: int, trees: int) -> list[float]:
    with tempfile.TemporaryDirectory() as folder:
        few = hand_out(Path(folder) / "few", 30_000, features, owners)
        idle = federated(Path(folder) / "few", few, features, 1)["peak"]
        private = hand_out(Path(folder), rows, features, owners)
        one, many = (federated(Path(folder), private, features, count) for count in (1, trees))
        process = from_stores(Path(folder), private, features, trees)
    its = pooled(rows, features, owners, trees)
    tree, its_tree = (many["cpu"] - one["cpu"]) / (trees - 1), (its["all"] - its["one"]) / (trees - 1)
    new = xgboost.DMatrix(draw(10_000, features, owners)[0])
    ours, theirs = many["model"], its["model"]
    ours.feature_names = theirs.feature_names = None
    ours.feature_types = None
    apart = np.abs(ours.predict(new, output_margin=True) - theirs.predict(new, output_margin=True)).max()
    bins = rows / TRAINING / owners * features
    return [
        one["cpu"], tree, many["cpu"], its["one"], its_tree, its["two"], its["all"], process,
        tree / its_tree, many["cpu"] / its["all"], many["cpu"] / process, masks(features, owners) / tree,
        many["wall"], many["sent"], (many["peak"] - idle) / bins, float(apart),
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
