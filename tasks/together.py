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
from components.boosting.secret_shared.agreement import require_trainable
from components.boosting.secret_shared.layout import Layout, layout_of
from components.boosting.secret_shared.programs import agreed_rows, training_agreement
from components.boosting.secret_shared.stored import finished_rounds
from components.data.predictions import Predictions
from components.data.schema import Schema
from components.data.split import PARTS
from components.data.table import GroupColumn
from components.errors import InvalidInput
from components.mpc.launch import Ended, run_parties
from components.mpc.programs import reference
from components.secret_file import create_once
from tasks.apart import analyst_of, root_of, run_apart
from tasks.holdings import schema_of
from tasks.locks import waiting
from tasks.own_part import PROGRAMS, Needs, folder_of, private_input
from tasks.progress import reporter
from tasks.references import Data
from tasks.settings import Settings
from tasks.stage import logger

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
        """Group → its levels at all owners: bands in their order, others sorted."""
        found = {}
        for name, group in self.schema.groups.items():
            said = [document["levels"][name] for document in self.documents.values() if name in document["levels"]]
            # Every owner lists all bands, and after them what is not recorded where that happens.
            found[name] = max(said, key=len) if group.edges else sorted({level for levels in said for level in levels})
        return found


@dataclass(frozen=True)
class HeldOut:
    """What the analyst receives of held-out rows: margins under each model, and predictions that lack only scores."""

    margins: Mapping[str, np.ndarray]
    """Model key → (outputs, n)."""
    rows: Predictions
    selection: np.ndarray
    """(n,) bool: a selection row, else a gate row."""


def match_rows(settings: Settings, data: Data, max_bin: int) -> Matched:
    """Match the owners' rows, once for the same data and bins."""
    schema = schema_of(data)
    public = _public(data, schema) | {"max_bin": max_bin}
    layout = layout_of(public["columns"], schema)
    _require_many_rows(data, layout, schema, max_bin)
    key = f"match-{_digest({**public, 'parts': [holding['digest'] for holding in data['holdings']]})}"
    progress = reporter("matching rows")

    def said(party: str, event: dict) -> None:
        if "step" in event:
            progress(event["step"], event["steps"], event["note"])

    ended = _run(settings, data, "match", key, public, Needs(), said)
    return Matched(
        key, schema, layout, {party: one.document for party, one in ended.items() if party in layout.parties}
    )


def _require_many_rows(data: Data, layout: Layout, schema: Schema, max_bin: int) -> None:
    """Cut points of divided features are values that somebody holds: with few rows they would be everybody's."""
    divided = {list(schema.features)[position] for position in layout.divided(schema)}
    rows = sum(holding["rows"] for holding in data["holdings"] if divided & set(holding["columns"]))
    if divided and max_bin * 10 > rows:
        raise InvalidInput(
            f"max_bin is {max_bin}, and owners of the same columns have {rows} rows together; their cut points would "
            f"name one value in ten or more, ask for at most {rows // 10} bins (max_bin)"
        )


def train_on_shares(
    settings: Settings, data: Data, parameters: BoostingParameters, said: Said
) -> tuple[xgboost.Booster, TrainingRecord, str]:
    """Train on the owners' training rows; the opened model, its record, and the key by which its shares are found."""
    parameters = parameters.model_copy(update={"max_bin": parameters.max_bin or MAX_BIN})
    require_trainable(parameters)
    matched = match_rows(settings, data, parameters.max_bin)
    counts = [f"{sum(groups.values()):,}" for groups in matched.rows.values()]
    logger().info("matched rows: %s to train on, %s to choose by, %s for the gate", *counts)
    agreement = training_agreement(matched.schema, matched.layout, matched.documents, parameters)
    agreement.require_fits()
    analyst = _analyst(data, matched)
    public = _public(data, matched.schema) | {"training": agreement.model_dump(mode="json"), "analyst": analyst}
    # Matching again puts rows in another order, to which shares of an earlier try do not belong.
    tokens = {party: document["token"] for party, document in matched.documents.items()}
    key = f"train-{_digest({**public, 'matched': matched.key, 'tokens': tokens})}"
    ended = _run(settings, data, "train", key, public, Needs(matched=matched.key), said)
    create_once(
        _folder(settings, key) / "agreement.json",
        json.dumps({"matched": matched.key, "training": public["training"]}).encode(),
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
    matched = match_rows(settings, data, max_bin)
    trained = [_agreement(settings, key) for key in keys]
    for key, one in zip(keys, trained, strict=True):
        _require_same_owners(key, Agreement.model_validate(one["training"]), matched)
    analyst = _analyst(data, matched)
    public = _public(data, matched.schema) | {
        "rows": matched.rows,
        "levels": matched.levels,
        "models": [one["training"] for one in trained],
        "analyst": analyst,
    }
    key = f"score-{_digest({**public, 'matched': matched.key, 'keys': keys})}"
    needs = Needs(matched=matched.key, models=[(name, one["matched"]) for name, one in zip(keys, trained, strict=True)])
    ended = _run(settings, data, "score", key, public, needs, said)
    arrays = ended[matched.layout.parties[analyst]].arrays()
    return _held_out(matched, keys, arrays)


def _require_same_owners(key: str, trained: Agreement, matched: Matched) -> None:
    """Only the owners who hold shares of a model, each with the columns it was trained on, can score with it."""
    layout = matched.layout
    if trained.parties != layout.parties:
        raise InvalidInput(
            f"the model trained as {key} lies in shares with {', '.join(trained.parties)}; {', '.join(layout.parties)} "
            "cannot score it, deal the rows to the same owners or start anew under another model name (model)"
        )
    for position, feature in enumerate(trained.features):
        held = {trained.parties[block.owner] for block in trained.blocks if position in block.features}
        if held != set(layout.holders(feature.name)):
            raise InvalidInput(
                f"feature '{feature.name}' of the model trained as {key} was held by {', '.join(sorted(held))} and is "
                f"by {', '.join(layout.holders(feature.name))} now; start anew under another model name (model)"
            )


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


def _analyst(data: Data, matched: Matched) -> int:
    """The number of the party who may open what is computed: as parties.yaml says, else the first with the label."""
    name = analyst_of(data) if data.get("parties") else matched.layout.holders(matched.schema.label.column)[0]
    return matched.layout.parties.index(name)


def _run(
    settings: Settings, data: Data, what: str, key: str, public: dict, needs: Needs, said: Said
) -> dict[str, Ended]:
    """Run a program here or at the owners' workers, or find that it has been run: then there is a `done.json`."""
    # Two runs of other models or policies may need the same work: the second waits, and finds it done.
    with waiting(settings, key):
        return _found(settings, data, key) or _made(settings, data, what, key, public, needs, _of_all(said))


def _of_all(said: Said) -> Said:
    """Hand on what one owner reports, with the bytes that all who are heard here have sent by then."""
    sent: dict[str, int] = {}

    def report(party: str, event: dict) -> None:
        if "sent" in event:
            sent[party] = event["sent"]
            event = event | {"sent": sum(sent.values())}
        if "sent" not in event or party == next(iter(sent)):
            said(party, event)

    return report


def _found(settings: Settings, data: Data, key: str) -> dict[str, Ended] | None:
    """What an earlier run left, if all of it is there that lies on this machine."""
    done = _folder(settings, key) / "done.json"
    if not done.exists():
        return None
    found = {}
    for name, counts in json.loads(done.read_text()).items():
        folder = folder_of(root_of(settings, data, name), key, name)
        if not (folder / "result.json").exists():
            return None
        found[name] = Ended(name, folder, json.loads((folder / "result.json").read_text()), counts)
    return found


def _made(
    settings: Settings, data: Data, what: str, key: str, public: dict, needs: Needs, said: Said
) -> dict[str, Ended]:
    if data.get("parties"):
        ended = run_apart(settings, data, what, key, public, said, needs=needs)
    else:
        parts = {party_name(holding["owner"]): holding for holding in data["holdings"]}
        ended = run_parties(
            reference(PROGRAMS[what]),
            public,
            folder=_folder(settings, key),
            private={party: private_input(settings.root, party, part, key, needs) for party, part in parts.items()},
            analyst=list(parts)[public["analyst"]] if "analyst" in public else None,
            finished={party: finished_rounds(folder_of(settings.root, key, party) / "shares") for party in parts},
            on_progress=said,
        )
    done = _folder(settings, key) / "done.json"
    done.unlink(missing_ok=True)
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
