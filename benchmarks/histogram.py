"""Histogram trees of our own against `xgboost.train` with `hist` on the same edges and rows: processor time and memory.

    python benchmarks/histogram.py [--rows 100000 1000000] [--threads 1 2] [--trees 10] [--repeats 5]

Both start from binned rows and grow the same trees, in turn in one process, on the same number of threads; figures are
medians of the repeats, the ratio is the median of the ratios within one repeat. The peak is that of a process which
trains on drawn bins, less what it held before it drew them, in units of the bins' size. Binning is from float32
columns in memory. Sent is what an owner sends for a tree.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import xgboost

from components.boosting import BoostingParameters
from components.boosting.histogram import Rows, Terms, bin_columns, cuts_of, public_cuts, train
from components.data.schema import BinaryLabel, Schema

FEATURES, BINS, DEPTH = 30, 256, 6
COLUMNS = ("ours", "XGBoost", "ratio", "binning", "XGBoost's", "peak / bins", "MB sent", "margins apart")


def terms_of(cuts, rows: int, trees: int) -> Terms:
    parameters = BoostingParameters(rounds=trees, max_depth=DEPTH, eta=0.3, subsample=1, colsample_bytree=1)
    return Terms(cuts, "binary:logistic", parameters, rows=rows)


def drawn(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """(F, n) columns and labels that depend on three of them."""
    random = np.random.default_rng(0)
    columns = random.standard_normal((FEATURES, rows), dtype=np.float32)
    signal = columns[0] * columns[1] + columns[2]
    return columns, (signal + random.standard_normal(rows, dtype=np.float32) > 0).astype(np.float32)


def seconds(work) -> tuple[float, object]:
    started = time.process_time()
    result = work()
    return time.process_time() - started, result


def measure(rows: int, threads: int, trees: int, repeats: int) -> dict[str, float]:
    """Processor seconds of both, in turn."""
    columns, labels = drawn(rows)
    grid = xgboost.QuantileDMatrix(columns[:, : min(rows, 100_000)].T, max_bin=BINS, nthread=threads)
    cuts = cuts_of(grid)
    bin_columns(columns[:, :1000], cuts, 1000)
    binning, bins = seconds(lambda: bin_columns(columns, cuts, rows))
    its_binning, matrix = seconds(
        lambda: xgboost.QuantileDMatrix(columns.T, labels, ref=grid, max_bin=BINS, nthread=threads)
    )
    parameters = terms_of(cuts, rows, trees).parameters.model_copy(update={"threads": threads})
    settings = parameters.to_xgboost(BinaryLabel(column="y"))
    ours, theirs = [], []

    def train_ours(count: int):
        terms = terms_of(cuts, rows, count)
        return train(terms, [Rows(terms, bins, labels, threads=threads)])

    train_ours(1), xgboost.train(settings, matrix, 1)
    for _ in range(repeats):
        used, booster = seconds(lambda: train_ours(trees))
        ours.append(used / trees)
        used, peer = seconds(lambda: xgboost.train(settings, matrix, trees))
        theirs.append(used / trees)
    booster.feature_names = peer.feature_names
    new = xgboost.DMatrix(columns[:, :5000].T)
    apart = booster.predict(new, output_margin=True) - peer.predict(new, output_margin=True)
    return {
        "ours": np.median(ours),
        "XGBoost": np.median(theirs),
        "ratio": np.median(np.divide(ours, theirs)),
        "binning": binning,
        "XGBoost's": its_binning,
        "margins apart": float(np.abs(apart).max()),
    }


def peak(rows: int, threads: int) -> dict[str, float]:
    """Peak memory of an owner over the size of its bins, and what it sends for a tree, in this process."""
    schema = Schema(
        name="drawn", person="id", label={"column": "y"}, features={f"f{number}": {} for number in range(FEATURES)}
    )
    cuts = public_cuts(schema, {name: np.arange(1, BINS) for name in schema.features})
    random = np.random.default_rng(0)
    sent = []

    def grow(count: int) -> int:
        bins = np.empty((count, FEATURES), dtype=np.uint8)
        for start in range(0, count, 10_000):
            bins[start : start + 10_000] = random.integers(0, BINS, (min(10_000, count - start), FEATURES))
        labels = (bins[:, 0] > bins[:, 1]).astype(np.float32)
        terms = terms_of(cuts, count, 2)
        owner = Rows(terms, bins, labels, threads=threads)
        descend, sent[:] = owner.descend, []
        owner.descend = lambda level: sent.append(descend(level)) or sent[-1]
        train(terms, [owner])
        return bins.nbytes

    grow(20_000)
    before = highest_memory()
    size = grow(rows)
    return {"peak / bins": (highest_memory() - before) / size, "MB sent": sum(sums.nbytes for sums in sent) / 2 / 1e6}


def highest_memory() -> int:
    """Bytes; not from `getrusage`, where a process inherits the peak of the one that started it."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--trees", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peak", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        print(json.dumps(peak(*options.peak)))
        return
    print(f"{FEATURES} features, {BINS} bins, depth {DEPTH}, binary; processor seconds a tree, and for binning once")
    print(f"{'rows, threads':22}" + "".join(f"{name:>15}" for name in COLUMNS))
    for rows in options.rows:
        for threads in options.threads:
            command = [sys.executable, __file__, "--peak", str(rows), str(threads)]
            memory = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            figures = measure(rows, threads, options.trees, options.repeats) | json.loads(memory)
            print(f"{f'{rows:,}, {threads}':22}" + "".join(f"{figures[name]:15.3g}" for name in COLUMNS), flush=True)


if __name__ == "__main__":
    main()
