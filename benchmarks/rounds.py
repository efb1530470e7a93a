"""How many rounds of which depth: error, log loss and AUC on the gate's rows of the RAND records, over five splits.

    python benchmarks/rounds.py [--seeds 5]

Early stopping stops by the selection rows, as a run's does. The seed decides split and training; the deviation is that
of the paired difference in log loss to the first line.
"""

import argparse
import time

import numpy as np
from sklearn.metrics import log_loss, roc_auc_score

from components.boosting import BoostingParameters, predict, train_pooled
from components.data.rand_hie import load_rand_hie
from components.data.split import split_table
from components.fairness import one_row_per_person

SETTINGS = {
    "200 rounds, depth 5": BoostingParameters(rounds=200, max_depth=5),
    "200, 5, stopped after 20 without gain": BoostingParameters(rounds=200, max_depth=5, early_stopping_rounds=20),
    "100 rounds, depth 5": BoostingParameters(rounds=100, max_depth=5),
    "60 rounds, depth 5": BoostingParameters(rounds=60, max_depth=5),
    "100 rounds, depth 4": BoostingParameters(rounds=100, max_depth=4),
    "200 rounds, depth 3": BoostingParameters(rounds=200, max_depth=3),
    "100 rounds, depth 3": BoostingParameters(rounds=100, max_depth=3),
}


def measure(seed: int) -> dict[str, tuple[float, ...]]:
    """Error, log loss, AUC, processor seconds and rounds of every setting on one split."""
    table = load_rand_hie((1, 2, 3, 4, 5))
    part = split_table(table, f"measure {seed}")
    train, selection, gate = (table.take(rows) for rows in (part.train, part.selection, part.gate))
    gate = gate.take(one_row_per_person(gate))
    found = {}
    for name, settings in SETTINGS.items():
        settings = settings.model_copy(update={"seed": seed, "threads": 1})
        started = time.process_time()
        booster = train_pooled(train, settings, validation=selection if settings.early_stopping_rounds else None)
        seconds, scores = time.process_time() - started, predict(booster, gate)
        error = np.mean((scores >= 0.5) != gate.labels)
        ranking, loss = roc_auc_score(gate.labels, scores), log_loss(gate.labels, scores)
        found[name] = (100 * error, loss, ranking, seconds, booster.num_boosted_rounds())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    measured = [measure(seed) for seed in range(parser.parse_args().seeds)]
    first = np.array([found[next(iter(SETTINGS))][1] for found in measured])
    print(f"{'settings':40}{'error %':>9}{'log loss':>10}{'± of gain':>11}{'AUC':>8}{'CPU s':>9}{'rounds':>8}")
    for name in SETTINGS:
        figures = np.array([found[name] for found in measured])
        error, loss, ranking, seconds, rounds = figures.mean(axis=0)
        spread = np.std(figures[:, 1] - first, ddof=1) if len(measured) > 1 else np.nan
        print(f"{name:40}{error:9.2f}{loss:10.4f}{spread:11.4f}{ranking:8.4f}{seconds:9.2f}{rounds:8.0f}")


if __name__ == "__main__":
    main()
