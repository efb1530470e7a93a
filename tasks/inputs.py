"""Where a run's table comes from: a source that ships with Troth, or the caller's own file.

Each is a small model, so that the Prefect UI shows a form and a deployment's YAML is checked. `fingerprint` says
whether two runs would read the same rows: it is part of the key by which an unfinished run is found.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from components.data.check import column_findings, refuse
from components.data.finding import suggestion
from components.data.multiple_sclerosis import (
    MULTIPLE_SCLEROSIS,
    MULTIPLE_SCLEROSIS_OWNERS,
    simulate_multiple_sclerosis,
)
from components.data.rand_hie import RAND_HIE, RAND_HIE_OWNERS, load_rand_hie
from components.data.reading import column_names, read_table, readable
from components.data.schema import Schema, read_schema
from components.data.table import Table
from components.errors import InvalidInput
from components.partition import ByColumn, PartitionPlan


class _Source(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class RandHie(_Source):
    """The RAND Health Insurance Experiment: 20 190 real person-years, five years, six sites."""

    kind: Literal["rand_hie"] = "rand_hie"
    years: tuple[int, ...] = Field((1, 2, 3, 4, 5), min_length=1, description="Study years to read, 1 to 5.")
    site: bool = Field(True, description="Whether the site is a feature; it cannot be where owners are the sites.")


class MultipleSclerosis(_Source):
    """Simulated health records for multiple sclerosis; nobody real."""

    kind: Literal["multiple_sclerosis"] = "multiple_sclerosis"
    rows: int = Field(20_000, ge=100, le=50_000_000, description="Persons to simulate.")
    seed: int = Field(0, ge=0, description="Seed of the simulation.")
    case_share: float | None = Field(0.3, gt=0, lt=1, description="Share of cases; empty: the population's prevalence.")


class OwnTable(_Source):
    """A CSV or Parquet file with a schema."""

    kind: Literal["table"] = "table"
    path: str = Field(description="The table: a .csv or .parquet file.")
    schema_file: str = Field(description="Its schema, YAML.")


class Apart(_Source):
    """Owners on machines of their own: each has its rows in a file that only its own `owner.yaml` names."""

    kind: Literal["apart"] = "apart"
    schema_file: str = Field(description="The schema all owners agreed to, YAML; it lists all categories.")
    parties: str = Field(description="This machine's parties.yaml, or its folder; owner.yaml lies beside it.")


Source = Annotated[RandHie | MultipleSclerosis | OwnTable | Apart, Field(discriminator="kind")]


def load(source: Source, *, also: Iterable[str] = ()) -> Table:
    """Read and check the table; every mistake in it is found here, before any work is done.

    `also` names columns to keep though the schema does not ask for them: those a partition deals by.
    """
    match source:
        case RandHie(years=years, site=site):
            table = load_rand_hie(years)
            return table if site else Table(_without_site(), table.columns)
        case MultipleSclerosis(rows=rows, seed=seed, case_share=case_share):
            return simulate_multiple_sclerosis(rows, seed, case_share=case_share)
        case OwnTable(path=path, schema_file=schema_file):
            return read_table(Path(path), read_schema(Path(schema_file)), also=also)
        case Apart(parties=parties):
            raise InvalidInput(
                f"the rows of the owners in {parties} are never in one place; they can only be trained on"
            )


def require_files(source: Source, plan: PartitionPlan | None = None, golden: Path | None = None) -> None:
    """Refuse files that are missing or lack columns, of which their first lines tell.

    Raises
    ------
    InvalidInput
        A file is not there or none that is read; a column of the schema, or the one to deal by, is not in it.
    """
    if golden is not None:
        readable(golden)
    schema = declared_schema(source)
    if isinstance(source, OwnTable):
        path = readable(source.path)
        names, where = column_names(path), path.name
        refuse(column_findings(names, schema, where))
    else:
        names, where = schema.columns, schema.name
    if isinstance(plan, ByColumn) and plan.column not in names:
        raise InvalidInput(
            f"column '{plan.column}', to deal by, is missing in {where}; {suggestion(plan.column, names)}"
        )


def open_categories(source: Source) -> set[str]:
    """Features whose categories the source leaves to be taken from the data."""
    if not isinstance(source, OwnTable):
        return set()
    features = read_schema(Path(source.schema_file)).features
    return {name for name, feature in features.items() if feature.kind == "categorical" and feature.categories is None}


def with_categories_of(champion: Schema, table: Table, *, open_ones: set[str]) -> Table:
    """The table with the champion's categories where its own were left open: a value new since then counts as missing.

    So a champion and what is trained to follow it encode rows alike, and a new value in one week's data stops nothing.
    """
    features = {
        name: champion.features.get(name, feature) if name in open_ones else feature
        for name, feature in table.schema.features.items()
    }
    return Table(table.schema.model_copy(update={"features": features}), table.columns)


def name_of(source: Source) -> str:
    """The name of the table's schema, which names the registered model."""
    match source:
        case RandHie(site=site):
            return RAND_HIE.name if site else _without_site().name
        case MultipleSclerosis():
            return MULTIPLE_SCLEROSIS.name
        case OwnTable(schema_file=schema_file) | Apart(schema_file=schema_file):
            return read_schema(Path(schema_file)).name


def declared_schema(source: Source) -> Schema:
    """The table's schema, before any row is read."""
    match source:
        case RandHie(site=site):
            return RAND_HIE if site else _without_site()
        case MultipleSclerosis():
            return MULTIPLE_SCLEROSIS
        case OwnTable(schema_file=schema_file) | Apart(schema_file=schema_file):
            return read_schema(Path(schema_file))


def two_sides(source: Source) -> dict[str, list[str]]:
    """Which columns a hospital and an insurer would hold of a source that comes with Troth.

    Raises
    ------
    InvalidInput
        The source is the caller's own table, of which only the caller can say.
    """
    match source:
        case RandHie():
            sides = RAND_HIE_OWNERS
        case MultipleSclerosis():
            sides = MULTIPLE_SCLEROSIS_OWNERS
        case _:
            raise InvalidInput(
                "a vertical partition of your own table says who holds which columns; write it as a YAML file "
                "with kind: vertical and columns: {owner: [column, …], …}"
            )
    return {owner: list(columns) for owner, columns in sides.items()}


def fingerprint(source: Source) -> str:
    """A digest of what the source would give: its options, and for a file its bytes.

    What owners apart have in theirs is not known here; it is asked anew in every run.
    """
    sha = hashlib.sha256(json.dumps(source.model_dump(mode="json"), sort_keys=True).encode())
    if isinstance(source, OwnTable):
        for path in (source.path, source.schema_file):
            sha.update(file_digest(Path(path)).encode())
    if isinstance(source, Apart):
        sha.update(file_digest(Path(source.schema_file)).encode())
    return sha.hexdigest()


def request_of(*, data: Source, golden: str | None, **parameters) -> dict:
    """Everything a caller asks of a pipeline, JSON-ready, files by their digest: what makes two runs the same."""
    return request_with(fingerprint(data), data=data, golden=golden and file_digest(Path(golden)), **parameters)


def request_with(fingerprint: str, **parameters) -> dict:
    """What a caller asks of a pipeline whose data have this fingerprint, JSON-ready."""
    return {"fingerprint": fingerprint} | {
        name: value.model_dump(mode="json") if isinstance(value, BaseModel) else value
        for name, value in parameters.items()
    }


def _without_site() -> Schema:
    features = {name: feature for name, feature in RAND_HIE.features.items() if name != "site"}
    return RAND_HIE.model_copy(update={"name": f"{RAND_HIE.name}_by_site", "features": features})


def file_digest(path: Path) -> str:
    """SHA-256 (hex) of a file.

    Raises
    ------
    InvalidInput
        There is no such file.
    """
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise InvalidInput(f"file {path} does not exist") from None
    except IsADirectoryError:
        raise InvalidInput(f"{path} is a folder; name a .csv, .parquet or .yaml file") from None
