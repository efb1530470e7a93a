"""What members of a federated training do: the aggregator grows trees and owners answer it.

Private inputs are paths in a file of the member's own; what a program returns lies in its own folder. Owners make the
model themselves, of the trees they know.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from components.boosting.federated.agreement import Agreement
from components.boosting.federated.model import trained_text
from components.boosting.federated.noise import counted_parts
from components.boosting.federated.owner import RowsOfOwner
from components.boosting.federated.progress import kept_in, read_progress
from components.boosting.federated.train import train
from components.boosting.histogram import Cuts, Planner, Rows, Terms, bin_columns
from components.boosting.parameters import BoostingParameters
from components.errors import InvalidInput
from components.federated import AggregatorLost, Federation, Files, Owner, least_survivors
from components.mpc.programs import Task, program
from components.parties.file import Parties
from components.partition import HoldingRecord, open_holding

KEPT = "progress.jsonl"
"""In the aggregator's folder: what it goes on from."""


def _load_loops() -> None:
    """Load the compiled loops of owners and aggregator, all of which a tree of three rows and one beside needs."""
    settings = {"rounds": 1, "max_depth": 2, "min_child_weight": 0, "subsample": 1, "colsample_bytree": 1}
    cuts = Cuts(names=("x",), categorical=(False,), edges=(np.arange(3, dtype=np.float32),), lowest=(-1.0,))
    terms = Terms(cuts, "binary:logistic", BoostingParameters(**settings), rows=4)
    bins, labels = bin_columns([np.array([-1, 0, 1, 1], np.float32)], cuts, 4), np.array([0, 1, 0, 0])
    rows, planner = Rows(terms, bins[:3], labels[:3], validation=(bins[3:], labels[3:])), Planner(terms)
    rows.start(np.zeros(1, dtype=np.float32))
    level = planner.receive(rows.begin(planner.begin(0)))
    while level.wanted:
        level = planner.receive(rows.descend(level))
    rows.finish(level)
    rows.loss()


@program(ready=_load_loops)
def grow(parties: Parties, task: Task) -> dict:
    """Train together.

    Agreement: `schema` (JSON text), `split`, `parameters`, and `selection` and `noise` or none. Private, of an owner:
    `holding`, and with noise `spending` or none. The aggregator's document has the model and every round's record, an
    owner's the model.
    """
    if parties.aggregator is None:
        raise InvalidInput("parties.yaml names no 'aggregator', and mode federated needs one; add it")
    agreement = agreement_by(parties, task.agreement)
    if task.name == parties.aggregator.name:
        return _aggregate(parties, task, agreement)
    seed = agreement.seed_of(task.name)
    threads = agreement.parameters.threads or os.cpu_count() or 1
    part, begins = open_holding(holding_of(task), agreement.schema_), _noting(task, agreement)
    rows = RowsOfOwner(agreement, part, seed=seed, threads=threads, begins=begins)
    Owner(
        task.name,
        files_of(parties, task.name),
        parties.aggregator.place,
        parties.aggregator.name,
        tuple(parties.names),
        threshold=parties.threshold or 0,
        roster=agreement.selection.owners if agreement.selection else 0,
        agreement=agreement.model_dump(mode="json"),
        answers=rows.answers,
        sums=rows.sums,
        timeout=parties.timeout,
        gather=parties.gather,
    ).take_part()
    if rows.model is None:
        raise AggregatorLost(
            f"aggregator '{parties.aggregator.name}' ended the training while '{task.name}' lacked trees of it; the "
            "model is with the owners that were there"
        )
    return {"model": rows.model}


def _aggregate(parties: Parties, task: Task, agreement: Agreement) -> dict:
    kept, aggregator = task.folder / KEPT, parties.aggregator
    with Federation(
        aggregator.name,
        aggregator.listens_at,
        files_of(parties, aggregator.name),
        tuple(parties.names),
        threshold=parties.threshold or 0,
        agreement=agreement.model_dump(mode="json"),
        timeout=parties.timeout,
    ) as federation:
        federation.gather(parties.gather)
        start = read_progress(kept)
        progress = train(federation, agreement, start=start, keep=kept_in(kept), said=task.report, teaches=True)
    return {
        "model": trained_text(agreement, progress),
        "rounds": [asdict(one) for one in progress.rounds],
        "losses": progress.losses,
        "edges": {name: len(edges) for name, edges in progress.terms["edges"].items()},
        "beside": sum(progress.traffic),
        "beside_seconds": progress.seconds,
        "cut_points_short": progress.cut_points_short,
        "noise": agreement.noise_plan and agreement.noise_plan.to_json(),
    }


def agreement_by(parties: Parties, told: Mapping) -> Agreement:
    """What all members make of what they were told and of the parties they know."""
    count = len(parties.names)
    selection = told.get("selection")
    roster = selection["owners"] if selection else count
    threshold = parties.threshold or least_survivors(count)
    return Agreement(
        schema_text=told["schema"],
        salt=told["split"]["salt"],
        shares=tuple(told["split"]["shares"]),
        parameters=told["parameters"],
        selection=selection,
        noise=told.get("noise"),
        contributors=counted_parts(roster, members=count, threshold=threshold),
    )


def _noting(task: Task, agreement: Agreement) -> Callable[[int], None]:
    """What to call with each unit of work: with noise an owner notes what it spends, where it is told to."""
    told = json.loads(task.private.read_text()).get("spending")
    if not agreement.noise or not told:
        return lambda unit: None
    # It takes SciPy, a second to import, and few owners have use for it.
    from components.boosting.federated.spending import spending_of

    return spending_of(task.name, agreement, told).begin


def files_of(parties: Parties, name: str) -> Files:
    """What a member shows and checks on its connections."""
    member = parties.member(name)
    return Files(member.certificate, member.key, parties.authority)


def holding_of(task: Task) -> HoldingRecord:
    """The rows that a member's private input names."""
    holding = json.loads(task.private.read_text())["holding"]
    return HoldingRecord(**{**holding, "path": Path(holding["path"]), "columns": tuple(holding["columns"])})
