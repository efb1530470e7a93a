"""A process of `secret_shared.py`: an owner or the dealer of a training on drawn bins, and what each tree costs it."""

import resource
import sys
import time

import numpy as np

from components.boosting.parameters import BoostingParameters
from components.boosting.secret_shared import Agreement, Block, FeatureShape, Holding, open_model, train
from components.boosting.secret_shared.booster import to_booster
from components.mpc.process import highest_memory, main
from components.mpc.programs import program

SIGNAL = 4
"""Features that the label depends on."""


def drawn_bins(case: dict, features: list[int], *, held_out: bool = False) -> np.ndarray:
    """Bins (rows, features) of some features; everybody could draw them, an owner draws its own."""
    rows = case["held_out"] if held_out else case["rows"]
    columns = [np.random.default_rng([held_out, f]).integers(0, case["bins"], rows, dtype=np.uint16) for f in features]
    return np.stack(columns, axis=1)


def drawn_labels(case: dict, *, held_out: bool = False) -> np.ndarray:
    a, b, c, d = drawn_bins(case, list(range(SIGNAL)), held_out=held_out).T / case["bins"]
    chances = 3 * a + np.sin(6 * b) + (c > 0.6) * d - 1.8
    return (chances + np.random.default_rng([held_out, 10**6]).logistic(size=len(a)) > 0).astype(np.float64)


def settings_of(case: dict) -> BoostingParameters:
    return BoostingParameters(
        rounds=case["trees"], max_depth=case["depth"], eta=0.3, subsample=1, colsample_bytree=1, min_child_weight=1
    )


def agreement_of(case: dict) -> Agreement:
    """Columns dealt out to the owners in turn, the label to the first."""
    features = np.array_split(np.arange(case["features"]), case["parties"])
    whole = {"start": 0, "stop": case["rows"]}
    return Agreement(
        parties=tuple(f"owner{number}" for number in range(case["parties"])),
        rows=case["rows"],
        features=tuple(FeatureShape(name=f"x{f}", bins=case["bins"], may_miss=False) for f in range(case["features"])),
        blocks=tuple(Block(owner=owner, features=tuple(own.tolist()), **whole) for owner, own in enumerate(features)),
        labels=(Block(owner=0, features=(), **whole),),
        objective="binary:logistic",
        parameters=settings_of(case),
    )


def holding_of(case: dict, agreement: Agreement, party: int) -> Holding:
    if party not in range(case["parties"]):
        return Holding()
    own = list(agreement.blocks[party].features)
    cuts = np.arange(1, case["bins"], dtype=np.float32)
    return Holding(
        bins={party: drawn_bins(case, own)},
        labels={0: drawn_labels(case)} if party == 0 else {},
        cuts=dict.fromkeys(own, cuts),
    )


@program
def train_drawn(engine, task):
    """What this process had used after each tree; the first owner opens the model."""
    case = dict(task.agreement)
    agreement, marks = agreement_of(case), []

    def mark(*_):
        used = resource.getrusage(resource.RUSAGE_SELF)
        traffic = getattr(engine.network, "traffic", None)
        marks.append(
            {
                "cpu": used.ru_utime + used.ru_stime,
                "wall": time.monotonic(),
                "peak": highest_memory(),
                "rounds": traffic.rounds if traffic else 0,
                "sent": traffic.sent if traffic else 0,
                "dealt": traffic.dealt if traffic else 0,
            }
        )

    mark()
    model = train(engine, agreement, holding_of(case, agreement, engine.party), keep=mark)
    opened = open_model(engine, agreement, model, 0)
    found = {"marks": marks}
    if engine.party == 0:
        found["model"] = bytes(to_booster(agreement, opened).save_raw("json")).decode()
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
