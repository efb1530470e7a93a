"""What members of a federated run do: the aggregator grows trees and owners answer it; then each scores its own rows.

Private inputs are paths in a file of the member's own; what a program returns lies in its own folder. Owners learn the
model, as the aggregator has made it; scores of held-out rows go to the analyst alone (`scores`).
"""

import hashlib
import json
import os
import threading
from dataclasses import asdict
from pathlib import Path

from components.boosting.federated.agreement import Agreement
from components.boosting.federated.owner import RowsOfOwner
from components.boosting.federated.scores import ScoresOfOwner, collect_scores, written_model
from components.boosting.federated.train import Progress, model_of, read_progress, to_document, train
from components.data.schema import Schema
from components.errors import InvalidInput
from components.federated import Content, Federation, Files, Owner
from components.mpc.programs import Task, program
from components.parties.file import Parties
from components.partition import HoldingRecord, read_holding
from components.secret_file import create_once

KEPT, MODELS = "progress.json", "models.json"
"""In the aggregator's folder: what it goes on from. In the analyst's: the models to judge, JSON texts."""


@program
def grow(parties: Parties, task: Task) -> dict:
    """Train together.

    Agreement: `schema` (JSON text), `split`, `parameters`, and `selection` or none. Private, of an owner: `holding`.
    The aggregator's document has the model and every round's record, an owner's the model.
    """
    agreement = Agreement(
        schema_text=task.agreement["schema"],
        salt=task.agreement["split"]["salt"],
        shares=tuple(task.agreement["split"]["shares"]),
        parameters=task.agreement["parameters"],
        selection=task.agreement.get("selection"),
    )
    if parties.aggregator is None:
        raise InvalidInput("parties.yaml names no 'aggregator', and mode federated needs one; add it")
    if task.name == parties.aggregator.name:
        return _aggregate(parties, task, agreement)
    # Draws of rows differ between owners, and are the same in every run with the same seed.
    seed = int.from_bytes(hashlib.sha256(f"{agreement.parameters.seed} {task.name}".encode()).digest()[:4], "little")
    rows = RowsOfOwner(agreement, read_holding(_holding(task), agreement.schema_), seed=seed)
    learnt: dict[str, str] = {}

    def learn(content: Content) -> Content:
        learnt["model"] = content.array.tobytes().decode()
        return Content()

    Owner(
        task.name,
        _files(parties, task.name),
        parties.aggregator.place,
        parties.aggregator.name,
        tuple(parties.names),
        threshold=parties.threshold or 0,
        roster=agreement.selection.owners if agreement.selection else 0,
        agreement=agreement.model_dump(mode="json"),
        answers={**rows.answers, "learn": learn},
        sums=rows.sums,
        timeout=parties.timeout,
        gather=parties.gather,
    ).take_part()
    return learnt


@program
def rate(parties: Parties, task: Task) -> dict:
    """Score held-out rows, one a person, under every model of the analyst, who receives all of it.

    Agreement: `schema`, `split`. Private, of every owner: `holding`, and the path of `pseudonym_key`. In the analyst's
    folder lies `MODELS`; its arrays are named by owner's number and array, its document has owners and levels.
    """
    owner = _rated_owner(parties, task)
    if task.name != parties.analyst:
        owner.take_part()
        return {}
    models = json.loads((task.folder / MODELS).read_text())
    with Federation(
        task.name,
        parties.member(task.name).listens_at,
        _files(parties, task.name),
        tuple(parties.names),
        agreement=owner.agreement,
        timeout=parties.timeout,
        role="analyst",
    ) as federation:
        # The analyst is an owner like any other, who happens to dial itself.
        threading.Thread(target=owner.take_part, daemon=True).start()
        federation.gather(parties.gather, least=len(parties.names))
        found = collect_scores(federation, models)
    arrays = {
        f"{number}:{name}": array for number, one in enumerate(found.values()) for name, array in one.arrays.items()
    }
    return {"owners": list(found), "levels": [dict(one.levels) for one in found.values()], **arrays}


def _rated_owner(parties: Parties, task: Task) -> Owner:
    """This owner's end of `rate`; what the analyst and all owners must have alike is the deal, so that it is judged."""
    schema, private = Schema.model_validate_json(task.agreement["schema"]), json.loads(task.private.read_text())
    split, key = task.agreement["split"], Path(private["pseudonym_key"])
    create_once(key, os.urandom(32))
    rows = ScoresOfOwner(
        read_holding(_holding(task), schema),
        salt=split["salt"],
        shares=tuple(split["shares"]),
        pseudonym_key=key.read_bytes(),
    )
    return Owner(
        task.name,
        _files(parties, task.name),
        parties.member(parties.analyst).place,
        parties.analyst,
        tuple(parties.names),
        agreement={"schema": task.agreement["schema"], "split": split, "purpose": "rate"},
        answers=rows.answers,
        timeout=parties.timeout,
        gather=parties.gather,
        role="analyst",
    )


def _aggregate(parties: Parties, task: Task, agreement: Agreement) -> dict:
    kept, aggregator = task.folder / KEPT, parties.aggregator
    start = read_progress(json.loads(kept.read_text())) if kept.exists() else None

    def keep(progress: Progress) -> None:
        aside = kept.with_suffix(".new")
        aside.unlink(missing_ok=True)
        create_once(aside, json.dumps(to_document(progress)).encode())
        aside.replace(kept)

    with Federation(
        aggregator.name,
        aggregator.listens_at,
        _files(parties, aggregator.name),
        tuple(parties.names),
        threshold=parties.threshold or 0,
        agreement=agreement.model_dump(mode="json"),
        timeout=parties.timeout,
    ) as federation:
        federation.gather(parties.gather)
        progress = train(federation, agreement, start=start, keep=keep, said=task.report)
        model = bytes(model_of(agreement, progress).save_raw("json")).decode()
        federation.ask("learn", written_model(model))
    return {
        "model": model,
        "rounds": [asdict(one) for one in progress.rounds],
        "losses": [asdict(one) for one in federation.losses],
        "edges": {name: len(edges) for name, edges in progress.terms["edges"].items()},
        "trained_rows": progress.terms["rows"],
    }


def _files(parties: Parties, name: str) -> Files:
    member = parties.member(name)
    return Files(member.certificate, member.key, parties.authority)


def _holding(task: Task) -> HoldingRecord:
    holding = json.loads(task.private.read_text())["holding"]
    return HoldingRecord(**{**holding, "path": Path(holding["path"]), "columns": tuple(holding["columns"])})
