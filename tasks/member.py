"""`owner.yaml`: what a machine that takes part in training knows of itself, and tells nobody.

It lies beside the keys, or where TROTH_OWNER says. A request that comes through Prefect names nothing private: which
table an owner brings, under which schema, and where its shares are kept, stands here alone.
"""

import os
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from components.boosting.federated.spending import NoiseBudget
from components.data.schema import read_yaml, validated
from components.errors import InvalidInput
from components.parties.file import FILE as PARTIES
from components.parties.file import Name, Parties, read_parties

FILE, VARIABLE = "owner.yaml", "TROTH_OWNER"


class Member(BaseModel):
    """An owner, or dealer or aggregator, who have neither table nor schema; paths are relative to the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    table: Path | None = Field(None, description="This owner's own rows: a .csv or .parquet file.")
    schema_file: Path | None = Field(None, description="This owner's copy of the schema; no other is served.")
    parties: Path = Field(Path(PARTIES), description="This machine's parties.yaml.")
    store: Path = Field(Path("store"), description="Folder for its part and its shares, closed to others.")
    noise: NoiseBudget | None = Field(
        None,
        description="The most it spends on noisy sums for each person, all trainings together; it is in none without.",
    )
    prefect: str | None = Field(
        None,
        pattern=r"^https?://",
        description="API of the Prefect server that members are asked through; empty: PREFECT_API_URL. Another than "
        "that is told TROTH_OWNERS_AUTH_STRING or TROTH_OWNERS_API_KEY, and no other credentials.",
    )

    @model_validator(mode="after")
    def _table_and_schema_go_together(self) -> Self:
        if (self.table is None) != (self.schema_file is None):
            there, lacking = ("table", "schema_file") if self.schema_file is None else ("schema_file", "table")
            raise ValueError(f"'{there}' is there and '{lacking}' is missing; an owner has both, anybody else neither")
        if self.noise and self.table is None:
            raise ValueError("'noise' is there and 'table' is missing; it is of an owner's rows, and there are none")
        return self


def read_member(folder: Path | None = None, *, name: str | None = None) -> Member:
    """The `owner.yaml` in `folder`, else the one that TROTH_OWNER names; its paths become absolute.

    Raises
    ------
    InvalidInput
        There is none, it makes no sense, its name is not among the parties or not `name`, or an owner brings no table.
    """
    path = member_file(folder)
    member = validated(Member, read_yaml(path, what="owner"), path)
    base = path.resolve().parent
    member = member.model_copy(
        update={
            key: (base / value.expanduser()).resolve()
            for key in ("table", "schema_file", "parties", "store")
            if (value := getattr(member, key)) is not None
        }
    )
    if name not in (None, member.name):
        raise InvalidInput(f"{path} is of '{member.name}', not of '{name}'; take the folder of '{name}' ({VARIABLE})")
    parties = read_parties(member.parties)
    parties.member(member.name)
    if member.table is None and member.name in parties.names:
        raise InvalidInput(f"{path}: 'table' and 'schema_file' are missing; owner '{member.name}' brings its own rows")
    if member.table is not None and member.name not in parties.names:
        raise InvalidInput(f"{path}: {parties.title(member.name)} brings no rows; remove 'table' and 'schema_file'")
    return member


def member_file(folder: Path | None) -> Path:
    """Where `owner.yaml` is.

    Raises
    ------
    InvalidInput
        Nothing says where.
    """
    beside = folder and (folder.parent if folder.is_file() else folder) / FILE
    if beside and beside.exists():
        return beside
    if named := os.environ.get(VARIABLE):
        path = Path(named).expanduser().resolve()
        return path / FILE if path.is_dir() else path
    if folder and not folder.exists():
        raise InvalidInput(f"{folder} does not exist; name the folder of this machine's parties.yaml")
    if beside:
        raise InvalidInput(f"owner file {beside} does not exist; it names this machine's party and its table")
    raise InvalidInput(f"{VARIABLE} is not set; let it name this machine's {FILE}, or use 'troth parties serve'")


def parties_of(member: Member) -> Parties:
    """The parties as this machine knows them."""
    return read_parties(member.parties)
