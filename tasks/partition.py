"""Stage `partition`: a source is read, checked and dealt to its owners; from here on rows exist on their sides only."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
from prefect.artifacts import create_table_artifact
from prefect.context import TaskRunContext
from pydantic import BaseModel, ConfigDict, Field, model_validator

from components.data.reading import read_table
from components.data.split import PARTS, Split, split_table
from components.data.table import Table
from components.partition import ByColumn, Mixed, PartitionPlan, Single, deal, held, write_holding
from components.reporting import OwnerSummary
from components.reporting.owners import owner_summaries
from tasks.champion import champion_at_start
from tasks.inputs import RandHie, Source, load
from tasks.references import Data, Run
from tasks.registry import check_signature
from tasks.stage import logger, stage
from tasks.tracking import connect, stage_run

OWNERS = "owners.json"


class SplitShares(BaseModel):
    """How persons are divided; with the same salt a person is in the same part in every later run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    train: float = Field(0.55, gt=0, lt=1, description="Share of persons to train on.")
    selection: float = Field(0.15, gt=0, lt=1, description="Share to choose a candidate by; the rest is the gate's.")
    salt: str = Field("troth", min_length=1, description="Public text that fixes who is where.")

    @model_validator(mode="after")
    def _something_is_left_for_the_gate(self):
        if self.train + self.selection >= 1:
            raise ValueError(f"train {self.train:g} and selection {self.selection:g} leave no persons for the gate")
        return self

    @property
    def shares(self) -> tuple[float, float, float]:
        return self.train, self.selection, 1 - self.train - self.selection


# Never answered from a record: dealing again is cheap, and restores an owner's store that was lost since.
@stage(version=1, run_name="partition {source.kind}", cached=False)
def partition(
    run: Run, source: Source, plan: PartitionPlan | None, split: SplitShares, golden: str | None, seed: int
) -> Data:
    """Read, check and deal the table; whatever no later stage could work with is refused here."""
    settings, client = connect()
    with stage_run(client, run, "partition") as here:
        plan = plan or default_plan(source)
        table = load(source, also=dealt_by(plan))
        part = split_table(table, split.salt, split.shares)
        if golden:
            read_table(Path(golden), table.schema)
        if champion := champion_at_start(client, settings, run):
            check_signature(champion.schema, table.schema)
        dealt = deal(table, plan, seed)
        records = [
            write_holding(settings.owners, owner, held(table, holding)) for owner, holding in dealt.holdings.items()
        ]
        owners = owner_summaries(dealt, table)

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
                "rows": len(table),
                "owners": len(owners),
                "persons": len(np.unique(table.person)),
                **{f"rows.{owner.owner}": owner.rows for owner in owners},
                **{f"split.{name}": len(rows) for name, rows in zip(PARTS, _rows(part), strict=True)},
            }
        )
        here.record([asdict(owner) for owner in owners], OWNERS)
        here.record(table.schema.model_dump(mode="json", exclude_none=True), "schema.yaml")
        _show(owners)
        logger().info(
            "dealt %s rows of %s to %d owner%s",
            f"{len(table):,}",
            table.schema.name,
            len(owners),
            "" if len(owners) == 1 else "s",
        )
        return Data(
            name=table.schema.name,
            digest=table.digest,
            schema=table.schema.model_dump_json(),
            holdings=[
                asdict(record) | {"path": str(record.path), "columns": list(record.columns)} for record in records
            ],
            missing_rows="drop",
            split={"salt": split.salt, "shares": list(split.shares)},
            rows=len(table),
            through=_newest(table, part),
        )


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


def _rows(part: Split) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return part.train, part.selection, part.gate


def _newest(table: Table, part: Split) -> float | None:
    """The newest time among the training rows, where time is a number."""
    time = table.time
    return float(time[part.train].max()) if time is not None and np.issubdtype(time.dtype, np.number) else None


def _show(owners: tuple[OwnerSummary, ...]) -> None:
    if TaskRunContext.get():
        rows = [
            {"owner": one.owner, "rows": one.rows, "persons": one.persons, "columns": one.columns} for one in owners
        ]
        create_table_artifact(key="partition", table=rows, description="Who holds what")
