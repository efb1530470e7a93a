"""Stage `evaluate` of texts: choose a candidate on the selection part, then measure it and the champion on the gate's.

A candidate is chosen by whole frames, since an intent that is right with wrong slots serves nobody; the gate then sees
intents and frames, each against its own budgets. Rows are utterances: those of one user count as independent.
"""

import numpy as np

from components.compatibility import count_flips
from components.data.prediction_file import pseudonymous
from components.data.predictions import Predictions
from components.fairness import group_metrics
from components.gates import Choice, choose
from components.language.answer import Answers, answer, frame_predictions, intent_predictions, metrics_of
from components.language.model import LanguageModel
from components.reporting.measures import overall_measures
from tasks.evaluate import levels_of, record_of, score_of
from tasks.evidence import keep_predictions
from tasks.keys import row_key
from tasks.language.champion import language_champion_at_start
from tasks.language.evidence import stored_language_model
from tasks.language.holdings import labels_of, part_of, read_by
from tasks.references import Evaluated, Run, Texts, Trained
from tasks.stage import logger, stage
from tasks.tracking import connect, stage_run


@stage(version=3, run_name="evaluate")
def evaluate_language(run: Run, texts: Texts, trained: Trained, choice: Choice) -> Evaluated:
    """Answer the selection part with all candidates, choose, and keep the chosen one's predictions on the gate part."""
    settings, client = connect()
    with stage_run(client, run, "evaluate") as here:
        champion = language_champion_at_start(client, settings, run)
        selection, gate = part_of(texts, "selection"), part_of(texts, "gate")
        models = {name: stored_language_model(client, stored) for name, stored in trained["candidates"].items()}

        def answered(model: LanguageModel, corpus) -> Answers:
            return answer(model, corpus, encoded=read_by(model, corpus))

        frames = {
            name: frame_predictions(answered(model, selection), selection).right for name, model in models.items()
        }
        old = frame_predictions(answered(champion.model, selection), selection).right if champion else None
        scores = [score_of(name, right, old) for name, right in frames.items()]
        chosen = choose(scores, choice)
        logger().info(
            "chose %s: %.2f %% of frames wrong on %d selection utterances",
            chosen.name,
            100 * chosen.error,
            len(selection),
        )

        found = answered(models[chosen.name], gate)
        made = {"candidate": intent_predictions(found, gate), "frames_candidate": frame_predictions(found, gate)}
        metrics = {"candidate": metrics_of(found, gate)}
        context = {}
        if champion:
            before = answered(champion.model, gate)
            made |= {"champion": intent_predictions(before, gate), "frames_champion": frame_predictions(before, gate)}
            metrics["champion"] = metrics_of(before, gate)
        if trained["noise"]:
            other, retrain = (
                answered(stored_language_model(client, stored), gate)
                for stored in (trained["noise"], trained["candidates"]["retrain"])
            )
            flips = count_flips(*(intent_predictions(one, gate).right for one in (retrain, other)))
            context["noise_floor"] = flips.negative_flip_rate
        secret = row_key(settings)
        kept = {
            name: keep_predictions(here, pseudonymous(one, secret), f"predictions/{name}.parquet")
            for name, one in made.items()
        }
        here.dataset(texts["name"], texts["digest"], {"source": texts["name"], "part": "gate"}, "evaluation")
        here.metrics({"rows": len(gate), "selection_rows": len(selection)})
        for name, figures in metrics.items():
            here.metrics({f"{name}.{key}": value for key, value in vars(figures).items() if key != "utterances"})
        here.metrics({f"candidate.{name}": value for name, value in overall_measures(made["candidate"]).items()})
        for score in scores:
            here.metrics({f"selection.{score.name}.error": score.error, f"selection.{score.name}.nfr": score.nfr})
        for kind in ("candidate", "frames_candidate"):
            prefix = kind.replace("candidate", "error").replace("_", ".")
            here.metrics({f"{prefix}.{one.group}": one.value for one in group_metrics(made[kind], "error")})
        here.record([record_of(score) for score in scores], "candidates.json")
        return Evaluated(
            run_id=here.run_id,
            mode=trained["mode"],
            chosen=chosen.name,
            model=trained["candidates"][chosen.name],
            scores=[record_of(score) for score in scores],
            champion_error=None if old is None else float(1 - old.mean()),
            predictions=kept,
            context=context | {f"frames.{key}": value for key, value in _frames(made).items()},
            majority=_majority(texts),
            through=None,
            champion_through=None,
            levels=levels_of(made["candidate"]),
            champion_levels=champion.levels if champion else {},
        )


def _frames(made: dict[str, Predictions]) -> dict[str, float]:
    """Error of whole frames, and flips of them where there is a champion."""
    new = made["frames_candidate"].right
    if "frames_champion" not in made:
        return {"error_new": float(1 - new.mean())}
    flips = count_flips(made["frames_champion"].right, new)
    return {"error_new": flips.error_new, "error_old": flips.error_old, "nfr": flips.negative_flip_rate}


def _majority(texts: Texts) -> float:
    """The most frequent intent of the selection part, as its number among the labels; training texts are protected."""
    intents = labels_of(texts).intents
    numbers = [intents.index(utterance.intent) for utterance in part_of(texts, "selection").utterances]
    return float(np.bincount(numbers).argmax())
