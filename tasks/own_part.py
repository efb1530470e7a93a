"""What a party does on its own machine, whether the pipeline runs there or a worker was asked: announce, take part.

A request is public and chooses among five programs; it is held to what this machine has agreed to (`owner.yaml`,
`parties.yaml`) before anything of the owner's is touched. Everything private is put together here, from names that the
request gives, so that parties on one machine and on several find their parts and shares in the same way.
"""

import hashlib
import hmac
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from threading import Event
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from components.boosting.federated.launch import COMMAND as IN_FEDERATION
from components.boosting.federated.programs import agreement_by, grow
from components.boosting.federated.rating import rate
from components.boosting.federated.spending import spending_of
from components.boosting.secret_shared.layout import layout_of
from components.boosting.secret_shared.programs import match, score, train_together
from components.boosting.secret_shared.stored import finished_rounds
from components.data.part import inspect_part, read_part, require_declared_categories
from components.data.schema import Schema, read_schema
from components.data.split import PARTS, split_of
from components.data.table import Table
from components.errors import InvalidInput
from components.mpc.launch import COMMAND as IN_SESSION
from components.mpc.launch import Ended, run_party
from components.mpc.programs import Job, reference
from components.partition import HoldingRecord, write_holding
from components.secret_file import create_once
from tasks.member import Member, parties_of

PROGRAMS = {"match": match, "train": train_together, "score": score, "grow": grow, "rate": rate}
"""What can be asked for: the first three on shares, the others in a federation."""

FEDERATED = ("grow", "rate")

PUBLIC = ("rows", "cuts", "may_miss", "levels", "label_range", "token", "tag", "resumed_from", "seconds")
PUBLIC_OF_AGGREGATOR = ("rounds", "losses", "edges", "beside", "beside_seconds", "cut_points_short", "noise")
"""What a program's document may say to others; the model and what was scored are not among it."""

AGREED_SPLIT = "agreed_split.json"
"""In an owner's store: how persons were divided into training and held-out rows when they were first matched."""

AGREED_BINS = "agreed_bins.json"
"""Likewise: how many bins the values of owners of the same columns were cut into."""

NOISE_SPENT = "noise_spent.jsonl"
"""Likewise: what it has spent on noisy sums, all trainings together."""

Key = Annotated[str, Field(pattern=r"^(match|train|score|grow|rate)-[0-9a-f]{20}$")]
"""Names a folder, so it is held to its form."""


class _Public(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Needs(_Public):
    """Earlier results that a program starts from: the matched rows, and shared models with the rows they are of."""

    matched: Key | None = None
    models: tuple[tuple[Key, Key], ...] = ()


class Request(_Public):
    """What a member is asked to do; nothing in it is private."""

    what: Literal["announce", "match", "train", "score", "grow", "rate"]
    agreement_text: str = Field("{}", description="The same for all, JSON: schema, columns, split, sizes, parameters.")
    key: Key | None = Field(None, description="The run, by a digest of all it depends on.")
    part: str | None = Field(None, pattern=r"^[0-9a-f]{64}$", description="The owner's part, as it was announced.")
    needs: Needs = Needs()

    @cached_property
    def agreement(self) -> dict:
        """A document whose keys are in the order they were given in, which databases do not keep."""
        return json.loads(self.agreement_text)


class Refused(InvalidInput):
    """A refusal whose sentence is fit for others; `private` says more, to whoever sits at this machine."""

    def __init__(self, sentence: str, private: str = "") -> None:
        super().__init__(sentence)
        self.private = private or sentence


def folder_of(root: Path, key: str, party: str) -> Path:
    """Where a party keeps what it has of a run."""
    return root / "together" / key / party


def require_kept(root: Path, party: str, needs: Needs) -> None:
    """Refuse a party of this machine that has lost rows it matched, or has no shares of a model that is asked for."""
    for matched in filter(None, (needs.matched, *(rows for _, rows in needs.models))):
        if not (folder_of(root, matched, party) / "result.npz").exists():
            raise Refused(
                f"owner '{party}' no longer has the rows it matched as {matched}; restore its folder, or remove "
                f"together/{matched} in the home of the pipeline, and rows are matched anew"
            )
    for model, _ in needs.models:
        if not (folder_of(root, model, party) / "shares" / "base.npz").exists():
            raise Refused(
                f"owner '{party}' has no shares of the model trained as {model}, so it cannot help to score it; "
                "restore its folder, or start anew under another model name (--model)"
            )


def private_input(
    root: Path, party: str, holding: Mapping, key: str, needs: Needs, *, spending: Mapping | None = None
) -> Path:
    """Write a party's own input for a run: where its part is, and what else only it reads.

    Raises
    ------
    InvalidInput
        It has lost the rows it matched, or has no shares of a model that is asked for.
    """
    require_kept(root, party, needs)
    folder = folder_of(root, key, party)
    document = {
        "holding": {**holding, "path": str(holding["path"]), "columns": list(holding["columns"])},
        "spending": spending,
        "shares": str(folder / "shares"),
        "matched": needs.matched and str(folder_of(root, needs.matched, party)),
        "pseudonym_key": str(root / "owners" / party / "pseudonyms.key"),
        "models": [
            {"shares": str(folder_of(root, model, party) / "shares"), "matched": str(folder_of(root, matched, party))}
            for model, matched in needs.models
        ],
    }
    path = folder / "input.json"
    path.unlink(missing_ok=True)
    create_once(path, json.dumps(document).encode())
    return path


def announce(member: Member, request: Request) -> dict:
    """Read this owner's table, keep its part, and say what others may know of it: columns, counts, digest, newest time.

    Raises
    ------
    Refused
        The schema or the split is not the one this owner has agreed to, or its table does not fit the schema.
    """
    schema = _agreed_schema(member, request)
    _require_agreed_split(member, request)
    part = _part(member, schema)
    record = write_holding(member.store / "owners", member.name, part)
    digest = _public_digest(member, record.digest)
    # By its name alone: a store may be moved.
    noted = asdict(record) | {"path": record.path.name, "columns": list(record.columns)}
    create_once(_announced(member, digest), json.dumps(noted).encode())
    return {
        "columns": list(record.columns),
        "rows": len(part),
        "persons": len(np.unique(part.person)),
        "digest": digest,
        "through": _newest(part, request.agreement["split"]),
    }


def take_part(
    member: Member, request: Request, *, said: Callable[[str, dict], None] | None = None, stop: Event | None = None
) -> Ended:
    """Run this member of a program, others being started elsewhere; raises `Refused`, and what `run_party` does."""
    if request.key is None or request.key.partition("-")[0] != request.what:
        raise Refused(f"key {request.key} is none of a '{request.what}'")
    parties = parties_of(member)
    owns = member.name in parties.names
    analyst = request.agreement.get("analyst")
    if analyst is not None and analyst != parties.names.index(parties.analyst):
        raise Refused(
            f"party '{member.name}' opens models to '{parties.analyst}' alone; all need the same parties.yaml"
        )
    private = None
    if owns:
        schema = _agreed_schema(member, request)
        _require_agreed_split(member, request)
        cuts_values = request.what == "match" and layout_of(request.agreement["columns"], schema).cut_together(schema)
        if cuts_values:
            _require_agreed_bins(member, request)
        holding, spending = _holding(member, request), _noise_to_spend(member, request)
        private = private_input(member.store, member.name, holding, request.key, request.needs, spending=spending)
        create_once(member.store / AGREED_SPLIT, json.dumps(request.agreement["split"]).encode())
        if cuts_values:
            create_once(member.store / AGREED_BINS, json.dumps(request.agreement["max_bin"]).encode())
            _require_agreed_bins(member, request)
        # Of two first requests at once, one wrote it.
        _require_agreed_split(member, request)
    folder = folder_of(member.store, request.key, member.name)
    job = Job(
        program=reference(PROGRAMS[request.what]),
        parties=member.parties,
        name=member.name,
        agreement=request.agreement,
        private=private,
        folder=folder,
        finished=finished_rounds(folder / "shares"),
    )
    command = IN_FEDERATION if request.what in FEDERATED else IN_SESSION
    return run_party(job, on_progress=said, stop=stop, command=command)


def without_places(sentence: str, member: Member) -> str:
    """A sentence for others: without where things lie on this machine."""
    return sentence.replace(str(member.store), "its store").replace(str(member.parties.parent), "its parties")


def public_answer(request: Request, ended: Ended) -> dict:
    """What others may know of a run's end: the public part of its document, and its counts."""
    public = PUBLIC_OF_AGGREGATOR if request.what in FEDERATED else PUBLIC
    document = {name: value for name, value in ended.document.items() if name in public}
    return {"document": document, "counts": dict(ended.counts)}


def part_of(member: Member) -> Table | None:
    """This owner's part of the table; None for the dealer. Its errors hold values and are for this machine alone.

    Raises
    ------
    InvalidInput
        The table does not fit the owner's schema, or that leaves categories open.
    """
    if member.table is None:
        return None
    schema = read_schema(member.schema_file)
    require_declared_categories(schema)
    return read_part(member.table, schema)


def _agreed_schema(member: Member, request: Request) -> Schema:
    schema = read_schema(member.schema_file)
    require_declared_categories(schema)
    if schema.model_dump_json() != request.agreement.get("schema"):
        raise Refused(
            f"owner '{member.name}' has another schema than the one asked for ('{schema.name}' is its own); "
            "all owners and the pipeline need the same file",
        )
    return schema


def _require_agreed_split(member: Member, request: Request) -> None:
    """Hold requests to the split that rows were first matched under.

    Held-out rows are shown to the analyst: under another split training rows would be among them, and rows that a model
    was judged by would be trained on.
    """
    path, asked = member.store / AGREED_SPLIT, request.agreement["split"]
    agreed = json.loads(path.read_text()) if path.exists() else asked
    if _told(asked) != _told(agreed):
        raise Refused(
            f"owner '{member.name}' has agreed to {_told(agreed)}, not to {_told(asked)}, which would show the analyst "
            f"other rows; run with the former, or let the owner remove {AGREED_SPLIT} from its store to agree anew",
            f"asked for {_told(asked)} where {path} says {_told(agreed)}; if that is meant, remove this file: held-out "
            "rows of both splits are then known to the analyst",
        )


def _require_agreed_bins(member: Member, request: Request) -> None:
    """Hold requests to the first number of bins: cut points of another are at other ranks, and name more values."""
    asked, path = request.agreement["max_bin"], member.store / AGREED_BINS
    agreed = json.loads(path.read_text()) if path.exists() else asked
    if asked != agreed:
        raise Refused(
            f"owner '{member.name}' has agreed to cut points of {agreed} bins, not of {asked}, which would name other "
            f"values; run with the former (max_bin), or let the owner remove {AGREED_BINS} from its store"
        )


def _noise_to_spend(member: Member, request: Request) -> dict | None:
    """Hold trainings to the noise this owner asks for and what it has left; where it notes what it spends, if it does.

    What is left is looked at again, and noted, before the first sum (`spending`): here is who can still be told.
    """
    noise = request.agreement.get("noise") if request.what == "grow" else None
    if member.noise and request.what in ("grow", "train") and not noise:
        raise Refused(
            f"owner '{member.name}' takes part in trainings with noise alone, epsilon {member.noise.epsilon:g} at most "
            f"in all of them together; train with --mode federated --noise EPSILON:{member.noise.delta:g}"
        )
    if not noise:
        return None
    told = {
        "ledger": str(member.store / NOISE_SPENT),
        "budget": member.noise and member.noise.model_dump(),
        "run": request.key,
    }
    try:
        spending_of(member.name, agreement_by(parties_of(member), request.agreement), told).require_room()
    except InvalidInput as refusal:
        raise Refused(str(refusal)) from None
    return told


def _told(split: Mapping) -> str:
    shares = ", ".join(f"{share:.9g}" for share in split["shares"])
    return f"the split with salt '{split['salt']}' and shares {shares}"


def _part(member: Member, schema: Schema) -> Table:
    try:
        return read_part(member.table, schema)
    except InvalidInput as private:
        with_others = f"what its worker printed says more, 'troth parties check DIR --as {member.name}' too"
        try:
            wrong = [finding.column for finding in inspect_part(member.table, schema) if finding.severity == "error"]
        except InvalidInput:
            raise Refused(f"owner '{member.name}' cannot read its table; {with_others}", str(private)) from None
        columns = ", ".join(f"'{name}'" for name in dict.fromkeys(wrong))
        raise Refused(
            f"the table of owner '{member.name}' does not fit schema {schema.name} (column {columns}); {with_others}",
            str(private),
        ) from None


def _holding(member: Member, request: Request) -> dict:
    path = _announced(member, request.part) if request.part else None
    if path is None or not path.exists():
        raise Refused(f"owner '{member.name}' has announced no such part; start the run again, which asks it anew")
    noted = json.loads(path.read_text())
    asked = list(request.agreement.get("columns", {}).get(member.name, ()))
    if asked != noted["columns"]:
        raise Refused(f"owner '{member.name}' announced other columns than the ones asked for; start the run again")
    path = member.store / "owners" / member.name / Path(noted["path"]).name
    return asdict(HoldingRecord(**noted | {"path": str(path)}))


def _announced(member: Member, digest: str) -> Path:
    return member.store / "owners" / member.name / "announced" / f"{digest}.json"


def _public_digest(member: Member, digest: str) -> str:
    """Keyed, so that nobody can try out what the rows might be."""
    path = member.store / "owners" / member.name / "digest.key"
    create_once(path, os.urandom(32))
    return hmac.new(path.read_bytes(), digest.encode(), hashlib.sha256).hexdigest()


def _newest(part: Table, split: Mapping) -> float | None:
    """The newest time among the training rows, where time is a number."""
    time = part.time
    if time is None or not np.issubdtype(time.dtype, np.number):
        return None
    training = split_of(part.person, split["salt"], tuple(split["shares"])) == PARTS.index("train")
    return float(time[training].max()) if training.any() else None
