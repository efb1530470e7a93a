"""Owners and an aggregator: training on sums under masks, and scores that owners compute where their rows are.

Each is a run of processes on this machine, one an owner, which read their own part and nothing else. What was trained
is found again by the digest of all it depended on, and a training that was interrupted goes on from its last round.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xgboost

from components.boosting.federated import LEAKAGE, Agreement
from components.boosting.federated.launch import AGGREGATOR, grow_here, score_here
from components.boosting.model import from_document, to_document
from components.boosting.modes import TrainingRecord
from components.boosting.parameters import BoostingParameters
from components.data.predictions import Predictions
from components.data.table import GroupColumn
from components.errors import InvalidInput
from components.mpc.launch import Ended
from components.secret_file import create_once
from tasks.holdings import schema_of
from tasks.locks import waiting
from tasks.references import Data
from tasks.settings import Settings
from tasks.together import party_name

Said = Callable[[str, dict], None]


@dataclass(frozen=True)
class AtOwners:
    """Held-out rows of all owners as the analyst gets them: predictions by model, and which are selection rows (n,)."""

    predictions: Mapping[str, Predictions]
    selection: np.ndarray


def train_with_aggregator(
    settings: Settings, data: Data, parameters: BoostingParameters, said: Said
) -> tuple[xgboost.Booster, TrainingRecord, list[dict]]:
    """Train on the owners' training rows; the model, its record, and what happened in each round.

    Raises
    ------
    InvalidInput
        Owners do not all hold every column, or there is only one.
    """
    _require_rows_dealt(data)
    split = data["split"]
    agreement = Agreement(
        schema_text=data["schema"], salt=split["salt"], shares=tuple(split["shares"]), parameters=parameters
    )
    public = {"training": agreement.model_dump(mode="json")}
    parts = sorted((holding["owner"], holding["digest"]) for holding in data["holdings"])
    key = hashlib.sha256(json.dumps([public, parts], sort_keys=True).encode()).hexdigest()[:20]
    folder = settings.root / "federated" / f"train-{key}"
    with waiting(settings, f"federated-{key}"):
        done = folder / "done.json"
        if not done.exists():
            ended = grow_here(public, folder=folder, private=_inputs(data, folder), on_progress=said)
            create_once(done, json.dumps(_told(ended)).encode())
        told = json.loads(done.read_text())
    return from_document(json.loads(told["model"])), _record(agreement, told), told["rounds"]


def score_at_owners(settings: Settings, data: Data, models: Mapping[str, xgboost.Booster], said: Said) -> AtOwners:
    """Predictions of models (by name) on every owner's held-out rows, computed by the owner."""
    schema = schema_of(data)
    documents = {name: json.dumps(to_document(model)) for name, model in models.items()}
    parts = sorted(holding["digest"] for holding in data["holdings"])
    key = hashlib.sha256(json.dumps([data["split"], parts, documents], sort_keys=True).encode()).hexdigest()[:20]
    folder = settings.root / "federated" / f"score-{key}"
    with waiting(settings, f"federated-{key}"):
        paths = []
        for number, document in enumerate(documents.values()):
            paths.append(folder / f"model_{number}.json")
            paths[-1].unlink(missing_ok=True)
            create_once(paths[-1], document.encode())
        ended = score_here(
            {"schema": data["schema"], "split": data["split"]},
            folder=folder,
            private=_inputs(data, folder, models=[str(path) for path in paths]),
            on_progress=said,
        )
        arrays = [one.arrays() for one in ended.values()]
        levels = [one.document["levels"] for one in ended.values()]
    rows = Predictions(
        rule=schema.label,
        row_ids=np.concatenate([one["rows"] for one in arrays]),
        labels=np.concatenate([one["labels"] for one in arrays]),
        groups={name: _joined(name, arrays, levels) for name in schema.groups},
        scores=np.empty(0),
    )
    predictions = {
        name: Predictions(
            rows.rule,
            rows.row_ids,
            rows.labels,
            rows.groups,
            np.concatenate([one[f"scores_{number}"] for one in arrays]),
        )
        for number, name in enumerate(models)
    }
    return AtOwners(predictions, np.concatenate([one["selection"] for one in arrays]))


def _require_rows_dealt(data: Data) -> None:
    columns = {tuple(sorted(holding["columns"])) for holding in data["holdings"]}
    if len(columns) > 1:
        raise InvalidInput(
            "mode is 'federated', where every owner holds rows of all columns, but here owners hold different columns; "
            "deal rows (such as --partition even:3), or train in mode secret_shared"
        )
    if len(data["holdings"]) < 2:
        raise InvalidInput(
            "mode is 'federated', but there is one owner, whose sums nobody else's would hide; "
            "deal rows to two owners or more (such as --partition even:3)"
        )


def _inputs(data: Data, folder: Path, **more) -> dict[str, Path]:
    """Write what only each owner reads."""
    inputs = {}
    for holding in data["holdings"]:
        name = party_name(holding["owner"])
        if name in (AGGREGATOR, *inputs):
            raise InvalidInput(f"owner '{holding['owner']}' cannot be told apart from '{name}'; rename it")
        inputs[name] = folder / name / "input.json"
        inputs[name].unlink(missing_ok=True)
        create_once(inputs[name], json.dumps({"holding": holding, **more}).encode())
    return inputs


def _told(ended: Mapping[str, Ended]) -> dict:
    counts = {name: {what: one.counts[what] for what in ("cpu_seconds", "peak_bytes", "seconds")}
              for name, one in ended.items()}  # fmt: skip
    return {**ended[AGGREGATOR].document, "counts": counts}


def _record(agreement: Agreement, told: Mapping) -> TrainingRecord:
    rounds, counts = told["rounds"], told["counts"]
    return TrainingRecord(
        mode="federated",
        seed=agreement.parameters.seed,
        rounds=len(rounds),
        rows=told["rows"],
        seconds=sum(one["seconds"] for one in rounds),
        bytes=sum(one["received"] + one["sent"] for one in rounds),
        declared_leakage=LEAKAGE,
        parameters=agreement.parameters.model_dump() | {"max_bin": agreement.max_bin},
        costs={
            "owners": len(set().union(*(one["members"] for one in rounds))),
            "owners_lost": len(set().union(*(one["lost"] for one in rounds))),
            "trees_cut_short": sum(one["cut_short"] for one in rounds),
            "cpu_seconds": round(sum(one["cpu_seconds"] for one in counts.values()), 2),
            "peak_bytes": max(one["peak_bytes"] for one in counts.values()),
        },
    )


def _joined(name: str, arrays: list[Mapping], levels: list[Mapping]) -> GroupColumn:
    """A group over all owners: bands in their order, other levels sorted, as they are where rows are pooled."""
    known = [one[name] for one in levels]
    union = max(known, key=len) if all(set(one) <= set(max(known, key=len)) for one in known) else None
    union = union or sorted({level for one in known for level in one})
    codes = [
        np.array([union.index(level) for level in own], dtype=np.int32)[one[f"group_{name}"]]
        for own, one in zip(known, arrays, strict=True)
    ]
    return GroupColumn(np.concatenate(codes), tuple(union))
