"""What encryption costs: a model published for one user, one row asked and answered, in every mode.

    python benchmarks/encrypted.py [--repeats 20] [--models breast_cancer rand_hie digits]

Processor seconds (all threads), medians over `--repeats` but for publication, which is done once; sizes in octets.
`batch` is a row's share of the server's time for 32 rows. Next to each stands plain XGBoost's prediction of one row,
and for breast cancer the goal. The last column is the largest difference from XGBoost's margins over 16 rows.

The published reference (github.com/awslabs/privacy-preserving-xgboost-inference), which cannot be installed beside
this xgboost, took on the same breast cancer model and one core: model 37 s, query 179 ms, server 7.8 ms, decryption
9.3 ms (99 ms for ten classes).
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import xgboost
from sklearn import datasets

from components.boosting import BoostingParameters, model_digest, train_pooled
from components.data.rand_hie import load_rand_hie
from components.encryption import issue, publish

BATCH, CHECKED = 32, 16
SCHEMES = (("order", "decoys", 2048), ("order", "decoys", 3072), ("order", "untold", 3072), ("hidden", "decoys", 3072))
GOALS = {
    ("order", "decoys", 2048): (1.0, 0.3, 1.0, 4.0),
    ("order", "decoys", 3072): (2.5, 0.3, 2.0, 12.0),
    ("hidden", "decoys", 3072): (None, None, 1000.0, None),
}
"""Seconds to encrypt the model; milliseconds of query, server, decryption; for breast cancer."""


def breast_cancer() -> tuple[xgboost.Booster, np.ndarray]:
    rows, labels = datasets.load_breast_cancer(return_X_y=True)
    rows = rows.astype(np.float32)
    settings = {"objective": "binary:logistic", "max_depth": 6, "eta": 0.1, "nthread": 1, "seed": 0}
    return xgboost.train(settings, xgboost.DMatrix(rows, labels), 100), rows


def rand_hie() -> tuple[xgboost.Booster, np.ndarray]:
    table = load_rand_hie((1, 2, 3))
    return train_pooled(table, BoostingParameters(threads=1)), table.features


def digits() -> tuple[xgboost.Booster, np.ndarray]:
    rows, labels = datasets.load_digits(return_X_y=True)
    rows = rows.astype(np.float32)
    settings = {"objective": "multi:softprob", "num_class": 10, "max_depth": 4, "nthread": 1, "seed": 0}
    return xgboost.train(settings, xgboost.DMatrix(rows, labels), 20), rows


MODELS = {"breast_cancer": breast_cancer, "rand_hie": rand_hie, "digits": digits}


def seconds(work: Callable[[], object]) -> float:
    """Processor time of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def median(work: Callable[[], object], repeats: int) -> float:
    """Milliseconds of processor time, the first call left out."""
    work()
    return 1000 * statistics.median(seconds(work) for _ in range(repeats))


def measure(booster: xgboost.Booster, rows: np.ndarray, scheme: tuple[str, str, int], repeats: int) -> dict:
    """The figures of one line."""
    mode, cut_points, bits = scheme
    keys = issue(bytes(32), user="benchmark", model=model_digest(booster), epoch=1, bits=bits)
    key = seconds(lambda: keys.paillier if mode == "order" else keys.elgamal)
    start = time.process_time()
    made = publish(booster, keys, mode=mode, cut_points=cut_points)
    encrypting = time.process_time() - start

    model, client = made.model, made.client
    one = client.encrypt(rows[:1])
    answer = model.answer(one)
    repeats = repeats if mode == "order" else max(2, repeats // 5)
    figures = {
        "key s": key,
        "model s": encrypting,
        "query ms": median(lambda: client.encrypt(rows[:1]), repeats),
        "server ms": median(lambda: model.answer(one), repeats),
        "decrypt ms": median(lambda: client.decrypt(answer), repeats),
    }
    checked = CHECKED if mode == "order" else 1
    margins = client.decrypt(model.answer(client.encrypt(rows[:checked])))
    plain = booster.inplace_predict(rows[:checked], predict_type="margin").reshape(checked, -1)
    if mode == "order":
        many = client.encrypt(rows[:BATCH])
        figures["batch ms"] = median(lambda: model.answer(many), max(2, repeats // 5)) / BATCH
    figures |= {
        "artifact": len(model.to_bytes()),
        "query": len(one),
        "answer": len(answer),
        "error": float(np.abs(margins - plain).max()),
    }
    return figures


def shown(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:d}" if isinstance(value, int) else f"{value:.3g}"


def report(name: str, repeats: int) -> None:
    booster, rows = MODELS[name]()
    leaves = int((booster.trees_to_dataframe().Feature == "Leaf").sum())
    plain = median(lambda: booster.inplace_predict(rows[:1]), repeats)
    trees = booster.num_boosted_rounds() * (10 if name == "digits" else 1)
    print(f"\n{name}: {rows.shape[1]} features, {trees} trees, {leaves} leaves; plain XGBoost {plain:.3f} ms a row")
    columns = [
        "key s",
        "model s",
        "query ms",
        "server ms",
        "decrypt ms",
        "batch ms",
        "artifact",
        "query",
        "answer",
        "error",
    ]
    print(f"{'scheme':22}" + "".join(f"{column:>12}" for column in columns))
    for scheme in SCHEMES:
        figures = measure(booster, rows, scheme, repeats)
        label = f"{scheme[0]} {scheme[1]} {scheme[2]}" if scheme[0] == "order" else scheme[0]
        print(f"{label:22}" + "".join(f"{shown(figures.get(column)):>12}" for column in columns), flush=True)
        if name == "breast_cancer" and scheme in GOALS:
            print(f"{'  goal':22}{'':12}" + "".join(f"{shown(goal):>12}" for goal in GOALS[scheme]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    arguments = parser.parse_args()
    for name in arguments.models:
        report(name, arguments.repeats)


if __name__ == "__main__":
    main()
