"""Owners computing together: matching their rows, training on shares, scoring held-out rows.

Each is a run of processes, one an owner and one the dealer, which see their own part and what protocols send them. This
module sees what is public, and what the analyst receives, for the pipeline is the analyst: the opened model, and the
margins, labels and groups of held-out rows. What was done is found again by the digest of all it depended on, and a
training that was interrupted goes on from the last tree all owners have finished.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xgboost

from components.boosting.model import class_order, from_document
from components.boosting.modes import TrainingRecord
from components.boosting.parameters import BoostingParameters
from components.boosting.secret_shared import LEAKAGE, Agreement
from components.boosting.secret_shared.layout import Layout, layout_of
from components.boosting.secret_shared.programs import agreed_rows, match, score, train_together, training_agreement
from components.boosting.secret_shared.stored import finished_rounds
from components.data.predictions import Predictions
from components.data.schema import Schema
from components.data.split import PARTS
from components.data.table import GroupColumn
from components.errors import InvalidInput
from components.mpc.launch import Ended, run_parties
from components.mpc.programs import reference
from components.secret_file import create_once
from tasks.holdings import schema_of
from tasks.references import Data
from tasks.settings import Settings

MAX_BIN = 32
"""Bins of a numeric feature where none are asked for; every bin is a candidate that costs a division on shares."""

Said = Callable[[str, dict], None]


@dataclass(frozen=True)
class Matched:
    """Rows matched by person: where each owner keeps its side, and what became public."""

    key: str
    schema: Schema
    layout: Layout
    documents: Mapping[str, dict]

    @property
    def rows(self) -> dict[str, dict[str, int]]:
        """Part → group → rows."""
        counts = {group[0]: agreed_rows(self.documents, group) for group in self.layout.groups}
        return {name: {group: count[name] for group, count in counts.items()} for name in PARTS}

    @property
    def levels(self) -> dict[str, list[str]]:
        """Group → its levels at all owners, sorted."""
        found: dict[str, set[str]] = {name: set() for name in self.schema.groups}
        for document in self.documents.values():
            for name, levels in document["levels"].items():
                found[name] |= set(levels)
        return {name: sorted(levels) for name, levels in found.items()}


@dataclass(frozen=True)
class HeldOut:
    """What the analyst receives of held-out rows: margins under each model, and predictions that lack only scores."""

    margins: Mapping[str, np.ndarray]
    """Model key → (outputs, n)."""
    rows: Predictions
    selection: np.ndarray
    """(n,) bool: a selection row, else a gate row."""


def match_rows(settings: Settings, data: Data, max_bin: int, said: Said) -> Matched:
    """Match the owners' rows, once for the same data and bins."""
    schema = schema_of(data)
    public = _public(data, schema) | {"max_bin": max_bin}
    layout = layout_of(public["columns"], schema)
    key = f"match-{_digest({**public, 'parts': [holding['digest'] for holding in data['holdings']]})}"
    ended = _run(settings, reference(match), key, public, _private(settings, data, key, {}), said)
    return Matched(
        key, schema, layout, {party: one.document for party, one in ended.items() if party in layout.parties}
    )


def train_on_shares(
    settings: Settings, data: Data, parameters: BoostingParameters, said: Said
) -> tuple[xgboost.Booster, TrainingRecord, str]:
    """Train on the owners' training rows; the opened model, its record, and the key by which its shares are found."""
    parameters = parameters.model_copy(update={"max_bin": parameters.max_bin or MAX_BIN})
    matched = match_rows(settings, data, parameters.max_bin, said)
    agreement = training_agreement(matched.schema, matched.layout, matched.documents, parameters)
    agreement.require_fits()
    analyst = matched.layout.parties.index(matched.layout.holders(matched.schema.label.column)[0])
    public = _public(data, matched.schema) | {"training": agreement.model_dump(mode="json"), "analyst": analyst}
    key = f"train-{_digest({**public, 'matched': matched.key})}"
    folder = _folder(settings, key)
    private = _private(
        settings,
        data,
        key,
        lambda party: {
            "matched": str(_folder(settings, matched.key) / party),
            "shares": str(folder / party / "shares"),
        },
    )
    finished = {party: finished_rounds(folder / party / "shares") for party in matched.layout.parties}
    ended = _run(settings, reference(train_together), key, public, private, said, finished=finished)
    create_once(
        folder / "agreement.json", json.dumps({"matched": matched.key, "training": public["training"]}).encode()
    )
    booster = from_document(json.loads(ended[matched.layout.parties[analyst]].document["model"]))
    booster.set_attr(classes=class_order(matched.schema.label))
    return booster, _record(matched, agreement, ended), key


def score_held_out(settings: Settings, data: Data, keys: list[str], max_bin: int, said: Said) -> HeldOut:
    """Margins of the held-out rows under models found by their keys, for the analyst to judge.

    Raises
    ------
    InvalidInput
        An owner has no shares of a model.
    """
    matched = match_rows(settings, data, max_bin, said)
    trained = [_agreement(settings, key) for key in keys]
    for key in keys:
        for party in matched.layout.parties:
            if not (_folder(settings, key) / party / "shares" / "base.npz").exists():
                raise InvalidInput(
                    f"owner '{party}' has no shares of the model trained as {key}, so it cannot help to score it; "
                    "restore its folder, or start anew under another model name (model)"
                )
    analyst = matched.layout.parties.index(matched.layout.holders(matched.schema.label.column)[0])
    public = _public(data, matched.schema) | {
        "rows": matched.rows,
        "levels": matched.levels,
        "models": [one["training"] for one in trained],
        "analyst": analyst,
    }
    key = f"score-{_digest({**public, 'matched': matched.key, 'keys': keys})}"
    private = _private(
        settings,
        data,
        key,
        lambda party: {
            "matched": str(_folder(settings, matched.key) / party),
            "pseudonym_key": str(settings.owners / party / "pseudonyms.key"),
            "models": [
                {
                    "shares": str(_folder(settings, name) / party / "shares"),
                    "matched": str(_folder(settings, one["matched"]) / party),
                }
                for name, one in zip(keys, trained, strict=True)
            ],
        },
    )
    ended = _run(settings, reference(score), key, public, private, said)
    arrays = ended[matched.layout.parties[analyst]].arrays()
    return _held_out(matched, keys, arrays)


def scores_of(objective: str, margins: np.ndarray) -> np.ndarray:
    """(outputs, n) margins as a model's `predict` would give them: (n,), or (n, K) for classes."""
    match objective:
        case "binary:logistic":
            return 1 / (1 + np.exp(-margins[0]))
        case "multi:softprob":
            shifted = np.exp(margins - margins.max(axis=0))
            return (shifted / shifted.sum(axis=0)).T
        case _:
            return margins[0]


def party_name(owner: str) -> str:
    """The name a certificate can carry."""
    name = re.sub(r"[^a-z0-9-]", "-", owner.lower())
    return name if name[0].isalpha() else f"o-{name}"


def _held_out(matched: Matched, keys: list[str], arrays: Mapping[str, np.ndarray]) -> HeldOut:
    schema, selection = matched.schema, []
    for group in matched.layout.groups:
        selection += [True] * matched.rows["selection"][group[0]] + [False] * matched.rows["gate"][group[0]]
    groups = {
        name: GroupColumn(arrays[f"group_{name}"][0].astype(np.int32), tuple(levels))
        for name, levels in matched.levels.items()
    }
    first, second = arrays["pseudonyms"].astype(np.int64)
    names = np.array([f"{a:012x}{b:012x}" for a, b in zip(first.tolist(), second.tolist(), strict=True)])
    labels = arrays["label"][0]
    rows = Predictions(
        schema.label, names, labels if schema.label.kind == "regression" else labels.astype(np.int32), groups, labels
    )
    return HeldOut({key: arrays[f"margins_{n}"] for n, key in enumerate(keys)}, rows, np.array(selection, dtype=bool))


def _record(matched: Matched, agreement: Agreement, ended: Mapping[str, Ended]) -> TrainingRecord:
    counts = {name: one.counts for name, one in ended.items()}
    owners = [counts[party] for party in matched.layout.parties]
    seconds = ended[matched.layout.parties[0]].document["seconds"]
    return TrainingRecord(
        mode="secret_shared",
        seed=agreement.parameters.seed,
        rounds=agreement.parameters.rounds,
        rows=agreement.rows,
        seconds=seconds["train"],
        bytes=sum(one["sent"] for one in owners),
        declared_leakage=LEAKAGE,
        parameters=agreement.parameters.model_dump(),
        costs={
            "owners": len(owners),
            "message_rounds": owners[0]["rounds"],
            "bytes_dealt": sum(one["dealt"] for one in owners),
            "cpu_seconds": round(sum(one["cpu_seconds"] for one in counts.values()), 2),
            "peak_bytes": max(one["peak_bytes"] for one in counts.values()),
            **{f"seconds_{phase}": round(taken, 3) for phase, taken in seconds.items()},
        },
    )


def _public(data: Data, schema: Schema) -> dict:
    """What every program's agreement begins with."""
    names: dict[str, str] = {}
    for holding in data["holdings"]:
        name = party_name(holding["owner"])
        if name in names:
            raise InvalidInput(f"owners '{names[name]}' and '{holding['owner']}' cannot be told apart; rename one")
        names[name] = holding["owner"]
    return {
        "schema": data["schema"],
        "columns": {party_name(holding["owner"]): holding["columns"] for holding in data["holdings"]},
        "split": data["split"],
    }


def _private(settings: Settings, data: Data, key: str, more) -> dict[str, Path]:
    """Each owner's own input, in its own folder: where its part is, and what else only it reads."""
    paths = {}
    for holding in data["holdings"]:
        party = party_name(holding["owner"])
        path = _folder(settings, key) / party / "input.json"
        path.unlink(missing_ok=True)
        create_once(path, json.dumps({"holding": holding, **(more(party) if callable(more) else more)}).encode())
        paths[party] = path
    return paths


def _run(settings, program, key, public, private, said, *, finished=None) -> dict[str, Ended]:
    """Run a program, or find that it has been run: `done.json` is written when all have finished."""
    folder = _folder(settings, key)
    done = folder / "done.json"
    if done.exists():
        counts = json.loads(done.read_text())
        return {
            name: Ended(name, folder / name, json.loads((folder / name / "result.json").read_text()), count)
            for name, count in counts.items()
        }
    ended = run_parties(program, public, folder=folder, private=private, finished=finished, on_progress=said)
    create_once(done, json.dumps({name: dict(one.counts) for name, one in ended.items()}).encode())
    return ended


def _agreement(settings: Settings, key: str) -> dict:
    path = _folder(settings, key) / "agreement.json"
    if not path.exists():
        raise InvalidInput(
            f"nothing is known here of the model trained as {key}, so its held-out rows cannot be scored; restore "
            f"{path.parent}, or start anew under another model name (model)"
        )
    return json.loads(path.read_text())


def _folder(settings: Settings, key: str) -> Path:
    return settings.root / "together" / key


def _digest(document: dict) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:20]
