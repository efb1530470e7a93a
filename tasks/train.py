"""Stage `train`: candidates for the champion's place, in the chosen mode, from the training rows alone."""

import math

import numpy as np

from components.boosting.candidates import Candidate, CandidatePlan, blends, candidates, retrain_with_other_seed
from components.boosting.federated import SumNoise
from components.boosting.model import require_updatable
from components.boosting.modes import require_mode
from components.boosting.parameters import BoostingParameters
from components.data.table import Table
from components.federated.selection import Selection
from tasks.champion import Champion, champion_at_start
from tasks.crowd import train_crowd
from tasks.evidence import keep_model
from tasks.federation import LOSSES, ROUNDS, train_with_aggregator
from tasks.held_out import NOISE, require_shared
from tasks.holdings import divide, forget_joined, pooled_table, schema_of
from tasks.progress import reporter
from tasks.references import Data, Run, Trained
from tasks.settings import Settings
from tasks.stage import logger, stage
from tasks.together import train_on_shares
from tasks.tracking import Stage, connect, stage_run


@stage(version=4, run_name="train {mode}")
def train(
    run: Run,
    data: Data,
    mode: str,
    parameters: BoostingParameters,
    plan: CandidatePlan,
    selection: Selection | None = None,
    noise: SumNoise | None = None,
) -> Trained:
    """Train every candidate and keep each as a file of the stage's run.

    The champion is pinned to the version the flow began with, so that candidates, flips and promotion all speak of the
    same one however long training takes.
    """
    require_mode(mode)
    settings, client = connect()
    with stage_run(client, run, "train") as here:
        champion = champion_at_start(client, settings, run)
        here.parameters({"mode": mode, **parameters.model_dump(), "candidates": plan.model_dump()})
        if selection:
            here.parameters({"selection": selection.model_dump()})
        if noise:
            here.parameters({"noise": noise.model_dump()})
        here.dataset(data["name"], data["digest"], {"source": data["name"], "part": "train"}, "training")
        if mode == "pooled":
            made, retrained, shares = *_pooled(here, data, champion, parameters, plan), {}
        elif mode == "federated":
            made = _federated(here, settings, data, champion, parameters, plan, selection, noise)
            retrained, shares = None, {}
        else:
            made, shares = _on_shares(settings, data, champion, parameters, plan)
            retrained = None
        kept, described, record = {}, {}, {}
        for candidate in made:
            kept[candidate.name] = keep_model(here, candidate.booster, f"candidates/{candidate.name}.json")
            described[candidate.name] = candidate.settings
            record = candidate.record.to_json() if candidate.record else record
            logger().info("trained %s: %d trees", candidate.name, len(candidate.booster.get_dump()))
        stored_noise = keep_model(here, retrained.booster, f"noise_floor/{NOISE}.json") if retrained else None
        here.metrics({name: record[name] for name in ("rows", "seconds", "bytes")})
        here.metrics({f"cost.{name}": value for name, value in record["costs"].items()})
        here.record(record, "training_record.json")
        return Trained(
            run_id=here.run_id,
            mode=mode,
            candidates=kept,
            settings=described,
            noise=stored_noise,
            shares=shares,
            record=record,
        )


def _pooled(
    here: Stage, data: Data, champion: Champion | None, parameters: BoostingParameters, plan: CandidatePlan
) -> tuple[list[Candidate], Candidate | None]:
    """Every candidate, and the retrain with another seed that shows the noise floor."""
    table = pooled_table(data)
    part = divide(data)
    rows, validation = table.take(part.train), table.take(part.selection)
    progress = reporter("training")
    curve: dict[int, float] = {}

    def report(name: str, done: int, total: int, metric: float) -> None:
        if name == "retrain" and math.isfinite(metric):
            curve[done] = metric
        progress(done, total, name)

    made = list(
        candidates(
            rows,
            validation,
            champion and champion.booster,
            parameters,
            plan,
            seen=_seen(rows, champion),
            progress=report,
        )
    )
    here.curve("selection_loss", curve)
    if champion is None:
        return made, None
    other = retrain_with_other_seed(rows, validation, parameters, progress=lambda *step: progress(*step[:2], NOISE))
    return made, Candidate(NOISE, other, {})


def _federated(
    here: Stage,
    settings: Settings,
    data: Data,
    champion: Champion | None,
    parameters: BoostingParameters,
    plan: CandidatePlan,
    selection: Selection | None,
    noise: SumNoise | None,
) -> list[Candidate]:
    """The retrain on sums of owners, and its blends with the champion."""
    _require_apart(data, champion)
    progress = reporter("training")

    def said(party: str, event: dict) -> None:
        if "tree" in event:
            received = event["received"] / 1e6
            note = f"round {event['tree']}, {event['members']} owners, {received:,.1f} MB received"
            progress(event["tree"], parameters.rounds, note)

    together = train_crowd if "crowd" in data else train_with_aggregator
    booster, record, happened = together(settings, data, parameters, selection, noise, said)
    rounds = happened.rounds
    here.record(rounds, ROUNDS)
    here.record(happened.losses, LOSSES)
    here.curve("selection_loss", {one["number"] + 1: one["loss"] for one in rounds if one["loss"] is not None})
    here.curve("bytes_a_round", {one["number"] + 1: one["received"] + one["sent"] for one in rounds})
    here.curve("owners_in_round", {one["number"] + 1: len(one["members"]) for one in rounds})
    retrain = Candidate("retrain", booster, parameters.model_dump(), record)
    return [retrain, *(blends(booster, champion.booster, plan) if champion else ())]


def _require_apart(data: Data, champion: Champion | None) -> None:
    """Refuse a champion that cannot be followed where rows are in no one place."""
    forget_joined()
    if champion:
        require_updatable(champion.booster, Table(schema_of(data), None))


def _on_shares(
    settings: Settings, data: Data, champion: Champion | None, parameters: BoostingParameters, plan: CandidatePlan
) -> tuple[list[Candidate], dict[str, list]]:
    """The retrain and its blends with the champion, and each as a weighted sum of models that owners have shares of."""
    _require_apart(data, champion)
    require_shared(settings, data, champion)
    progress = reporter("training")
    steps = parameters.rounds * parameters.max_depth

    def said(party: str, event: dict) -> None:
        if "tree" in event and "rounds" in event:
            done = (event["tree"] - 1) * parameters.max_depth + event["level"]
            sent = event.get("sent", 0) / 1e6
            place = f"tree {event['tree']} of {parameters.rounds}, level {event['level']}"
            progress(done, steps, f"{place}, {event['rounds']:,} rounds, {sent:,.0f} MB sent")

    booster, record, key = train_on_shares(settings, data, parameters, said)
    made = [Candidate("retrain", booster, parameters.model_dump(), record)]
    shares: dict[str, list] = {"retrain": [[key, 1.0]]}
    for blended in blends(booster, champion.booster, plan) if champion else ():
        made.append(blended)
        weight = blended.settings["old_weight"]
        shares[blended.name] = [[key, 1 - weight], *([old, weight * part] for old, part in champion.share_terms)]
    return made, shares


def _seen(rows: Table, champion: Champion | None) -> np.ndarray | None:
    """Which rows the champion was trained on; None (all of them) where there is no time to tell by."""
    if champion is None or champion.trained_through is None or rows.time is None:
        return None
    return rows.time <= champion.trained_through
