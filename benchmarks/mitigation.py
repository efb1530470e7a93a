"""Error and negative flips of every candidate on real updates, averaged over seeds.

    python benchmarks/mitigation.py [--seeds 5]

`rand_hie`: a champion of years 1 and 2, an update with years 1 to 3, judged on the third year of persons nobody trained
on. `digits` (ten classes): a champion of a third of the training images, an update with all of them. `diabetes`
(regression, right within 60 points): a champion of half of the patients, an update with all of them.

Next to the candidates stand three controls: `shuffled mask` is the strongest distillation with the same row weights
dealt to random rows, `new rows only` a warm start that leaves the champion's rows out, `noise floor` two retrains that
differ in the seed alone. The seed decides splits and training.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import xgboost
from sklearn import datasets

from components.boosting import (
    BoostingParameters,
    CandidatePlan,
    candidates,
    predict,
    retrain_with_other_seed,
    train_pooled,
)
from components.boosting.distilled import train_distilled
from components.boosting.held_out import held_out_correctness
from components.boosting.warm_start import warm_start
from components.compatibility.distillation import DistillationParameters
from components.compatibility.flips import FlipCounts, count_flips
from components.data.predictions import predictions_of
from components.data.rand_hie import load_rand_hie
from components.data.schema import Schema
from components.data.split import split_of
from components.data.table import Table

PLAN = CandidatePlan(blend_weights=(0.25, 0.5, 0.75), distillation_strengths=(0.1, 0.3, 1.0), warm_start_rounds=50)


@dataclass(frozen=True)
class Update:
    """`seen` marks the rows of `train` that the champion was trained on; `judged` has rows of neither."""

    train: Table
    seen: np.ndarray
    judged: Table


def rand_hie(seed: int) -> Update:
    table = load_rand_hie((1, 2, 3))
    trained = split_of(table.person, f"benchmark {seed}", (0.6, 0.1, 0.3)) == 0
    train = table.take(trained)
    return Update(train, train.time <= 2, table.take(~trained & (table.time == 3)))


def digits(seed: int) -> Update:
    classes = tuple("0123456789")
    return _drawn(datasets.load_digits(), {"kind": "multiclass", "column": "y", "classes": classes}, seed, known=1 / 3)


def diabetes(seed: int) -> Update:
    return _drawn(datasets.load_diabetes(), {"kind": "regression", "column": "y", "tolerance": 60}, seed, known=1 / 2)


def _drawn(bunch, label: dict, seed: int, *, known: float) -> Update:
    """Half of the rows to train on, of which the champion knows the share `known`; the other half to judge by."""
    names = [f"x{number}" for number in range(bunch.data.shape[1])]
    columns = dict(zip(names, bunch.data.T.copy(), strict=True)) | {
        "id": np.arange(len(bunch.target)),
        "y": bunch.target,
    }
    schema = Schema(name="drawn", person="id", label=label, features={name: {} for name in names})
    table = Table(schema, pa.table(columns))
    order = np.random.default_rng(seed).permutation(len(table))
    half = len(order) // 2
    return Update(table.take(order[:half]), np.arange(half) < known * half, table.take(order[half:]))


def compare(update: Update, parameters: BoostingParameters) -> dict[str, FlipCounts]:
    """Flips against the champion by candidate; for the noise floor, against the retrain."""

    def right(booster: xgboost.Booster) -> np.ndarray:
        return predictions_of(update.judged, predict(booster, update.judged)).right

    champion = train_pooled(update.train.take(update.seen), parameters)
    offered = candidates(update.train, None, champion, parameters, PLAN, seen=update.seen)
    rights = {candidate.name: right(candidate.booster) for candidate in offered}
    flips = {name: count_flips(right(champion), new) for name, new in rights.items()}

    strongest = DistillationParameters(strength=PLAN.distillation_strengths[-1])
    mask = held_out_correctness(champion, parameters, update.train, seen=update.seen, seed=parameters.seed)
    shuffled = np.random.default_rng(parameters.seed).permutation(mask)
    control = train_distilled(champion, update.train, parameters, strongest, old_right=shuffled)
    flips[f"distill_{strongest.strength:g}, shuffled mask"] = count_flips(right(champion), right(control))

    new_rows = update.train.take(~update.seen)
    short = warm_start(champion, new_rows, parameters, rounds=PLAN.warm_start_rounds)
    flips["warm_start, new rows only"] = count_flips(right(champion), right(short))

    other = right(retrain_with_other_seed(update.train, None, parameters))
    return flips | {"noise floor": count_flips(rights["retrain"], other)}


def report(name: str, make: Callable[[int], Update], parameters: BoostingParameters, seeds: int) -> None:
    found = defaultdict(list)
    for seed in range(seeds):
        update = make(seed)
        for candidate, flips in compare(update, parameters.model_copy(update={"seed": seed})).items():
            found[candidate].append((flips.error_old, flips.error_new, flips.negative_flip_rate))
    baseline = np.mean(found["retrain"], axis=0)
    print(f"\n{name}: {len(update.judged)} rows judged, {seeds} seeds; error of the champion {baseline[0]:.2%}")
    print(f"{'candidate':28}{'error %':>9}{'NFR %':>8}{'± over seeds':>14}{'NFR / retrain':>15}")
    for candidate, figures in found.items():
        _, error, rate = np.mean(figures, axis=0)
        spread = np.std([figure[2] for figure in figures], ddof=1) if seeds > 1 else np.nan
        print(f"{candidate:28}{100 * error:9.2f}{100 * rate:8.2f}{100 * spread:14.2f}{rate / baseline[2]:15.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    seeds = parser.parse_args().seeds
    shallow = BoostingParameters(rounds=100, max_depth=4, eta=0.1, threads=1)
    report("rand_hie", rand_hie, shallow, seeds)
    report("digits", digits, shallow, seeds)
    report("diabetes", diabetes, BoostingParameters(rounds=60, max_depth=3, eta=0.1, threads=1), seeds)


if __name__ == "__main__":
    main()
