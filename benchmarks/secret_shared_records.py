"""Trees grown on shares against XGBoost on the same bins, on the RAND records of all years: AUC on the gate rows.

    python benchmarks/secret_shared_records.py [--rounds 100] [--bins 32]

Ours is `troth run tabular --mode secret_shared`, split by columns and by site, each in a home of its own, read from
what it left in MLflow: the gate rows' margins, computed on shares. XGBoost sees all rows in one place, in such bins.
Every row and feature takes part in every tree. With the default draws (`--drawn`), which differ between the two, the
spread of XGBoost's own ten seeds is what a difference is to be compared with. The goal is 0.002.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import xgboost
from sklearn.metrics import roc_auc_score

from components.boosting import BoostingParameters
from components.data.prediction_file import read_predictions
from components.data.rand_hie import load_rand_hie
from components.data.split import PARTS, split_of
from components.data.table import Table
from components.fairness import one_row_per_person
from components.mpc.quantile import bin_indices, local_cuts

PLANS = ("vertical", "by:site")
SHARES = (0.55, 0.15, 0.30)
EVERYTHING = {"subsample": 1.0, "colsample_bytree": 1.0}


def ours(plan: str, parameters: dict) -> float:
    """AUC of the candidate as the pipeline's evaluation recorded it."""
    with tempfile.TemporaryDirectory() as home:
        settings = [word for name, value in parameters.items() for word in ("--set", f"{name}={value}")]
        command = [Path(sys.executable).with_name("troth"), "run", "tabular", "--mode", "secret_shared"]
        subprocess.run(
            [*command, "--partition", plan, *settings],
            env=os.environ | {"TROTH_HOME": home},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        (path,) = Path(home).rglob("predictions/candidate.parquet")
        said = read_predictions(path)
    return roc_auc_score(said.labels, said.scores)


def in_bins(rows: Table, cuts: dict[int, np.ndarray]) -> xgboost.DMatrix:
    """Numeric features as the indices of their bins."""
    features = rows.features.copy()
    for position, edges in cuts.items():
        values = features[:, position]
        features[:, position] = np.where(np.isnan(values), np.nan, bin_indices(values, edges, 4095))
    return xgboost.DMatrix(
        features,
        rows.labels,
        feature_names=list(rows.schema.features),
        feature_types=rows.feature_types,
        enable_categorical=True,
    )


def pooled(training: Table, gate: Table, parameters: BoostingParameters) -> float:
    """AUC of XGBoost that sees everything in the bins that owners would cut."""
    numeric = [position for position, kind in enumerate(training.feature_types) if kind == "q"]
    cuts = {position: local_cuts(training.features[:, position], parameters.max_bin) for position in numeric}
    options = parameters.to_xgboost(training.schema.label) | {"max_bin": 4096, "max_cat_to_onehot": 64}
    booster = xgboost.train(options, in_bins(training, cuts), parameters.rounds)
    return roc_auc_score(gate.labels, booster.predict(in_bins(gate, cuts), output_margin=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--bins", type=int, default=32)
    parser.add_argument("--drawn", action="store_true", help="the default draws of rows and features")
    options = parser.parse_args()
    settings = {"rounds": options.rounds, "max_bin": options.bins} | ({} if options.drawn else EVERYTHING)
    table = load_rand_hie()
    part = split_of(table.person, "troth", SHARES)
    training, gate = (table.take(part == PARTS.index(name)) for name in ("train", "gate"))
    gate = gate.take(one_row_per_person(gate))
    seeds = range(10) if options.drawn else (0,)
    theirs = np.array([pooled(training, gate, BoostingParameters(**settings, seed=seed, threads=1)) for seed in seeds])
    print(f"XGBoost, {len(training.labels)} rows: AUC {theirs.mean():.4f} ({theirs.min():.4f} to {theirs.max():.4f})")
    for plan in PLANS:
        auc = ours(plan, settings)
        print(f"on shares, {plan:9} AUC {auc:.4f}, {auc - theirs.mean():+.4f}", flush=True)


if __name__ == "__main__":
    main()
