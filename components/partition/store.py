"""An owner's store: a folder only the owner may read, with the owner's part of a table as one Parquet file.

A file is written aside and renamed, so that a reader sees the whole part or none. Whoever refers to it has its hash, so
that a damaged file is noticed, and the digest of its values, so that a repeated write of the same part changes nothing.
In a consortium each owner keeps such a folder on a machine of its own.
"""

import hashlib
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from components.data.schema import Schema
from components.data.table import Table
from components.errors import InvalidInput
from components.partition.plan import OWNER_NAME

_DIGEST = b"troth.digest"


@dataclass(frozen=True)
class HoldingRecord:
    """A reference to an owner's part: names and digests, no data.

    `digest` is of the values, `octets` (SHA-256, hex) of the schema and the file: that is sooner seen than read.
    """

    owner: str
    path: Path
    rows: int
    columns: tuple[str, ...]
    digest: str
    octets: str = ""


def write_holding(root: Path, owner: str, part: Table) -> HoldingRecord:
    """Write an owner's part under `root`/`owner`, named by its digest; untouched when it is there already.

    Parts of other deals stay where they are, since an unfinished run may still need them.

    Raises
    ------
    InvalidInput
        The owner's name cannot be a folder's.
    """
    if not re.match(OWNER_NAME, owner):
        raise InvalidInput(f"owner '{owner}' cannot name a folder; use lower-case letters, digits, '_', '.' and '-'")
    folder = Path(root) / owner
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder.chmod(0o700)
    record = HoldingRecord(
        owner, folder / f"{part.digest[:16]}.parquet", len(part), tuple(part.columns.column_names), part.digest
    )
    if not _holds(record, part.schema):
        _replace(record.path, part.columns.replace_schema_metadata({_DIGEST: record.digest.encode()}))
    with pa.OSFile(str(record.path)) as file:
        return replace(record, octets=_octets_of(file, part.schema))


class StoredColumns:
    """Columns that stay in their file: each is read when it is asked for, and not kept.

    Enough of `pa.Table` for a `Table` none of whose rows are taken out.
    """

    def __init__(self, file: pq.ParquetFile):
        self._file = file
        self.num_rows, self.column_names = file.metadata.num_rows, file.schema_arrow.names

    def __getitem__(self, name: str) -> pa.ChunkedArray:
        # What the column before took is given back, or the pool would keep many columns' worth for later.
        pa.default_memory_pool().release_unused()
        return self._file.read(columns=[name], use_threads=False).column(0)


def read_holding(record: HoldingRecord, schema: Schema) -> Table:
    """The part a record refers to, after seeing that it is the one that was written, under the same frozen schema.

    Raises
    ------
    InvalidInput
        The file is missing, damaged, or another one than was recorded; names it.
    """
    return _seen(record, schema, lambda file: file.read().replace_schema_metadata())


def open_holding(record: HoldingRecord, schema: Schema) -> Table:
    """As `read_holding`, with `StoredColumns`: for an owner whose rows would not fit beside what is made of them."""
    return _seen(record, schema, StoredColumns)


def _seen(record: HoldingRecord, schema: Schema, columns_of: Callable) -> Table:
    remedy = f"deal the table again to restore the store of owner '{record.owner}'"
    if not record.path.exists():
        raise InvalidInput(f"{record.path} does not exist; {remedy}")
    try:
        file = pa.OSFile(str(record.path))
        is_as_written = _octets_of(file, schema) == record.octets
        table = Table(schema, columns_of(pq.ParquetFile(file)))
        is_the_one = is_as_written or table.digest == record.digest
    except (pa.ArrowException, OSError):
        raise InvalidInput(f"{record.path} is a partial or damaged Parquet file; {remedy}") from None
    if not is_the_one:
        raise InvalidInput(
            f"{record.path} does not hold the rows recorded under schema {schema.name} (digest differs); {remedy}"
        )
    return table


def _octets_of(file: pa.NativeFile, schema: Schema) -> str:
    file.seek(0)
    return hashlib.file_digest(file, lambda: hashlib.sha256(schema.model_dump_json().encode())).hexdigest()


def _holds(record: HoldingRecord, schema: Schema) -> bool:
    try:
        read_holding(record, schema)
    except InvalidInput:
        return False
    return True


def _replace(path: Path, columns: pa.Table) -> None:
    """Write beside `path`, flush to disk, then rename over it."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            pq.write_table(columns, file)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
