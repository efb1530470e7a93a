"""Owners computing together: matching their rows, training on shares, scoring held-out rows.

Each is a run of processes, one an owner and one the dealer, which see their own part and what protocols send them. This
module sees what is public, and what the analyst receives, for the pipeline is the analyst: the opened model, and the
margins, labels and groups of held-out rows. What was done is found again by the digest of all it depended on, and a
training that was interrupted goes on from the last tree all owners have finished.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xgboost

from components.boosting.document import class_order
from components.boosting.model import from_document
from components.boosting.modes import TrainingRecord
from components.boosting.parameters import BoostingParameters
from components.boosting.secret_shared import LEAKAGE, Agreement
from components.boosting.secret_shared.agreement import require_trainable
from components.boosting.secret_shared.layout import Layout, layout_of
from components.boosting.secret_shared.programs import agreed_rows, training_agreement
from components.boosting.secret_shared.stored import finished_rounds
from components.boosting.secret_shared.view import histogram_modes
from components.data.predictions import Predictions
from components.data.schema import Schema
from components.data.split import PARTS
from components.data.table import GroupColumn
from components.errors import InvalidInput
from components.mpc.hello import PROTOCOL
from components.mpc.launch import Ended, run_parties
from components.mpc.programs import reference
from components.mpc.quantile import PER_BIN
from components.secret_file import create_once
from tasks.apart import analyst_of, root_of, run_apart
from tasks.holdings import schema_of
from tasks.locks import waiting
from tasks.own_part import PROGRAMS, Needs, folder_of, private_input, require_kept
from tasks.progress import reporter
from tasks.references import Data
from tasks.settings import Settings
from tasks.stage import logger

MAX_BIN = 32
"""Bins of a numeric feature where none are asked for; every bin is a candidate that costs a division on shares."""

AGREEMENT = "agreement.json"
"""What is public of a training, and the tag of the shares it left, for whoever scores the model."""

Said = Callable[[str, dict], None]


@dataclass(frozen=True)
class Matched:
    """Rows matched by person: where each owner keeps its side, and what became public."""

    key: str
    schema: Schema
    layout: Layout
    documents: Mapping[str, dict]

    @property
    def token(self) -> str:
        """What names this matching at all owners."""
        return self.documents[self.layout.parties[0]]["token"]

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
    divided = {list(schema.features)[position] for position in layout.cut_together(schema)}
    rows = max((holding["rows"] for holding in data["holdings"] if divided & set(holding["columns"])), default=0)
    training = int(rows * data["split"]["shares"][0])
    if divided and max_bin * PER_BIN > training:
        most = training // PER_BIN
        raise InvalidInput(
            f"max_bin is {max_bin}, and of owners of the same columns none has more than {training:,} rows or so to "
            f"train on; their cut points would name one value in {PER_BIN} or more, "
            + (f"ask for at most {most} bins (max_bin)" if most > 1 else "bring more rows")
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
    if without := _without_cuts(agreement):
        logger().warning(
            "features without a cut point: %s; they have one value, or no owner has %d training values a bin (max_bin)",
            ", ".join(without),
            PER_BIN,
        )
    analyst = _analyst(data, matched)
    public = _public(data, matched.schema) | {"training": agreement.model_dump(mode="json"), "analyst": analyst}
    # The agreement names the matching: another puts rows in another order, to which earlier shares do not belong.
    key = f"train-{_digest({**public, 'matched': matched.key})}"
    ended = _run(settings, data, "train", key, public, Needs(matched=matched.key), said)
    document = ended[matched.layout.parties[analyst]].document
    known = {"matched": matched.key, "training": public["training"], "tag": document["tag"]}
    _keep(_folder(settings, key) / AGREEMENT, known)
    booster = from_document(json.loads(document["model"]))
    booster.set_attr(classes=class_order(matched.schema.label))
    return booster, _record(matched, agreement, ended), key


def require_scorable(settings: Settings, data: Data, keys: Sequence[str]) -> None:
    """See, before anything is computed, that the owners of these data can score models found by their keys.

    Whether owners on other machines still have their shares shows when they are asked to score.

    Raises
    ------
    InvalidInput
        A model is not known here, lies in shares with others, was trained on columns that others held, or an owner on
        this machine has lost its shares.
    """
    schema = schema_of(data)
    layout = layout_of(_public(data, schema)["columns"], schema)
    for key in keys:
        known = _agreement(settings, key)
        _require_same_owners(key, Agreement.model_validate(known["training"]), layout)
        for party in [analyst_of(data)] if data.get("parties") else layout.parties:
            require_kept(root_of(settings, data, party), party, Needs(models=[(key, known["matched"])]))


def score_held_out(settings: Settings, data: Data, keys: list[str], max_bin: int, said: Said) -> HeldOut:
    """Margins of the held-out rows under models found by their keys, for the analyst to judge.

    Raises
    ------
    InvalidInput
        An owner has no shares of a model, as `require_scorable` says.
    """
    require_scorable(settings, data, keys)
    matched = match_rows(settings, data, max_bin)
    trained = [_agreement(settings, key) for key in keys]
    analyst = _analyst(data, matched)
    public = _public(data, matched.schema) | {
        "rows": matched.rows,
        "levels": matched.levels,
        "matching": matched.token,
        "models": [{name: one[name] for name in ("training", "tag")} for one in trained],
        "analyst": analyst,
    }
    key = f"score-{_digest({**public, 'matched': matched.key, 'keys': keys})}"
    needs = Needs(matched=matched.key, models=[(name, one["matched"]) for name, one in zip(keys, trained, strict=True)])
    opened = _run(settings, data, "score", key, public, needs, said)[matched.layout.parties[analyst]]
    logger().info("scored held-out rows in %.1f s, models: %d", opened.document["seconds"]["score"], len(keys))
    return _held_out(matched, keys, opened.arrays())


def _require_same_owners(key: str, trained: Agreement, layout: Layout) -> None:
    """Only the owners who hold shares of a model, each with the columns it was trained on, can score with it."""
    if trained.parties != layout.parties:
        raise InvalidInput(
            f"the model trained as {key} lies in shares with {', '.join(trained.parties)}; {', '.join(layout.parties)} "
            "cannot score it, deal the rows to the same owners or start anew under another model name (--model)"
        )
    for position, feature in enumerate(trained.features):
        held = {trained.parties[block.owner] for block in trained.blocks if position in block.features}
        if held != set(layout.holders(feature.name)):
            raise InvalidInput(
                f"feature '{feature.name}' of the model trained as {key} was held by {', '.join(sorted(held))} and is "
                f"by {', '.join(layout.holders(feature.name))} now; start anew under another model name (--model)"
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
    first, without = matched.layout.parties[0], _without_cuts(agreement)
    document = ended[first].document
    seconds = matched.documents[first]["seconds"] | document["seconds"]
    return TrainingRecord(
        mode="secret_shared",
        seed=agreement.parameters.seed,
        rounds=agreement.parameters.rounds,
        rows=agreement.rows,
        seconds=seconds["train"],
        bytes=sum(one["sent"] for one in owners),
        declared_leakage=LEAKAGE,
        parameters=agreement.parameters.model_dump()
        | {"histograms": histogram_modes(agreement)}
        | ({"features_without_cuts": without} if without else {}),
        costs={
            "owners": len(owners),
            # Of trees up to this one the costs are not known: an earlier try grew them, and failed.
            "resumed_from": document["resumed_from"],
            "message_rounds": owners[0]["rounds"],
            "bytes_dealt": sum(one["dealt"] for one in owners),
            "cpu_seconds": round(sum(one["cpu_seconds"] for one in counts.values()), 2),
            "peak_bytes": max(one["peak_bytes"] for one in counts.values()),
            **{f"seconds_{phase}": round(taken, 6) for phase, taken in seconds.items()},
        },
    )


def _without_cuts(agreement: Agreement) -> list[str]:
    """Numeric features of one bin, which can part rows by what is missing alone."""
    return [feature.name for feature in agreement.features if feature.kind == "numeric" and feature.bins == 1]


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
    # From here on owners replace what an earlier run left, which others' would no longer go with.
    done = _folder(settings, key) / "done.json"
    done.unlink(missing_ok=True)
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
    _keep(done, {name: dict(one.counts) for name, one in ended.items()})
    return ended


def _agreement(settings: Settings, key: str) -> dict:
    path = _folder(settings, key) / AGREEMENT
    known = json.loads(path.read_text()) if path.exists() else {}
    if "tag" not in known:
        raise InvalidInput(
            f"nothing is known here of the model trained as {key}, so held-out rows cannot be scored by it; restore "
            f"{path.parent}, or start anew under another model name (--model)"
        )
    return known


def _keep(path: Path, document: dict) -> None:
    """Write what a later run is to find, in place of what an earlier one left."""
    content = json.dumps(document).encode()
    if path.exists() and path.read_bytes() != content:
        path.unlink()
    create_once(path, content)


def _folder(settings: Settings, key: str) -> Path:
    return settings.root / "together" / key


def _digest(document: dict) -> str:
    # What another version left is not gone on from.
    return hashlib.sha256(json.dumps([PROTOCOL, document], sort_keys=True).encode()).hexdigest()[:20]
