"""Stage `evaluate`: choose a candidate on the selection rows, then measure it and the champion on the gate's rows.

The two sets share no person, so choosing the best of many candidates does not flatter the figures the gate rests on.
Both use one row a person, which is what makes their rows independent.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import xgboost
from mlflow import MlflowClient

from components.boosting.pooled import predict
from components.compatibility import count_flips
from components.data.prediction_file import pseudonymous
from components.data.predictions import Predictions, predictions_of
from components.data.reading import read_table
from components.data.schema import Label
from components.data.table import Table
from components.fairness import group_metrics, one_row_per_person
from components.gates import CandidateScore, Choice, choose
from components.reporting.measures import overall_measures
from tasks.champion import champion_at_start
from tasks.evidence import keep_predictions, stored_model
from tasks.holdings import divide, pooled_table, schema_of
from tasks.keys import row_key
from tasks.references import Data, Evaluated, Run, Trained
from tasks.stage import logger, stage
from tasks.tracking import connect, stage_run


@stage(version=2, run_name="evaluate")
def evaluate(run: Run, data: Data, trained: Trained, choice: Choice, golden: str | None) -> Evaluated:
    """Score all candidates on selection rows, choose, and keep the chosen one's predictions on the gate's rows."""
    settings, client = connect()
    with stage_run(client, run, "evaluate") as here:
        table = pooled_table(data)
        part = divide(data, table)
        selection, gate = (_independent(table.take(rows)) for rows in (part.selection, part.gate))
        champion = champion_at_start(client, settings, run)
        boosters = {name: stored_model(client, stored) for name, stored in trained["candidates"].items()}

        old_right = predictions_of(selection, predict(champion.booster, selection)).right if champion else None
        scores = _scores(selection, boosters, old_right)
        chosen = choose(scores, choice)
        booster = boosters[chosen.name]
        logger().info("chose %s: error %.2f %% on %d selection rows", chosen.name, 100 * chosen.error, len(selection))

        candidate = predictions_of(gate, predict(booster, gate))
        old = predictions_of(gate, predict(champion.booster, gate)) if champion else None
        context = _context(client, trained, gate)
        majority = constant_answer(table.take(part.train).labels, candidate.rule)
        secret = row_key(settings)
        made = {"candidate": pseudonymous(candidate, secret)}
        if old:
            made["champion"] = pseudonymous(old, secret)
        if golden:
            rows = read_table(Path(golden), schema_of(data))
            made["golden_candidate"] = golden_predictions(rows, booster)
            if champion:
                made["golden_champion"] = golden_predictions(rows, champion.booster)
        kept = {name: keep_predictions(here, one, f"predictions/{name}.parquet") for name, one in made.items()}

        here.dataset(data["name"], data["digest"], {"source": data["name"], "part": "gate"}, "evaluation")
        here.metrics({"rows": len(gate), "selection_rows": len(selection)})
        here.metrics({f"candidate.{name}": value for name, value in overall_measures(candidate).items()})
        if old:
            here.metrics({f"champion.{name}": value for name, value in overall_measures(old).items()})
        for score in scores:
            here.metrics({f"selection.{score.name}.error": score.error, f"selection.{score.name}.nfr": score.nfr})
        here.metrics({f"error.{one.group}": one.value for one in group_metrics(candidate, "error")})
        here.record([_record(score) for score in scores], "candidates.json")
        return Evaluated(
            run_id=here.run_id,
            mode=trained["mode"],
            chosen=chosen.name,
            model=trained["candidates"][chosen.name],
            scores=[_record(score) for score in scores],
            champion_error=None if old_right is None else float(1 - old_right.mean()),
            predictions=kept,
            context=context,
            majority=majority,
            through=data["through"],
            champion_through=champion and champion.trained_through,
        )


def golden_predictions(rows: Table, booster: xgboost.Booster) -> Predictions:
    """Predictions on golden rows, named by their number in the file: reasons name them, and say nothing of a person."""
    numbers = np.array([f"row {number}" for number in range(1, len(rows) + 1)])
    return replace(predictions_of(rows, predict(booster, rows)), row_ids=numbers)


def _independent(table: Table) -> Table:
    return table.take(one_row_per_person(table))


def _scores(table: Table, boosters: dict[str, xgboost.Booster], old_right: np.ndarray | None) -> list[CandidateScore]:
    scores = []
    for name, booster in boosters.items():
        right = predictions_of(table, predict(booster, table)).right
        nfr = float("nan") if old_right is None else count_flips(old_right, right).negative_flip_rate
        scores.append(CandidateScore(name=name, error=float(1 - right.mean()), nfr=nfr))
    return scores


def _record(score: CandidateScore) -> dict:
    return {"name": score.name, "error": score.error, "nfr": None if np.isnan(score.nfr) else score.nfr}


def _context(client: MlflowClient, trained: Trained, gate: Table) -> dict[str, float]:
    """The noise floor: flips between two retrains that differ in nothing but the seed."""
    if trained["noise"] is None:
        return {}
    first, second = (
        predictions_of(gate, predict(stored_model(client, stored), gate)).right
        for stored in (trained["candidates"]["retrain"], trained["noise"])
    )
    return {"noise_floor": count_flips(first, second).negative_flip_rate}


def constant_answer(labels: np.ndarray, rule: Label) -> float:
    """The best constant answer on (n,) training labels: the most frequent class, or the median for regression."""
    if rule.kind == "regression":
        return float(np.median(labels))
    return float(np.bincount(labels).argmax())
