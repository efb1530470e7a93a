"""Owners with stores of their own, whose programs run as processes on this machine."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from components.boosting.parameters import BoostingParameters
from components.boosting.secret_shared import LEAKAGE, OPENED
from components.boosting.secret_shared.layout import Layout, layout_of
from components.boosting.secret_shared.programs import (  # fmt: skip
    match,
    score,
    train_together,
)
from components.boosting.secret_shared.stored import finished_rounds
from components.data.schema import Schema
from components.data.split import split_of
from components.data.table import Table
from components.mpc.launch import Ended, run_parties
from components.mpc.programs import reference
from components.partition import HoldingRecord, deal, held, join_holdings, write_holding

SIDES = {"clinic": ["dose", "age", "ward", "outcome"], "insurer": ["cost", "visits", "sex"]}
SPLIT = {"salt": "trial", "shares": [0.6, 0.15, 0.25]}
MAX_BIN = 8
SHARES = tuple(SPLIT["shares"])

CANARIES = {
    "clinic": ("only-clinic-7f3a91", "dose", 98765.4321),
    "insurer": ("only-insurer-c05e44", "cost", 56789.1234),
}
"""Owner → a person whom it alone has on record, and a value of that person."""


DECLARED = {
    "ids": "owners of different columns",
    "cuts": "all owners",
    **dict.fromkeys([*OPENED, "margins", "label", "group_sex", "pseudonyms"], "the analyst"),
}
"""What is counted when it is opened, and under whom `LEAKAGE` has it."""


def assert_declared(revealed) -> None:
    """Whatever was opened is on the list of who learns what."""
    for name in revealed:
        assert [sentence for sentence in LEAKAGE if sentence.startswith(f"{DECLARED[name]}: ")], name


def schema_of(kind: str) -> Schema:
    label = {
        "binary": {"column": "outcome"},
        "regression": {"column": "outcome", "kind": "regression", "tolerance": 5.0},
        "multiclass": {"column": "outcome", "kind": "multiclass", "classes": ["low", "middle", "high"]},
    }[kind]
    ward = {"kind": "categorical", "categories": ["a", "b", "c"]}
    features = {"dose": {}, "age": {}, "ward": ward, "cost": {}, "visits": {}}
    groups = {"sex": {"column": "sex"}}
    return Schema(name="trial", person="patient", time="year", label=label, features=features, groups=groups)


def draw_table(kind: str, persons: int = 700) -> Table:
    random = np.random.default_rng(1)
    person = np.repeat(np.arange(persons), random.integers(1, 3, persons))
    rows = len(person)
    dose, cost = random.normal(size=rows), random.gamma(2.0, size=rows)
    age, visits = random.integers(20, 80, rows), random.poisson(3.0, rows)
    ward = random.choice(["a", "b", "c"], rows)
    signal = dose + 0.8 * cost - 0.03 * (age - 50) + 0.4 * (ward == "b") + 0.2 * visits - 2
    noisy = signal + random.logistic(size=rows) / 2
    match kind:
        case "binary":
            outcome = (noisy > 0).astype(int)
        case "regression":
            outcome = 250 + 40 * noisy
            # One of the held-out persons is unlike anybody trained on.
            held_out = split_of(np.array([f"p{number:05d}" for number in person]), SPLIT["salt"], SHARES) == 2
            outcome[person == person[held_out][0]] = -1e12
        case _:
            outcome = np.array(["low", "middle", "high"])[np.digitize(noisy, [-0.7, 0.9])]
    return Table(
        schema_of(kind),
        pa.table(
            {
                "patient": [f"p{number:05d}" for number in person],
                "year": np.concatenate([np.arange(count) for count in np.bincount(person)]),
                "dose": pa.array(dose, mask=random.random(rows) < 0.1),
                "age": age,
                "ward": pa.array(ward, mask=random.random(rows) < 0.05),
                "cost": cost,
                "visits": pa.array(visits.astype(float), mask=random.random(rows) < 0.1),
                "outcome": outcome,
                "sex": random.choice(["f", "m"], rows),
                "hospital": np.array(["north", "south"])[(person % 3 == 0).astype(int)],
            }
        ),
    )


@dataclass
class Consortium:
    """Owners with their stores, and runs of their programs under one folder."""

    root: Path
    schema: Schema
    records: dict[str, HoldingRecord]
    layout: Layout
    ended: dict[str, dict[str, Ended]] = field(default_factory=dict)
    """The last run of each program."""

    @property
    def public(self) -> dict:
        columns = {party: list(record.columns) for party, record in self.records.items()}
        return {"schema": self.schema.model_dump_json(), "columns": columns, "split": SPLIT}

    @property
    def analyst(self) -> int:
        return self.layout.parties.index(self.layout.holders(self.schema.label.column)[0])

    def run(self, name: str, program, agreement: dict, more=lambda party: {}, **options) -> dict[str, Ended]:
        private = {}
        for party, record in self.records.items():
            holding = asdict(record) | {"path": str(record.path)}
            private[party] = self.root / name / party / "input.json"
            private[party].parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            private[party].write_text(json.dumps({"holding": holding} | more(party)))
        self.ended[name] = run_parties(
            reference(program),
            self.public | agreement,
            folder=self.root / name,
            private=private,
            analyst=self.layout.parties[self.analyst],
            timeout=20,
            **options,
        )
        return self.ended[name]

    def match(self) -> dict[str, dict]:
        ended = self.run("match", match, {"max_bin": MAX_BIN})
        return {party: ended[party].document for party in self.layout.parties}

    def train(self, agreement, **options) -> dict[str, Ended]:
        finished = {party: finished_rounds(self.shares(party)) for party in self.layout.parties}
        return self.run(
            "train",
            train_together,
            {"training": agreement.model_dump(mode="json"), "analyst": self.analyst},
            lambda party: {"matched": str(self.root / "match" / party), "shares": str(self.shares(party))},
            finished=finished,
            **options,
        )

    def score(self, agreement, rows: dict, levels: dict) -> dict[str, Ended]:
        where = lambda party: {"shares": str(self.shares(party)), "matched": str(self.root / "match" / party)}  # noqa: E731
        return self.run(
            "score",
            score,
            {
                "rows": rows,
                "levels": levels,
                "matching": agreement.matching,
                "models": [{"training": agreement.model_dump(mode="json"), "tag": self.tag}],
                "analyst": self.analyst,
            },
            lambda party: {
                "matched": str(self.root / "match" / party),
                "pseudonym_key": str(self.root / "keys" / party / "pseudonyms.key"),
                "models": [where(party)],
            },
        )

    @property
    def tag(self) -> str:
        """What names the trained model at all owners."""
        (tag,) = {self.ended["train"][party].document["tag"] for party in self.layout.parties}
        return tag

    def shares(self, party: str) -> Path:
        return self.root / "train" / party / "shares"

    def joined(self) -> Table:
        return join_holdings(self.records.values(), self.schema)[0]


def consortium(root: Path, table: Table, plan, canaries: bool = False) -> Consortium:
    records = {}
    for owner, holding in deal(table, plan, 3).holdings.items():
        part = held(table, holding)
        if canaries:
            part = with_canary(part, *CANARIES[owner])
        party = owner.replace("_", "-")
        records[party] = write_holding(root / "stores", party, part)
    columns = {party: list(record.columns) for party, record in records.items()}
    return Consortium(root, table.schema, records, layout_of(columns, table.schema))


def with_canary(part: Table, person: str, column: str, value: float) -> Table:
    """One more row, of a person no other owner knows."""
    row = part.columns.slice(0, 1).to_pydict() | {"patient": [person], column: [value]}
    return Table(part.schema, pa.concat_tables([part.columns, pa.table(row, schema=part.columns.schema)]))


def parameters_of(**changes) -> BoostingParameters:
    return BoostingParameters(
        **{
            "rounds": 4,
            "eta": 0.3,
            "subsample": 1.0,
            "colsample_bytree": 1.0,
            "max_bin": MAX_BIN,
            "min_child_weight": 5.0,
        }
        | changes
    )
