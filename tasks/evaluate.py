"""Stage `evaluate`: choose a candidate on the selection rows, then measure it and the champion on the gate's rows.

The two sets share no person, so choosing the best of many candidates does not flatter the figures the gate rests on.
Both use one row a person, which is what makes their rows independent.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import xgboost

from components.boosting.pooled import predict
from components.compatibility import count_flips
from components.data.prediction_file import pseudonymous
from components.data.predictions import Predictions, predictions_of
from components.data.reading import read_table
from components.data.table import UNKNOWN, Table
from components.fairness import group_metrics
from components.gates import CandidateScore, Choice, choose
from components.reporting.measures import overall_measures
from tasks.champion import champion_at_start
from tasks.evidence import keep_predictions, stored_model
from tasks.held_out import CHAMPION, NOISE, Scored, scored_rows
from tasks.holdings import schema_of
from tasks.keys import row_key
from tasks.references import Data, Evaluated, Run, Trained
from tasks.stage import logger, stage
from tasks.tracking import connect, stage_run


@stage(version=3, run_name="evaluate")
def evaluate(run: Run, data: Data, trained: Trained, choice: Choice, golden: str | None) -> Evaluated:
    """Score all candidates on selection rows, choose, and keep the chosen one's predictions on the gate's rows."""
    settings, client = connect()
    with stage_run(client, run, "evaluate") as here:
        champion = champion_at_start(client, settings, run)
        scored = scored_rows(client, settings, data, trained, champion)
        names = list(trained["candidates"])
        old = scored.selection[CHAMPION].right if champion else None
        scores = [score_of(name, scored.selection[name].right, old) for name in names]
        chosen = choose(scores, choice)
        booster = stored_model(client, trained["candidates"][chosen.name])
        held = len(scored.selection[chosen.name])
        logger().info("chose %s: error %.2f %% on %d selection rows", chosen.name, 100 * chosen.error, held)

        candidate = scored.gate[chosen.name]
        secret = row_key(settings)
        made = {"candidate": pseudonymous(candidate, secret)}
        if champion:
            made["champion"] = pseudonymous(scored.gate[CHAMPION], secret)
        if golden:
            rows = read_table(Path(golden), schema_of(data))
            made["golden_candidate"] = golden_predictions(rows, booster)
            if champion:
                made["golden_champion"] = golden_predictions(rows, champion.booster)
        kept = {name: keep_predictions(here, one, f"predictions/{name}.parquet") for name, one in made.items()}

        here.dataset(data["name"], data["digest"], {"source": data["name"], "part": "gate"}, "evaluation")
        here.metrics({"rows": len(candidate), "selection_rows": held})
        here.metrics({f"candidate.{name}": value for name, value in overall_measures(candidate).items()})
        if champion:
            measured = overall_measures(scored.gate[CHAMPION])
            here.metrics({f"champion.{name}": value for name, value in measured.items()})
        for score in scores:
            here.metrics({f"selection.{score.name}.error": score.error, f"selection.{score.name}.nfr": score.nfr})
        here.metrics({f"error.{one.group}": one.value for one in group_metrics(candidate, "error")})
        here.record([record_of(score) for score in scores], "candidates.json")
        return Evaluated(
            run_id=here.run_id,
            mode=trained["mode"],
            chosen=chosen.name,
            model=trained["candidates"][chosen.name],
            scores=[record_of(score) for score in scores],
            champion_error=None if old is None else float(1 - old.mean()),
            predictions=kept,
            context=_context(scored),
            majority=scored.majority,
            through=data["through"],
            champion_through=champion and champion.trained_through,
            levels=levels_of(candidate),
            champion_levels=json.loads(champion.levels) if champion and champion.levels else {},
        )


def golden_predictions(rows: Table, booster: xgboost.Booster) -> Predictions:
    """Predictions on golden rows, named by their number in the file: reasons name them, and say nothing of a person."""
    numbers = np.array([f"row {number}" for number in range(1, len(rows) + 1)])
    return replace(predictions_of(rows, predict(booster, rows)), row_ids=numbers)


def score_of(name: str, right: np.ndarray, old: np.ndarray | None) -> CandidateScore:
    """A candidate's error and negative flips on (n,) rows, against the champion's `old` where there is one."""
    nfr = float("nan") if old is None else count_flips(old, right).negative_flip_rate
    return CandidateScore(name=name, error=float(1 - right.mean()), nfr=nfr)


def levels_of(predictions: Predictions) -> dict[str, list[str]]:
    """Group → the recorded levels that have rows."""
    return {
        name: [level for code, level in enumerate(group.levels) if level != UNKNOWN and (group.codes == code).any()]
        for name, group in predictions.groups.items()
    }


def record_of(score: CandidateScore) -> dict:
    """A score as JSON, which knows no NaN."""
    return {"name": score.name, "error": score.error, "nfr": None if np.isnan(score.nfr) else score.nfr}


def _context(scored: Scored) -> dict[str, float]:
    """The noise floor: flips between two retrains that differ in nothing but the seed."""
    if NOISE not in scored.gate:
        return {}
    flips = count_flips(scored.gate["retrain"].right, scored.gate[NOISE].right)
    return {"noise_floor": flips.negative_flip_rate}
