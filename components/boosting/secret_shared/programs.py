"""The three things owners do together, each a program that their processes run: match rows, train, score held-out rows.

Each begins with an agreement that is public and ends with a document that is public; arrays stay in the party's own
folder. What the analyst receives (the model, the margins and labels of held-out rows) lies in the analyst's folder.
"""

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from components.boosting.label_range import label_range
from components.boosting.secret_shared.agreement import Agreement
from components.boosting.secret_shared.layout import Layout, agreement_of, layout_of
from components.boosting.secret_shared.matched import cuts_of, held_out_rows, read_matched, require_matching, rows_of
from components.boosting.secret_shared.objective import in_label_units
from components.boosting.secret_shared.opened import open_model
from components.boosting.secret_shared.predict import predict_margins
from components.boosting.secret_shared.prepare import (
    feature_shapes,
    holding_of,
    own_cuts,
    parts_of,
    pseudonyms,
    values_of,
)
from components.boosting.secret_shared.splits import columns_of
from components.boosting.secret_shared.stored import (
    ModelShape,
    finished_rounds,
    keep_round,
    require_model,
    restored,
    stored_model,
)
from components.boosting.secret_shared.train import train
from components.boosting.secret_shared.view import Holding, Rows
from components.data.schema import Schema
from components.data.split import PARTS
from components.data.table import Table
from components.errors import InvalidInput
from components.mpc.engine import Engine
from components.mpc.intersection import Exchange, common_rows
from components.mpc.programs import Task, program
from components.mpc.quantile import PER_BIN, secure_cuts
from components.mpc.randomness import Keystream, fresh_key
from components.mpc.shared import concatenate
from components.partition import HoldingRecord, read_holding
from components.secret_file import create_once

MOST_ROWS = 2**24
"""Public bound of the rows whose ranks are compared."""


@program
def match(engine: Engine, task: Task) -> dict:
    """Match rows by person, divide them into parts, and agree on cut points.

    Agreement: `schema` (JSON text), `columns` of each party, `split`, `max_bin`. Private: the party's holding.
    The document says how many rows each part has in each group, and each feature's number of cuts; its token names this
    matching, and is the same at all who took part in it.
    """
    schema, layout = _public(task.agreement)
    _require_own_number(engine, layout, task.name)
    started = time.perf_counter()
    if engine.deals:
        part, parts, orders = None, None, []
    else:
        part = _own(task, schema)
        task.report(step=0, steps=2, note="finding persons in common")
        orders = _orders(engine, layout, task.name, part)
        task.report(step=1, steps=2, note="finding cut points")
        parts = parts_of(part, orders, task.agreement["split"])
    cuts = {} if part is None else own_cuts(part, layout, task.name, _joined(parts["train"]), task.agreement["max_bin"])
    cuts |= _divided_cuts(engine, layout, schema, task, part, parts)
    if part is None:
        return {}
    task.report(step=2, steps=2, note="")
    arrays = {f"{name}_{place}": rows for name in PARTS for place, rows in enumerate(parts[name])}
    held = layout.features(schema, task.name)
    everything = _joined([rows for name in PARTS for rows in parts[name]])
    document = {
        "rows": {name: {group: len(rows) for group, rows in zip(_groups(layout, task.name), parts[name], strict=True)}
                 for name in PARTS},
        "cuts": {str(feature): len(points) for feature, points in cuts.items()},
        "may_miss": {str(feature): bool(np.isnan(values_of(part, feature)[everything]).any()) for feature in held},
        "levels": {name: list(part.groups[name].levels) for name in _own_groups(part, layout, task.name)},
    }  # fmt: skip
    document |= {"token": task.tag, "seconds": {"match": time.perf_counter() - started}}
    training = _joined(parts["train"])
    if schema.label.column in layout.columns[task.name] and schema.label.kind == "regression" and len(training):
        document["label_range"] = label_range(part.labels[training])
    return arrays | {f"cuts_{feature}": points for feature, points in cuts.items()} | document


@program
def train_together(engine: Engine, task: Task) -> dict:
    """Train, and open the model to the analyst.

    Agreement: as for `match`, and `training` (an `Agreement`), `analyst`. Private: the holding, the folder of `match`'s
    result, and the folder where shares are kept. The document's tag names the model, and is the same at all owners.
    """
    (schema, layout), analyst = _public(task.agreement), _analyst(task)
    _require_own_number(engine, layout, task.name)
    agreement = Agreement.model_validate(task.agreement["training"])
    holding, shares = Holding(), Path()
    if not engine.deals:
        private = json.loads(task.private.read_text())
        require_matching(task.name, Path(private["matched"]), agreement.matching)
        matched, shares = read_matched(Path(private["matched"])), Path(private["shares"])
        part, rows = _own(task, schema), rows_of(matched, "train")
        holding = holding_of(agreement, layout, task.name, part, rows, cuts_of(matched))
    seconds: dict[str, float] = {}
    started = time.perf_counter()
    model = train(
        engine,
        agreement,
        holding,
        start=restored(engine, shares, task.resume_from, model_shape(agreement)),
        report=lambda number, level: task.report(tree=number + 1, level=level + 1),
        keep=lambda finished, state: None if engine.deals else keep_round(shares, finished, state, task.tag),
    )
    seconds["train"] = time.perf_counter() - started
    opened = open_model(engine, agreement, model, analyst)
    seconds["open"] = time.perf_counter() - started - seconds["train"]
    if engine.deals:
        return {}
    tag = finished_rounds(shares)[agreement.parameters.rounds]
    document = {"seconds": seconds, "resumed_from": task.resume_from, "tag": tag}
    if opened is None:
        return document
    # Nobody else waits for XGBoost to be imported.
    from components.boosting.secret_shared.booster import to_booster

    return document | {"model": bytes(to_booster(agreement, opened).save_raw("json")).decode()}


@program
def score(engine: Engine, task: Task) -> dict:
    """Margins of held-out rows under one or more shared models, to the analyst, with their labels and groups.

    Agreement: as for `match`, and `rows` (part → group → count), the `matching` they are of, `models` (`training` and
    `tag` of each), `levels` of groups, `analyst`. Private: the holding, the folder of `match`'s result, and for each
    model the folder of its shares and of the cut points it was trained with.
    """
    (schema, layout), analyst, arrays = _public(task.agreement), _analyst(task), {}
    _require_own_number(engine, layout, task.name)
    models = [Agreement.model_validate(one["training"]) for one in task.agreement["models"]]
    private, part, rows, started = None, None, None, time.perf_counter()
    if not engine.deals:
        private = json.loads(task.private.read_text())
        require_matching(task.name, Path(private["matched"]), task.agreement["matching"])
        for trained, kept, one in zip(models, private["models"], task.agreement["models"], strict=True):
            require_model(task.name, Path(kept["shares"]), trained.parameters.rounds, one["tag"])
        part, rows = _own(task, schema), held_out_rows(read_matched(Path(private["matched"])))
    for number, trained in enumerate(models):
        agreement = held_out_agreement(schema, layout, trained, task.agreement["rows"])
        holding, shares = Holding(), Path()
        if part is not None:
            shares = Path(private["models"][number]["shares"])
            cuts = cuts_of(read_matched(Path(private["models"][number]["matched"])))
            holding = holding_of(agreement, layout, task.name, part, rows, cuts)
        model = stored_model(engine, shares, trained.parameters.rounds, model_shape(trained))
        margins = predict_margins(agreement, Rows(engine, agreement, holding), model)
        revealed = engine.reveal("margins", margins, to=analyst)
        arrays[f"margins_{number}"] = None if revealed is None else in_label_units(agreement, revealed)
        task.report(model=number + 1, models=len(models))
    arrays |= _described(engine, task, schema, layout, part, rows, analyst)
    seconds = {"seconds": {"score": time.perf_counter() - started}}
    return seconds | {name: values for name, values in arrays.items() if values is not None}


def held_out_agreement(schema: Schema, layout: Layout, trained: Agreement, rows: Mapping) -> Agreement:
    """The agreement on held-out rows for a model's features: selection rows, then gate rows, group by group."""
    counts = [rows["selection"][group[0]] + rows["gate"][group[0]] for group in layout.groups]
    return agreement_of(schema, layout, counts, trained.features, trained.parameters, trained.label_range)


def model_shape(agreement: Agreement) -> ModelShape:
    """The sizes of a model's stored arrays."""
    return ModelShape(agreement.outputs, agreement.parameters.max_depth, len(columns_of(agreement)), agreement.rows)


def training_agreement(schema: Schema, layout: Layout, documents: Mapping[str, dict], parameters) -> Agreement:
    """The training agreement from what every party's `match` made public.

    Raises
    ------
    InvalidInput
        Parties were in different matchings, those of a group speak of different numbers of rows, or nobody has any to
        train on.
    """
    tokens = {party: documents[party]["token"] for party in layout.parties}
    if len(set(tokens.values())) > 1:
        told = ", ".join(f"{party} {token}" for party, token in tokens.items())
        raise InvalidInput(
            f"the owners' rows are of different matchings ({told}); remove what was matched from together in the home "
            "of the pipeline, and rows are matched anew"
        )
    rows = [agreed_rows(documents, group)["train"] for group in layout.groups]
    if not any(rows):
        raise InvalidInput(
            f"{', '.join(layout.parties)} have no rows in common to train on; look whether all spell persons "
            f"('{schema.person}') alike"
        )
    cuts, may_miss, ranges = {}, {}, []
    for document in documents.values():
        cuts |= {int(feature): count for feature, count in document["cuts"].items()}
        for feature, missing in document["may_miss"].items():
            may_miss[int(feature)] = may_miss.get(int(feature), False) or missing
        ranges += [document["label_range"]] if "label_range" in document else []
    shapes = feature_shapes(schema, cuts, may_miss)
    if not any(shape.bins > 1 or shape.may_miss for shape in shapes):
        raise InvalidInput(
            f"no feature has two values or more that could part rows; cut points of a feature that several owners hold "
            f"take {PER_BIN} training rows a bin at one of them, lower max_bin (now {parameters.max_bin}; owners on "
            "machines of their own agree to another by removing agreed_bins.json from their stores)"
        )
    span = (min(low for low, _ in ranges), max(high for _, high in ranges)) if ranges else (0.0, 1.0)
    agreed = agreement_of(schema, layout, rows, shapes, parameters, span)
    return agreed.model_copy(update={"matching": tokens[layout.parties[0]]})


def agreed_rows(documents: Mapping[str, dict], group: tuple[str, ...]) -> dict[str, int]:
    """Rows of each part in a group, on which its parties must agree."""
    said = {party: {name: documents[party]["rows"][name][group[0]] for name in PARTS} for party in group}
    first = said[group[0]]
    for party, counts in said.items():
        if counts != first:
            raise InvalidInput(
                f"party '{party}' matched {counts} rows, party '{group[0]}' {first}; "
                "both must hold the same keys for the same persons"
            )
    return first


def _public(agreement: Mapping) -> tuple[Schema, Layout]:
    schema = Schema.model_validate_json(agreement["schema"])
    return schema, layout_of(agreement["columns"], schema)


def _analyst(task: Task) -> int:
    """To whom results are opened: to nobody but whom this member's own parties.yaml names, whatever a job says."""
    if task.agreement["analyst"] != task.analyst:
        raise InvalidInput(
            f"results are to be opened to owner number {task.agreement['analyst']}, and by its own parties.yaml "
            f"'{task.name}' opens them to number {task.analyst} alone (analyst); all need the same parties.yaml"
        )
    return task.analyst


def _own(task: Task, schema: Schema) -> Table:
    holding = json.loads(task.private.read_text())["holding"]
    record = HoldingRecord(**{**holding, "path": Path(holding["path"]), "columns": tuple(holding["columns"])})
    return read_holding(record, schema)


def _require_own_number(engine: Engine, layout: Layout, name: str) -> None:
    """Parties are numbered by parties.yaml and by the agreement's columns, whose order nobody compares."""
    if not engine.deals and layout.parties[engine.party] != name:
        raise InvalidInput(
            f"owner '{name}' is number {engine.party} of parties.yaml, and the agreement has its columns in the order "
            f"{', '.join(layout.parties)}; ask with the owners in the order of parties.yaml"
        )


def _groups(layout: Layout, party: str) -> list[str]:
    """The groups a party is in, each named by its first member."""
    return [group[0] for group in layout.groups if party in group]


def _orders(engine: Engine, layout: Layout, party: str, part: Table) -> list[np.ndarray]:
    """The party's rows in each group's common order; alone in a group, they keep their own."""
    orders = []
    for group in layout.groups:
        if len(group) == 1:
            # In no order that anybody else knows.
            orders += [Keystream(fresh_key()).permutation(len(part)).astype(np.int64)] if party in group else []
            continue
        if party in group:
            members = [layout.parties.index(member) for member in group]
            orders.append(common_rows(part.row_ids, group.index(party), len(group), _among(engine, members)))
            # Shown under everybody's keys, by no `reveal`.
            engine.revealed["ids"] += len(part)
    return orders


def _among(engine: Engine, members: list[int]) -> Exchange:
    """Rounds between some of the parties, who number themselves 0, 1, …"""

    def exchange(site, outgoing, incoming):
        received = engine.network.round(
            site,
            {members[peer]: content for peer, content in outgoing.items()},
            {members[peer]: size for peer, size in incoming.items()},
        )
        return {members.index(peer): content for peer, content in received.items()}

    return exchange


def _divided_cuts(engine: Engine, layout: Layout, schema: Schema, task: Task, part, parts) -> dict[int, np.ndarray]:
    features = layout.cut_together(schema)
    if not features:
        return {}
    own = part is not None and set(features) <= set(layout.features(schema, task.name))
    rows = _joined(parts["train"]) if own else None
    columns = [values_of(part, feature)[rows] if own else None for feature in features]
    found = secure_cuts(engine, columns, task.agreement["max_bin"], MOST_ROWS)
    return dict(zip(features, found, strict=True)) if own else {}


def _own_groups(part: Table, layout: Layout, party: str) -> list[str]:
    return [name for name, group in part.schema.groups.items() if group.column in layout.columns[party]]


def _joined(rows: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.empty(0, dtype=np.int64), *rows]).astype(np.int64)


def _described(engine, task, schema, layout, part, rows, analyst) -> dict[str, np.ndarray | None]:
    """Labels, group codes and pseudonyms of held-out rows, to the analyst: (n,) each, pseudonyms (2, n)."""
    wanted = {"label": schema.label.column} | {f"group_{name}": group.column for name, group in schema.groups.items()}
    found = {}
    counts = [task.agreement["rows"]["selection"][g[0]] + task.agreement["rows"]["gate"][g[0]] for g in layout.groups]
    mine = iter(rows or ())
    own_rows = {group[0]: next(mine) for group in layout.groups if task.name in group}
    for name, column in {**wanted, "pseudonyms": None}.items():
        pieces = []
        for group, count in zip(layout.groups, counts, strict=True):
            holder = group[0] if column is None else next(m for m in group if column in layout.columns[m])
            shape = (2 if name in ("label", "pseudonyms") else 1, count)
            values = None
            if task.name == holder:
                values = _values(task, part, name, own_rows[group[0]]).reshape(shape)
            pieces.append(engine.share(layout.parties.index(holder), values, shape, 0))
        found[name] = engine.reveal(name, concatenate(pieces, axis=1), to=analyst)
    if found["label"] is not None:
        found["label"] = np.ascontiguousarray(found["label"].T).astype(np.uint32).view(np.float64).T
    return found


def _values(task: Task, part: Table, name: str, rows: np.ndarray) -> np.ndarray:
    if name == "pseudonyms":
        path = Path(json.loads(task.private.read_text())["pseudonym_key"])
        create_once(path, os.urandom(32))
        return pseudonyms(part.row_ids[rows], path.read_bytes())
    if name == "label":
        # Its two halves as whole numbers: exact, and however far a held-out label is from those trained on.
        return part.labels[rows].astype(np.float64).reshape(-1, 1).view(np.uint32).T
    group = part.groups[name.removeprefix("group_")]
    order = np.array([task.agreement["levels"][name.removeprefix("group_")].index(level) for level in group.levels])
    return order[group.codes[rows]].astype(np.float64)
