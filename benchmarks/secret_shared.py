"""Training on shares: owners and dealer as processes over loopback TLS, against plain XGBoost on the same bins.

    python benchmarks/secret_shared.py [--case small] [--quick]

Columns are split between the owners. A tree's cost is that of all but the first, of which set-up is the rest: starting,
meeting, masking the bins, and opening the model. XGBoost (hist, one thread) sees everything in plain, which is what
secrecy is compared with. AUC is that of 20 000 other rows.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import xgboost
from secret_shared_party import drawn_bins, drawn_labels, settings_of
from sklearn.metrics import roc_auc_score

from components.data.schema import BinaryLabel
from components.mpc.launch import run_parties

COMMAND = (sys.executable, str(Path(__file__).with_name("secret_shared_party.py")))
PLAIN = {"parties": 2, "trees": 4, "latency": 0, "held_out": 20_000}
SMALL = PLAIN | {"rows": 10_000, "features": 20, "bins": 10, "depth": 3, "trees": 10}

CASES = {
    "small": [SMALL],
    "medium": [PLAIN | {"rows": 50_000, "features": 20, "bins": 32, "depth": 4}],
    "wide": [PLAIN | {"rows": 25_000, "features": 300, "bins": 128, "depth": 4}],
    "large": [PLAIN | {"rows": 200_000, "features": 100, "bins": 32, "depth": 4, "trees": 3}],
    "rows": [SMALL | {"rows": rows} for rows in (5_000, 20_000, 40_000, 80_000)],
    "features": [SMALL | {"features": features} for features in (10, 40, 80, 160)],
    "depth": [SMALL | {"depth": depth} for depth in (2, 4, 5, 6)],
    "parties": [SMALL | {"parties": parties} for parties in (3, 4)],
    "latency": [SMALL | {"latency": seconds, "trees": 4} for seconds in (0.001, 0.02, 0.1)],
}
COLUMNS = ("CPU s", "wall s", "rounds", "MB sent", "MB dealt", "set-up CPU", "wall", "GiB party", "dealer", "all")


def measure(case: dict) -> tuple[dict[str, float], str]:
    """A tree's cost, what comes once, and the model."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        inputs = {f"owner{number}": Path(folder) / "none" for number in range(case["parties"])}
        ended = run_parties(
            "__main__:train_drawn",
            case,
            folder=Path(folder),
            private=inputs,
            timeout=300,
            latency=case["latency"],
            command=COMMAND,
        )
    wall = time.monotonic() - started
    owners = [ended[name].document["marks"] for name in inputs]
    everyone = [one.document["marks"] for one in ended.values()]
    later = case["trees"] - 1

    def per_tree(marks: list[dict], name: str) -> float:
        return (marks[-1][name] - marks[1][name]) / later

    cpu, seconds = sum(per_tree(marks, "cpu") for marks in everyone), per_tree(owners[0], "wall")
    peaks = [marks[-1]["peak"] / 2**30 for marks in everyone]
    figures = (
        cpu,
        seconds,
        per_tree(owners[0], "rounds"),
        sum(per_tree(marks, "sent") for marks in owners) / 1e6,
        sum(per_tree(marks, "dealt") for marks in owners) / 1e6,
        sum(one.counts["cpu_seconds"] for one in ended.values()) - case["trees"] * cpu,
        wall - case["trees"] * seconds,
        max(peaks[: len(owners)]),
        peaks[-1],
        sum(peaks),
    )
    return dict(zip(COLUMNS, figures, strict=True)), ended["owner0"].document["model"]


def peer(case: dict) -> dict:
    """Plain XGBoost on the same bins, on one thread of this process: a tree's processor seconds, and the model."""
    bins, labels = drawn_bins(case, list(range(case["features"]))), drawn_labels(case)
    settings = settings_of(case).to_xgboost(BinaryLabel(column="y")) | {"nthread": 1, "max_bin": 4096}
    matrix = xgboost.DMatrix(bins.astype(np.float32), labels, nthread=1)
    # The first training sorts values into bins, which the matrix keeps.
    model = xgboost.train(settings, matrix, case["trees"])

    def seconds(trees: int) -> float:
        started = time.process_time()
        xgboost.train(settings, matrix, trees)
        return time.process_time() - started

    cpu = (min(seconds(31) for _ in range(3)) - min(seconds(1) for _ in range(3))) / 30
    return {"cpu": cpu, "model": bytes(model.save_raw("json")).decode()}


def ranking(case: dict, model: str) -> tuple[float, np.ndarray]:
    """AUC on held-out rows, and their margins."""
    booster = xgboost.Booster()
    booster.load_model(bytearray(model.encode()))
    bins = drawn_bins(case, list(range(case["features"])), held_out=True).astype(np.float32)
    booster.feature_names = None
    margins = booster.predict(xgboost.DMatrix(bins, nthread=2), output_margin=True)
    return roc_auc_score(drawn_labels(case, held_out=True), margins), margins


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", choices=CASES, action="append", help="one or several; all unless given")
    parser.add_argument("--quick", action="store_true", help="the small case alone, three trees")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        print(json.dumps(peer(json.loads(options.peer))))
        return
    chosen = [case for name in options.case or CASES for case in CASES[name]]
    if options.quick:
        chosen = [SMALL | {"trees": 3}]
    # Compile before anything is measured.
    measure(SMALL | {"rows": 500, "trees": 2})
    measure(SMALL | {"rows": 500, "trees": 2, "bins": 40})
    print(f"{'':44}{'a tree':^40}{'once':^17}{'peak memory':^29}{'XGBoost':>10}{'AUC of both':>18}")
    print(f"{'rows x features x bins, depth, owners':44}" + "".join(f"{name:>{_width(name)}}" for name in COLUMNS)
          + f"{'CPU s':>9}{'ours / its':>12}")  # fmt: skip
    for case in chosen:
        figures, model = measure(case)
        command = [sys.executable, __file__, "--peer", json.dumps(case)]
        plain = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        (ours, margins), (theirs, expected) = ranking(case, model), ranking(case, plain["model"])
        name = "{rows:,} x {features} x {bins}, {depth}, {parties}".format(**case)
        name += f", {1000 * case['latency']:g} ms a round" if case["latency"] else ""
        line = "".join(f"{value:{_width(column)}.{0 if value >= 100 else 2}f}" for column, value in figures.items())
        line += f"{plain['cpu']:9.4f}{figures['CPU s'] / plain['cpu']:12.0f}"
        print(f"{name:44}{line}  {ours:.4f} {theirs:.4f}, margins within {np.abs(margins - expected).max():.1g}",
              flush=True)  # fmt: skip


def _width(column: str) -> int:
    return max(len(column) + 2, 8)


if __name__ == "__main__":
    main()
