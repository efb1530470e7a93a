"""What members of a federated run do: the aggregator grows trees, owners answer it, and each owner scores its own rows.

Private inputs are paths in a file of the member's own; what a program returns lies in its own folder. The scores of
held-out rows, with labels and groups, are for the analyst, who judges the model by them; the aggregator has no part in
that.
"""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa

from components.boosting.federated.agreement import Agreement
from components.boosting.federated.owner import RowsOfOwner
from components.boosting.federated.train import Progress, model_of, read_progress, to_document, train
from components.boosting.model import from_document
from components.boosting.pooled import predict
from components.data.independence import one_row_per_person
from components.data.schema import Schema
from components.data.split import PARTS, split_of
from components.data.table import Table
from components.errors import InvalidInput
from components.federated import Federation, Files, Owner
from components.mpc.programs import Task, program
from components.parties.file import Parties
from components.partition import HoldingRecord, read_holding
from components.secret_file import create_once

KEPT = "progress.json"


@program
def grow(parties: Parties, task: Task) -> dict:
    """Train together.

    Agreement: `training` (an `Agreement`). Private, of an owner: `holding`. The aggregator's document has the model and
    every round's record.
    """
    agreement = Agreement.model_validate(task.agreement["training"])
    if parties.aggregator is None:
        raise InvalidInput("parties.yaml names no 'aggregator', and mode federated needs one; add it")
    if task.name == parties.aggregator.name:
        return _aggregate(parties, task, agreement)
    # Draws of rows differ between owners, and are the same in every run with the same seed.
    seed = int.from_bytes(hashlib.sha256(f"{agreement.parameters.seed} {task.name}".encode()).digest()[:4], "little")
    rows = RowsOfOwner(agreement, read_holding(_holding(task), agreement.schema_), seed=seed)
    Owner(
        task.name,
        _files(parties, task.name),
        parties.aggregator.place,
        parties.aggregator.name,
        tuple(parties.names),
        agreement=agreement.model_dump(mode="json"),
        answers=rows.answers,
        sums=rows.sums,
        timeout=parties.timeout,
        gather=parties.gather,
    ).take_part()
    return {}


@program
def score(parties: Parties, task: Task) -> dict:
    """Score this owner's held-out rows, one a person, under every model.

    Agreement: `schema` (JSON text), `split`. Private: `holding`, and the paths of `models`. The arrays are scores by
    model, labels, codes of groups whose levels the document lists, names of rows, and which are selection rows.
    """
    schema, private = Schema.model_validate_json(task.agreement["schema"]), json.loads(task.private.read_text())
    part = read_holding(_holding(task), schema)
    codes = split_of(part.person, task.agreement["split"]["salt"], tuple(task.agreement["split"]["shares"]))
    parts = [part.take(np.flatnonzero(codes == PARTS.index(name))) for name in ("selection", "gate")]
    rows = [one.take(one_row_per_person(one)) for one in parts]
    held = Table(schema, pa.concat_tables([one.columns for one in rows]))
    models = [from_document(json.loads(Path(model).read_text())) for model in private["models"]]
    return {
        **{f"scores_{number}": predict(model, held) for number, model in enumerate(models)},
        **{f"group_{name}": group.codes for name, group in held.groups.items()},
        "labels": held.labels,
        "rows": held.row_ids.astype(str),
        "selection": np.repeat([True, False], [len(one) for one in rows]),
        "levels": {name: list(group.levels) for name, group in held.groups.items()},
    }


def _aggregate(parties: Parties, task: Task, agreement: Agreement) -> dict:
    kept, name = task.folder / KEPT, parties.aggregator.name
    start = read_progress(json.loads(kept.read_text())) if kept.exists() else None

    def keep(progress: Progress) -> None:
        aside = kept.with_suffix(".new")
        aside.unlink(missing_ok=True)
        create_once(aside, json.dumps(to_document(progress)).encode())
        aside.replace(kept)

    place = f"{parties.aggregator.listen or parties.aggregator.address}:{parties.aggregator.port}"
    with Federation(
        name,
        place,
        _files(parties, name),
        tuple(parties.names),
        agreement=agreement.model_dump(mode="json"),
        timeout=parties.timeout,
    ) as federation:
        federation.gather(parties.gather)
        progress = train(federation, agreement, start=start, keep=keep, said=task.report)
    model = bytes(model_of(agreement, progress).save_raw("json")).decode()
    return {
        "model": model,
        "rounds": [asdict(one) for one in progress.rounds],
        "losses": [asdict(one) for one in federation.losses],
        "edges": {name: len(edges) for name, edges in progress.terms["edges"].items()},
        "rows": progress.terms["rows"],
    }


def _files(parties: Parties, name: str) -> Files:
    member = parties.member(name)
    return Files(member.certificate, member.key, parties.authority)


def _holding(task: Task) -> HoldingRecord:
    holding = json.loads(task.private.read_text())["holding"]
    return HoldingRecord(**{**holding, "path": Path(holding["path"]), "columns": tuple(holding["columns"])})
