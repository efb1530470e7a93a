"""Owners and an aggregator in one process, over real connections: every owner is a thread, and may have an accident."""

import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pytest

from components.boosting.federated import Agreement, Progress, RowsOfOwner, train
from components.boosting.parameters import BoostingParameters
from components.data.schema import Schema
from components.data.split import PARTS, SALT, SHARES, split_of
from components.data.table import Table
from components.federated import AggregatorLost, Federation, Files, Owner
from components.parties.file import make_parties


@dataclass
class Together:
    """What came of a training: its progress, the federation (its losses), and how each owner ended."""

    progress: Progress | None = None
    federation: Federation | None = None
    ended: dict[str, BaseException | None] = field(default_factory=dict)
    seen: list[dict] = field(default_factory=list)
    traffic: tuple[int, int] = (0, 0)


@pytest.fixture(scope="session")
def project(tmp_path_factory):
    """Certificates of six owners and an aggregator."""
    names = [f"owner-{number}" for number in range(6)]
    return make_parties(tmp_path_factory.mktemp("federated") / "parties", names, aggregator="aggregator")


@pytest.fixture
def federate(project):
    def run(
        agreement: Agreement,
        parts: list[Table],
        *,
        wrap: Callable[[str, str, Callable], Callable] = lambda name, what, handler: handler,
        start: Progress | None = None,
        keep: Callable[[dict], None] = lambda event: None,
        agreements: Mapping[str, Agreement] | None = None,
        timeout: float = 60,
        gather: float = 20,
    ) -> Together:
        names = tuple(project.names[: len(parts)])
        with socket.create_server(("127.0.0.1", 0)) as probe:
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        together, threads = Together(), []

        def files(name: str) -> Files:
            member = project.member(name)
            return Files(member.certificate, member.key, project.authority)

        def own(number: int, name: str) -> None:
            here = (agreements or {}).get(name, agreement)
            rows = RowsOfOwner(here, parts[number], seed=number)
            handlers = {
                kind: {what: wrap(name, what, handler) for what, handler in getattr(rows, kind).items()}
                for kind in ("answers", "sums")
            }
            try:
                Owner(
                    name,
                    files(name),
                    address,
                    "aggregator",
                    names,
                    agreement=here.model_dump(mode="json"),
                    roster=here.selection.owners if here.selection else 0,
                    timeout=timeout,
                    gather=20,
                    **handlers,
                ).take_part()
                together.ended[name] = None
            except (AggregatorLost, Exception) as error:
                together.ended[name] = error

        with Federation(
            "aggregator",
            address,
            files("aggregator"),
            names,
            agreement=agreement.model_dump(mode="json"),
            timeout=timeout,
            grace=1,
            patience=timeout,
        ) as federation:
            together.federation = federation
            for number, name in enumerate(names):
                threads.append(threading.Thread(target=own, args=(number, name), daemon=True))
                threads[-1].start()
            federation.gather(gather)
            together.progress = train(
                federation, agreement, start=start, keep=keep, said=lambda **facts: together.seen.append(facts)
            )
            together.traffic = federation.traffic
        for thread in threads:
            thread.join(20)
        return together

    return run


@pytest.fixture
def agreement():
    def make(schema: Schema, **settings) -> Agreement:
        everything = {"subsample": 1, "colsample_bytree": 1}
        chosen = {"rounds": 4, "max_depth": 3, "eta": 0.3, "max_bin": 16, **everything, **settings}
        return Agreement(
            schema_text=schema.model_dump_json(), salt=SALT, shares=SHARES, parameters=BoostingParameters(**chosen)
        )

    return make


@pytest.fixture
def joint(people, people_schema):
    """A table of people with every kind of feature and gaps, whole."""

    def make(rows: int = 900, kind: str = "binary", seed: int = 0) -> Table:
        schema = people_schema(kind)
        schema["features"]["site"]["categories"] = ["north", "south"]
        columns = people(rows, kind=kind, seed=seed)
        return Table(Schema.model_validate(schema), columns.select(list(Schema.model_validate(schema).columns)))

    return make


NAMES = ("a", "b", "c")


@pytest.fixture
def owned(agreement, joint):
    """A function that gives an agreement, each owner's rows, and owners made of them anew at every call."""

    def make(kind: str = "binary", **settings):
        table = joint(500, kind=kind)
        parts = dict(zip(NAMES, dealt(table, 3), strict=True))
        agreed = agreement(table.schema, **{"rounds": 2, "max_depth": 2, "max_bin": 8, **settings})
        return agreed, parts, lambda: {name: RowsOfOwner(agreed, part, seed=1) for name, part in parts.items()}

    return make


def parts_of(agreement: Agreement, table: Table) -> list[Table]:
    """Training and selection rows."""
    codes = split_of(table.person, agreement.salt, agreement.shares)
    return [table.take(np.flatnonzero(codes == PARTS.index(name))) for name in ("train", "selection")]


def dealt(table: Table, owners: int, seed: int = 0) -> list[Table]:
    """Rows dealt to owners, unevenly."""
    who = np.random.default_rng(seed).choice(
        owners, len(table), p=np.arange(1, owners + 1) / (owners * (owners + 1) / 2)
    )
    return [table.take(np.flatnonzero(who == owner)) for owner in range(owners)]
