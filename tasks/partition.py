"""Stage `partition`: a source is read, checked and dealt to its owners; from here on rows exist on their sides only."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from prefect.artifacts import create_table_artifact
from prefect.context import TaskRunContext
from pydantic import BaseModel, ConfigDict, Field, model_validator

from components.boosting.secret_shared.layout import layout_of
from components.data.reading import read_table
from components.data.split import PARTS, SALT, SHARES, Split
from components.data.table import Table
from components.errors import InvalidInput
from components.partition import ByColumn, Crowd, Mixed, PartitionPlan, Single, Vertical, deal, held, write_holding
from components.reporting import OwnerSummary
from components.reporting.owners import owner_summaries
from tasks.apart import announced
from tasks.champion import Champion, champion_at_start, require_same_split
from tasks.holdings import divide, joined_table, schema_of
from tasks.inputs import Apart, RandHie, Source, load, open_categories, with_categories_of
from tasks.references import Data, Run
from tasks.registry import check_signature
from tasks.stage import logger, stage
from tasks.tracking import Stage, connect, stage_run

OWNERS = "owners.json"


class SplitShares(BaseModel):
    """How persons are divided; with the same salt a person is in the same part in every later run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train: float = Field(SHARES[0], gt=0, lt=1, description="Share of persons to train on.")
    selection: float = Field(
        SHARES[1], gt=0, lt=1, description="Share to choose a candidate by; the rest is the gate's."
    )
    salt: str = Field(SALT, min_length=1, description="Public text that fixes who is where.")

    @model_validator(mode="after")
    def _something_is_left_for_the_gate(self):
        if self.train + self.selection >= 1:
            raise ValueError(f"train {self.train:g} and selection {self.selection:g} leave no persons for the gate")
        return self

    def as_record(self) -> dict:
        """Salt and the three shares, JSON-ready."""
        return {"salt": self.salt, "shares": [self.train, self.selection, 1 - self.train - self.selection]}


# Never answered from a record: dealing again is cheap, and restores an owner's store that was lost since.
@stage(version=1, run_name="partition {source.kind}", cached=False)
def partition(
    run: Run, source: Source, plan: PartitionPlan | None, split: SplitShares, golden: str | None, seed: int
) -> Data:
    """Read, check and deal the table, or ask owners apart what they hold; what no later stage could use is refused."""
    settings, client = connect()
    with stage_run(client, run, "partition") as here:
        champion = champion_at_start(client, settings, run)
        require_same_split(champion, split.as_record())
        if isinstance(source, Apart):
            return _asked(here, source, champion, split, golden)
        plan = plan or default_plan(source)
        table = load(source, also=dealt_by(plan))
        if champion:
            table = with_categories_of(champion.schema, table, open_ones=open_categories(source))
            check_signature(champion.schema, table.schema)
        if golden:
            _require_apart(read_table(Path(golden), table.schema), table, golden)
        dealt = deal(table, plan, seed)
        records = [
            write_holding(settings.owners, owner, held(table, holding)) for owner, holding in dealt.holdings.items()
        ]
        owners = owner_summaries(dealt, table)
        data = Data(
            name=table.schema.name,
            digest=table.digest,
            schema=table.schema.model_dump_json(),
            holdings=[
                asdict(record) | {"path": str(record.path), "columns": list(record.columns)} for record in records
            ],
            missing_rows=plan.missing_rows if isinstance(plan, Vertical) else "drop",
            split=split.as_record(),
            rows=len(table),
            through=None,
        )
        if isinstance(plan, Crowd):
            data["crowd"] = {"plan": plan.model_dump(mode="json"), "seed": seed}
        # What owners hold together, which is less than the table where a side lacks rows of the other.
        joined, count = joined_table(data)
        part = divide(data)

        here.parameters(
            {
                "source": source.model_dump(mode="json"),
                "plan": plan.model_dump(mode="json"),
                "split": split.model_dump(),
                "seed": seed,
            }
        )
        here.dataset(table.schema.name, table.digest, {"source": source.kind}, "partition")
        here.metrics(
            {
                "rows": len(joined),
                "owners": len(owners),
                "persons": len(np.unique(joined.person)),
                "join.known": count.known,
                "join.joined": count.joined,
                **{f"join.lacking.{side}": lacking for side, lacking in count.lacking.items()},
                **{f"rows.{owner.owner}": owner.rows for owner in owners},
                **{f"split.{name}": len(rows) for name, rows in zip(PARTS, _rows(part), strict=True)},
            }
        )
        here.record([asdict(owner) for owner in owners], OWNERS)
        here.record(table.schema.model_dump(mode="json", exclude_none=True), "schema.yaml")
        _show(owners)
        logger().info(
            "dealt %s rows of %s to %s%s",
            f"{len(table):,}",
            table.schema.name,
            _told(plan, len(owners)),
            ""
            if not any(count.lacking.values())
            else f"; {count.joined:,} of {count.known:,} rows known to any side are joined, rows that a side lacks are "
            + ("kept with gaps" if data["missing_rows"] == "keep" else "dropped"),
        )
        return data | {"rows": len(joined), "through": _newest(joined, part)}


def _asked(here: Stage, source: Apart, champion: Champion | None, split: SplitShares, golden: str | None) -> Data:
    """What owners on machines of their own announce; which rows they have in common shows when these are matched."""
    data, owners = announced(source, split.as_record(), golden)
    schema = schema_of(data)
    layout_of({holding["owner"]: holding["columns"] for holding in data["holdings"]}, schema)
    if champion:
        check_signature(champion.schema, schema)
    here.parameters({"source": source.model_dump(mode="json"), "split": split.model_dump()})
    here.dataset(schema.name, data["digest"], {"source": source.kind}, "partition")
    here.metrics({"owners": len(owners), **{f"rows.{owner.owner}": owner.rows for owner in owners}})
    here.record([asdict(owner) for owner in owners], OWNERS)
    here.record(schema.model_dump(mode="json", exclude_none=True), "schema.yaml")
    _show(owners)
    logger().info("%d owners announced %s rows of %s", len(owners), f"{data['rows']:,}", schema.name)
    return data


def default_plan(source: Source) -> PartitionPlan:
    """By site where the source has sites, else one owner."""
    return ByColumn(column="site") if isinstance(source, RandHie) else Single()


def dealt_by(plan: PartitionPlan) -> tuple[str, ...]:
    """The column a plan deals rows by, which need not be in the schema."""
    match plan:
        case ByColumn(column=column) | Mixed(by=column):
            return (column,)
        case _:
            return ()


def _told(plan: PartitionPlan, owners: int) -> str:
    if isinstance(plan, Crowd):
        return f"a crowd of {plan.owners:,}"
    return "1 owner" if owners == 1 else f"{owners} owners"


def _require_apart(golden: Table, table: Table, path: str) -> None:
    """Refuse golden rows of people in the table: some of them would be trained on, others judged twice."""
    shared = set(golden.person.tolist()) & set(table.person.tolist())
    if shared:
        raise InvalidInput(
            f"golden file {path} has {len(shared)} persons who are in {table.schema.name} too; a golden set is kept "
            "apart from the table, so take them out of one of the two"
        )


def _rows(part: Split) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return part.train, part.selection, part.gate


def _newest(table: Table, part: Split) -> float | None:
    """The newest time among the training rows, where time is a number."""
    time = table.time
    return float(time[part.train].max()) if time is not None and np.issubdtype(time.dtype, np.number) else None


def _show(owners: Sequence[OwnerSummary]) -> None:
    if TaskRunContext.get():
        rows = [
            {"owner": one.owner, "rows": one.rows, "persons": one.persons, "columns": one.columns} for one in owners
        ]
        create_table_artifact(key="partition", table=rows, description="Who holds what")
