"""Owners on machines of their own, as the pipeline meets them: what they announce, and programs they run together.

The pipeline runs on the analyst's machine. The analyst's own part is looked after here, the others' by their workers,
from requests that name nothing private; no table is ever in one place.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Event

from components.boosting.candidates import CandidatePlan
from components.boosting.federated import SumNoise
from components.data.part import require_declared_categories
from components.data.reading import read_table
from components.data.schema import Schema, read_schema
from components.errors import InvalidInput
from components.federated.selection import Selection
from components.mpc.launch import Ended, PartyCrashed
from components.parties.file import Parties, read_parties
from components.partition import Crowd, Mixed, PartitionPlan, Single, Vertical
from components.reporting import OwnerSummary
from components.secret_file import create_once
from tasks.inputs import Apart, RandHie, Source
from tasks.member import Member, read_member
from tasks.own_part import Needs, Refused, Request, announce, folder_of, part_of, take_part, without_places
from tasks.references import Data, Holding
from tasks.settings import Settings
from tasks.workers import ask, require_server


def require_fits(
    source: Source,
    mode: str,
    plan: PartitionPlan | None,
    selection: Selection | None = None,
    noise: SumNoise | None = None,
    candidates: CandidatePlan | None = None,
) -> None:
    """Refuse what a mode cannot do with a source, a plan, a selection, noise or candidates, before any work is done.

    Raises
    ------
    InvalidInput
        Owners apart are to be pooled or dealt to, have a schema with open categories, or no server to be asked through;
        rows that a side lacks are to be kept in mode secret_shared; candidates take pooled rows to train.
    """
    if candidates and mode != "pooled":
        candidates.require_apart()
    if mode == "secret_shared" and isinstance(plan, Vertical) and plan.missing_rows == "keep":
        raise InvalidInput(
            "partition.missing_rows is 'keep', but in mode secret_shared nobody knows which rows a side lacks; use drop"
        )
    if selection and mode != "federated":
        raise InvalidInput(
            f"a selection of {selection.owners} owners is for mode federated, and mode is '{mode}'; leave it out"
        )
    if noise and mode != "federated":
        raise InvalidInput(f"noise on sums is for mode federated, and mode is '{mode}'; leave it out")
    if isinstance(plan, Crowd) and (mode != "federated" or selection is None):
        raise InvalidInput(
            "partition is 'crowd', which needs mode federated and a selection, such as --mode federated --select 50"
        )
    known = getattr(plan, "owners", None)  # of plans that deal to a number of owners
    if selection and known and selection.owners > known:
        raise InvalidInput(
            f"selection asks for {selection.owners} owners a round and there are {known}; ask for fewer (--select)"
        )
    # A source without sites has one owner unless told.
    if plan is None and mode != "pooled" and not isinstance(source, RandHie | Apart):
        plan = Single()
    if mode == "secret_shared" and isinstance(plan, Single):
        raise InvalidInput(
            "partition is 'single', but mode secret_shared needs two owners or more; deal rows, such as even:3, or "
            "columns (vertical)"
        )
    if mode == "federated" and isinstance(plan, Vertical | Mixed | Single):
        raise InvalidInput(
            f"partition is '{plan.kind}', but mode federated needs two owners or more who hold rows of all columns; "
            "deal rows, such as even:3, or train in mode secret_shared"
        )
    if not isinstance(source, Apart):
        return
    if mode == "pooled":
        raise InvalidInput(
            "mode is 'pooled', which needs all rows in one place; owners apart train in federated or secret_shared"
        )
    if plan is not None:
        raise InvalidInput(f"partition is '{plan.kind}', but owners apart hold what they hold; leave partition out")
    member = read_member(Path(source.parties))
    require_declared_categories(read_schema(Path(source.schema_file)))
    require_server(member.prefect)
    parties, _ = _analyst(Path(source.parties))
    if mode == "federated" and parties.aggregator is None:
        raise InvalidInput(
            f"{source.parties} names no 'aggregator', and mode federated needs one; make the parties anew with "
            "'troth parties init --aggregator NAME'"
        )


def announced(source: Apart, split: dict, golden: str | None = None) -> tuple[Data, list[OwnerSummary]]:
    """Ask every owner what it holds; the reference to it all, and a summary of each owner.

    Golden persons are looked for among the analyst's own: who else is among the owners' rows nobody may know.

    Raises
    ------
    InvalidInput
        An owner refuses or is not there, the owners' columns do not make up the schema, or the analyst has rows of
        golden persons.
    """
    schema = read_schema(Path(source.schema_file))
    parties, member = _analyst(Path(source.parties))
    request = Request(what="announce", agreement_text=json.dumps({"schema": schema.model_dump_json(), "split": split}))
    try:
        own = announce(member, request)
        if golden:
            _require_golden_apart(golden, schema, member)
    except Refused as refusal:
        # What a flow run raises is on its server for others to read.
        print(refusal.private, file=sys.stderr, flush=True)
        raise InvalidInput(str(refusal)) from None
    others, _ = ask(
        {name: request for name in parties.names if name != member.name},
        server=member.prefect,
        patience=parties.gather,
    )
    known = {name: own if name == member.name else others[name] for name in parties.names}
    _each_column_held(schema, {name: one["columns"] for name, one in known.items()})
    holdings = [
        Holding(owner=name, path="", rows=one["rows"], columns=one["columns"], digest=one["digest"])
        for name, one in known.items()
    ]
    newest = [one["through"] for one in known.values() if one["through"] is not None]
    data = Data(
        name=schema.name,
        digest=hashlib.sha256(
            "".join([schema.model_dump_json(), *(h["digest"] for h in holdings)]).encode()
        ).hexdigest(),
        schema=schema.model_dump_json(),
        holdings=holdings,
        missing_rows="drop",
        split=split,
        rows=max(_rows_of_sides(holdings).values()),
        through=max(newest, default=None),
        parties=source.parties,
    )
    return data, [_summary(schema, name, one) for name, one in known.items()]


def analyst_of(data: Data) -> str:
    """The owner who may open models of owners apart."""
    return read_parties(Path(data["parties"])).analyst


def root_of(settings: Settings, data: Data, party: str) -> Path:
    """Where this machine keeps what it has of a party: the analyst's own store, and what others told it in the home."""
    if data.get("parties"):
        _, member = _analyst(Path(data["parties"]))
        return member.store if party == member.name else settings.root
    return settings.root


def aggregator_of(data: Data) -> str:
    """Who adds up the sums of owners apart."""
    return read_parties(Path(data["parties"])).aggregator.name


def run_apart(
    settings: Settings,
    data: Data,
    what: str,
    key: str,
    agreement: Mapping,
    said: Callable[[str, dict], None],
    *,
    needs: Needs | None = None,
) -> dict[str, Ended]:
    """Run a program as the analyst, here, with all others at their workers; raises as `ask`.

    Owners may be lost, late or asked again where an aggregator goes on without them.
    """
    parties, member = _analyst(Path(data["parties"]))
    parts = {holding["owner"]: holding["digest"] for holding in data["holdings"]}
    beside = {"grow": parties.aggregator, "rate": None}.get(what, parties.dealer)
    requests = {
        name: Request(
            what=what, agreement_text=json.dumps(agreement), key=key, part=parts.get(name), needs=needs or Needs()
        )
        for name in (*parties.names, *([beside.name] if beside else []))
    }

    def own(stop: Event) -> Ended:
        try:
            return take_part(member, requests[member.name], said=said, stop=stop)
        except (InvalidInput, PartyCrashed) as error:
            private, told = getattr(error, "private", str(error)), without_places(str(error), member)
            if private != told:
                print(private, file=sys.stderr, flush=True)
            raise type(error)(told) from None

    others = {name: request for name, request in requests.items() if name != member.name}
    dispensable = set(parties.names) if what == "grow" else ()
    answers, mine = ask(others, server=member.prefect, patience=parties.gather, meanwhile=own, dispensable=dispensable)
    ended = {name: _told(folder_of(settings.root, key, name), name, one) for name, one in answers.items()}
    return {name: mine if name == member.name else ended[name] for name in requests if name in (*ended, member.name)}


def _told(folder: Path, name: str, told: Mapping) -> Ended:
    """What another machine told of its run, kept as a run of this machine is."""
    path = folder / "result.json"
    path.unlink(missing_ok=True)
    create_once(path, json.dumps(told["document"]).encode())
    return Ended(name, folder, told["document"], told["counts"])


def _analyst(path: Path) -> tuple[Parties, Member]:
    """The parties, and this machine's member, who must be the analyst."""
    member = read_member(path)
    parties = read_parties(path)
    if member.name != parties.analyst:
        raise InvalidInput(
            f"this machine is '{member.name}', and the pipeline opens models where it runs; start it on the machine of "
            f"the analyst, '{parties.analyst}'"
        )
    return parties, member


def _require_golden_apart(path: str, schema: Schema, member: Member) -> None:
    try:
        golden, own = read_table(Path(path), schema), part_of(member)
    except InvalidInput as private:
        raise Refused(
            f"golden file {Path(path).name} does not fit schema {schema.name}; what was printed says more", str(private)
        ) from None
    if shared := set(golden.person.tolist()) & set(own.person.tolist()):
        raise InvalidInput(
            f"golden file {Path(path).name} has {len(shared)} persons of '{member.name}' in it; a golden set is "
            "kept apart from the rows that owners train on, so take them out of one of the two"
        )


def _each_column_held(schema: Schema, columns: Mapping[str, Sequence[str]]) -> None:
    for column in schema.columns:
        if not any(column in held for held in columns.values()):
            own = {name: ", ".join(one for one in held if one not in schema.keys) for name, held in columns.items()}
            who = "; ".join(f"{name} has {held}" for name, held in own.items())
            raise InvalidInput(
                f"column '{column}' of {schema.name} is held by no owner ({who}); correct it in the table that has it"
            )


def _rows_of_sides(holdings: Sequence[Holding]) -> dict[frozenset, int]:
    sides: dict[frozenset, int] = {}
    for holding in holdings:
        side = frozenset(holding["columns"])
        sides[side] = sides.get(side, 0) + holding["rows"]
    return sides


def _summary(schema: Schema, name: str, told: Mapping) -> OwnerSummary:
    values = [column for column in told["columns"] if column not in schema.keys]
    return OwnerSummary(
        owner=name,
        rows=told["rows"],
        persons=told["persons"],
        columns=len(values),
        first_column=min(schema.columns.index(column) for column in values),
        holds_label=schema.label.column in values,
    )
