"""Owners and an aggregator: training on sums under masks, and scores that owners compute where their rows are.

Each is a run of processes, one an owner, on this machine or on the owners' own, which read their own part and nothing
else. What was trained is found again by the digest of all it depended on, and a training that was interrupted goes on
from its last round.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import xgboost

from components.boosting.federated import Agreement, SumNoise, leakage_of
from components.boosting.federated.agreement import ROWS_A_BIN
from components.boosting.federated.launch import AGGREGATOR, grow_here, rate_here
from components.boosting.federated.noise import counted_parts
from components.boosting.federated.rating import MODELS
from components.boosting.model import from_document, to_document
from components.boosting.modes import TrainingRecord
from components.boosting.parameters import MAX_BIN, BoostingParameters
from components.data.predictions import Predictions
from components.data.schema import Schema
from components.data.table import GroupColumn
from components.errors import InvalidInput
from components.federated import least_survivors
from components.federated.selection import Selection
from components.mpc.launch import Ended
from components.partition import ByColumn, Crowd, PartitionPlan
from components.secret_file import create_once
from tasks.apart import aggregator_of, analyst_of, root_of, run_apart
from tasks.holdings import schema_of
from tasks.inputs import RandHie, Source, declared_schema
from tasks.locks import waiting
from tasks.own_part import Needs, folder_of, private_input
from tasks.partition import default_plan
from tasks.references import Data
from tasks.settings import Settings
from tasks.stage import logger
from tasks.together import party_name

Said = Callable[[str, dict], None]

ROUNDS, LOSSES = "rounds.json", "losses.json"
"""The stage's records of every round, and of who was lost or left out."""

MOST_TOLD = 20
"""Losses that the log names."""

_HERE = {"grow": grow_here, "rate": rate_here}


@dataclass(frozen=True)
class Happened:
    """What happened in a training: each round, and who was lost or left out at which step and why, as JSON."""

    rounds: list[dict]
    losses: list[dict]


@dataclass(frozen=True)
class AtOwners:
    """Held-out rows of all owners as the analyst gets them: predictions by model, and which are selection rows (n,)."""

    predictions: Mapping[str, Predictions]
    selection: np.ndarray


def train_with_aggregator(
    settings: Settings,
    data: Data,
    parameters: BoostingParameters,
    selection: Selection | None,
    noise: SumNoise | None,
    said: Said,
) -> tuple[xgboost.Booster, TrainingRecord, Happened]:
    """Train on the owners' training rows; the model, its record, and what happened.

    Raises
    ------
    InvalidInput
        Owners do not all hold every column, there is only one, more are to be selected than there are, or noise would
        leave nothing to be learnt.
    """
    _require_rows_dealt(data)
    owners = len(data["holdings"])
    if selection and selection.owners > owners:
        raise InvalidInput(
            f"selection asks for {selection.owners} owners a round and there are {owners}; ask for fewer"
        )
    parameters = with_bins_for(data, parameters)
    parts = counted_parts(selection.owners if selection else owners, members=owners, threshold=least_survivors(owners))
    agreement = agreement_of(data, parameters, selection, noise, contributors=parts)
    agreement.require_possible()
    public = _public(data) | {
        "parameters": parameters.model_dump(mode="json"),
        "selection": selection and selection.model_dump(mode="json"),
        "noise": noise and noise.model_dump(mode="json"),
    }
    key = f"grow-{digest_of([public, sorted(holding['digest'] for holding in data['holdings'])])}"
    folder = settings.root / "together" / key
    with waiting(settings, key):
        done = folder / "done.json"
        if not done.exists():
            ended = _run(settings, data, "grow", key, public, said)
            create_once(done, json.dumps(_told(data, ended)).encode())
        told = json.loads(done.read_text())
    happened = happened_in(told, asks_all=selection is None)
    return from_document(json.loads(told["model"])), record_of(agreement, told), happened


def happened_in(told: Mapping, *, asks_all: bool) -> Happened:
    """What happened in a training; who was lost or left out, and why, is said to whoever follows the run too."""
    losses = told["losses"]
    for one in losses[:MOST_TOLD]:
        logger().warning("%s was lost when asked to %s: %s", one["name"], one["step"], one["sentence"])
    if len(losses) > MOST_TOLD:
        logger().warning("and %d times more; %s has all", len(losses) - MOST_TOLD, LOSSES)
    rounds = told["rounds"]
    for name in sorted({one["name"] for one in losses[:MOST_TOLD]}) if asks_all else ():
        if (there := sum(name in one["members"] for one in rounds)) < len(rounds):
            logger().warning("the model was grown with %s in %d of %d rounds", name, there, len(rounds))
    return Happened(told["rounds"], losses)


def with_bins_for(data: Data, parameters: BoostingParameters, *, usual: int = MAX_BIN) -> BoostingParameters:
    """The parameters; with the usual bins where nobody asked for a number, or fewer where rows are too few for them.

    How many rows owners train on is only known once they have divided them, so a tenth is left over.
    """
    training = sum(holding["rows"] for holding in data["holdings"]) * data["split"]["shares"][0]
    most = int(0.9 * training / ROWS_A_BIN)
    if parameters.max_bin is not None:
        return parameters
    if 2 <= most < usual:
        logger().info("rows are few: features are cut into %d bins, not %d, as max_bin is not set", most, usual)
        return parameters.model_copy(update={"max_bin": most})
    return parameters if usual == MAX_BIN else parameters.model_copy(update={"max_bin": usual})


def agreement_of(
    data: Data,
    parameters: BoostingParameters,
    selection: Selection | None,
    noise: SumNoise | None,
    *,
    contributors: int,
) -> Agreement:
    """What all owners of the data must have alike."""
    agreement = Agreement(
        schema_text=data["schema"],
        salt=data["split"]["salt"],
        shares=tuple(data["split"]["shares"]),
        parameters=parameters,
        selection=selection,
        noise=noise,
        contributors=contributors,
    )
    # Refused here where nothing could be learnt under the noise, before anybody is asked for anything.
    _ = agreement.noise_plan
    return agreement


def without_owners_column(source: Source, mode: str, plan: PartitionPlan | None) -> Source:
    """The source, without a feature whose values are the owners: it would give each owner's sums slots of their own.

    Raises
    ------
    InvalidInput
        The caller's own schema has such a feature.
    """
    if mode != "federated":
        return source
    by = (plan or default_plan(source)) if isinstance(source, RandHie) else plan
    match source, by:
        case RandHie(site=True), ByColumn(column="site"):
            logger().info("owners are the sites, so 'site' is no feature: its sums would be single owners'")
            return source.model_copy(update={"site": False})
        case _, ByColumn(column=column) if column in declared_schema(source).features:
            raise InvalidInput(
                f"rows are dealt by '{column}', which is a feature too, and in mode federated sums over its values "
                f"would be single owners'; take '{column}' out of the schema's features, or deal rows otherwise "
                "(such as --partition even:3)"
            )
    return source


def score_at_owners(settings: Settings, data: Data, models: Mapping[str, xgboost.Booster], said: Said) -> AtOwners:
    """Predictions of models (by name) on every owner's held-out rows, computed by the owner."""
    schema, texts = schema_of(data), [json.dumps(to_document(model)) for model in models.values()]
    public = _public(data)
    key = f"rate-{digest_of([public, sorted(holding['digest'] for holding in data['holdings']), texts])}"
    analyst = analyst_of(data) if data.get("parties") else next(iter(public["columns"]))
    with waiting(settings, key):
        asked = folder_of(root_of(settings, data, analyst), key, analyst) / MODELS
        asked.unlink(missing_ok=True)
        create_once(asked, json.dumps(texts).encode())
        ended = _run(settings, data, "rate", key, public, said)[analyst]
        arrays, levels = ended.arrays(), ended.document["levels"]
    rows = _rows(schema, arrays, levels)
    return AtOwners(
        {name: replace(rows, scores=_joined(arrays, f"scores_{number}")) for number, name in enumerate(models)},
        _joined(arrays, "selection"),
    )


def _run(settings: Settings, data: Data, what: str, key: str, public: dict, said: Said) -> dict[str, Ended]:
    """Run a program here, or at the owners' workers."""
    if data.get("parties"):
        return run_apart(settings, data, what, key, public, said)
    private = {
        party_name(holding["owner"]): private_input(settings.root, party_name(holding["owner"]), holding, key, Needs())
        for holding in data["holdings"]
    }
    return _HERE[what](public, folder=settings.root / "together" / key, private=private, on_progress=said)


def _public(data: Data) -> dict:
    """What every program's agreement begins with."""
    columns: dict[str, list[str]] = {}
    for holding in data["holdings"]:
        name = party_name(holding["owner"])
        if name in (AGGREGATOR, *columns):
            raise InvalidInput(f"owner '{holding['owner']}' cannot be told apart from '{name}'; rename it")
        columns[name] = holding["columns"]
    return {"schema": data["schema"], "columns": columns, "split": data["split"]}


def digest_of(document: list) -> str:
    """Names what follows from a document."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:20]


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


def _told(data: Data, ended: Mapping[str, Ended]) -> dict:
    """What is kept of a training: the aggregator's record, and the model as this machine knows it."""
    apart = bool(data.get("parties"))
    aggregator, knows = (aggregator_of(data), analyst_of(data)) if apart else (AGGREGATOR, AGGREGATOR)
    counts = {name: {what: one.counts[what] for what in ("cpu_seconds", "peak_bytes", "seconds")}
              for name, one in ended.items()}  # fmt: skip
    return {**ended[aggregator].document, "model": ended[knows].document["model"], "counts": counts}


def record_of(agreement: Agreement, told: Mapping, *, crowd: Crowd | None = None) -> TrainingRecord:
    """The record of a training, from its rounds and what each process counted of itself.

    `rows` are the most training rows that were in one round; bytes are all that passed.
    """
    rounds, counts, noise = told["rounds"], told["counts"], told.get("noise")
    return TrainingRecord(
        mode="federated",
        seed=agreement.parameters.seed,
        rounds=len(rounds),
        rows=max((one["rows"] for one in rounds), default=0),
        seconds=told.get("beside_seconds", 0.0) + sum(one["seconds"] for one in rounds),
        bytes=told["beside"] + sum(one["received"] + one["sent"] for one in rounds),
        declared_leakage=leakage_of(agreement, crowd=crowd is not None),
        parameters=agreement.parameters.model_dump()
        | {"max_bin": agreement.max_bin}
        | ({"selection": agreement.selection.model_dump()} if agreement.selection else {})
        | ({"noise": noise} if noise else {})
        | ({"simulated": True, "masks": crowd.masks} if crowd else {}),
        costs={
            "owners": len(set().union(*(one["members"] for one in rounds))),
            "owners_lost": len({one["name"] for one in told["losses"]}.union(*(one["lost"] for one in rounds))),
            "trees_cut_short": sum(one["cut_short"] for one in rounds),
            "cut_points_cut_short": int(told["cut_points_short"]),
            "shares_disputed": sum(len(one["disputed"]) for one in rounds),
            **({name: noise[name] for name in ("epsilon", "delta")} if noise else {}),
            "cpu_seconds": round(sum(one["cpu_seconds"] for one in counts.values()), 2),
            "peak_bytes": max(one["peak_bytes"] for one in counts.values()),
        },
    )


def _rows(schema: Schema, arrays: Mapping[str, np.ndarray], levels: Sequence[Mapping]) -> Predictions:
    """All owners' held-out rows under their pseudonyms, one owner after the other, without scores."""
    names = np.array([row.tobytes().hex() for row in _joined(arrays, "rows")], dtype=str)
    groups = {name: _group(name, arrays, [one[name] for one in levels]) for name in schema.groups}
    return Predictions(schema.label, names, _joined(arrays, "labels"), groups, np.empty(0))


def _joined(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    owners = sum(key.partition(":")[2] == name for key in arrays)
    return np.concatenate([arrays[f"{number}:{name}"] for number in range(owners)])


def _group(name: str, arrays: Mapping[str, np.ndarray], levels: Sequence[Sequence[str]]) -> GroupColumn:
    """A group over all owners: bands in their order, other levels sorted, as they are where rows are pooled."""
    longest, all_levels = max(levels, key=len), {one for own in levels for one in own}
    union = longest if all_levels == set(longest) else sorted(all_levels)
    codes = [
        np.array([union.index(level) for level in own], dtype=np.int32)[arrays[f"{number}:group_{name}"]]
        for number, own in enumerate(levels)
    ]
    return GroupColumn(np.concatenate(codes), tuple(union))
