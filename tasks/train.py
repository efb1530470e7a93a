"""Stage `train`: candidates for the champion's place, in the chosen mode, from the training rows alone."""

import math

import numpy as np

from components.boosting.candidates import CandidatePlan, candidates, retrain_with_other_seed
from components.boosting.modes import trainer
from components.boosting.parameters import BoostingParameters
from components.data.table import Table
from tasks.champion import Champion, champion_at_start
from tasks.evidence import keep_model
from tasks.holdings import divide, pooled_table
from tasks.progress import reporter
from tasks.references import Data, Run, Trained
from tasks.stage import logger, stage
from tasks.tracking import connect, stage_run

NOISE = "other_seed"


@stage(version=2, run_name="train {mode}")
def train(run: Run, data: Data, mode: str, parameters: BoostingParameters, plan: CandidatePlan) -> Trained:
    """Train every candidate and keep each as a file of the stage's run.

    The champion is pinned to the version the flow began with, so that candidates, flips and promotion all speak of the
    same one however long training takes.
    """
    settings, client = connect()
    fit = trainer(mode)
    with stage_run(client, run, "train") as here:
        table = pooled_table(data)
        part = divide(data, table)
        rows, validation = table.take(part.train), table.take(part.selection)
        champion = champion_at_start(client, settings, run)
        here.parameters({"mode": mode, **parameters.model_dump(), "candidates": plan.model_dump()})
        here.dataset(data["name"], data["digest"], {"source": data["name"], "part": "train"}, "training")
        progress = reporter("training")
        curve: dict[int, float] = {}

        def report(name: str, done: int, total: int, metric: float) -> None:
            if name == "retrain" and math.isfinite(metric):
                curve[done] = metric
            progress(done, total, name)

        made = candidates(
            rows,
            validation,
            champion and champion.booster,
            parameters,
            plan,
            fit=fit,
            seen=_seen(rows, champion),
            progress=report,
        )
        kept, described, record = {}, {}, {}
        for candidate in made:
            kept[candidate.name] = keep_model(here, candidate.booster, f"candidates/{candidate.name}.json")
            described[candidate.name] = candidate.settings
            record = candidate.record.to_json() if candidate.record else record
            logger().info("trained %s: %d trees", candidate.name, len(candidate.booster.get_dump()))
        noise = None
        if champion:
            other = retrain_with_other_seed(
                rows, validation, parameters, fit=fit, progress=lambda *step: progress(*step[:2], NOISE)
            )
            noise = keep_model(here, other, f"noise_floor/{NOISE}.json")
        here.curve("selection_loss", curve)
        here.metrics({"rows": len(rows), "seconds": record["seconds"], "bytes": record["bytes"]})
        here.record(record, "training_record.json")
        return Trained(run_id=here.run_id, mode=mode, candidates=kept, settings=described, noise=noise, record=record)


def _seen(rows: Table, champion: Champion | None) -> np.ndarray | None:
    """Which rows the champion was trained on; None (all of them) where there is no time to tell by."""
    if champion is None or champion.trained_through is None or rows.time is None:
        return None
    return rows.time <= champion.trained_through
