"""A table from a file: CSV or Parquet in, a checked `Table` out.

Arrow reads both in parallel. CSV columns that name things (persons, categories, classes) are read as the text they are,
so that '02134' keeps its zero; numbers are inferred. The mistakes of a file as a whole (missing, empty, truncated, not
UTF-8) are told here, those of its columns in `components.data.check`.
"""

import csv
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from components.data.check import check_table, checked, column_findings, refuse
from components.data.finding import Finding
from components.data.schema import Schema
from components.data.table import Table
from components.data.types import plain, with_names
from components.errors import InvalidInput

READABLE = (".csv", ".parquet")
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
"""What some programs put between columns where a CSV has commas."""


def read_table(path: Path | str, schema: Schema, *, also: Iterable[str] = ()) -> Table:
    """The table at `path`, checked against `schema`; `also` names columns to keep that the schema does not ask for.

    Empty cells, NA, N/A, NaN and null (quoted or not) count as missing. Row numbers in errors are lines of a CSV file
    without line breaks inside cells, and count from 1 in Parquet.

    Raises
    ------
    InvalidInput
        The file cannot be read, or a check fails; names file, column, row and value.
    """
    path = readable(path)
    names = column_names(path)
    refuse(column_findings(names, schema, path.name))
    for name in also:
        if name not in names:
            raise InvalidInput(f"column '{name}' is missing in {path.name}; it was asked for besides the schema's")
    columns, first_row = read_some_columns(path, list(dict.fromkeys([*schema.columns, *also])), schema)
    return checked(columns, schema, path.name, first_row=first_row, also=also)


def inspect_table(path: Path | str, schema: Schema) -> list[Finding]:
    """Everything that is wrong with the table at `path`, where `read_table` stops at the first.

    Raises
    ------
    InvalidInput
        The file cannot be read at all.
    """
    path = readable(path)
    names = column_names(path)
    columns, first_row = read_some_columns(path, [name for name in schema.columns if name in names], schema)
    found = check_table(columns, schema, path.name, first_row=first_row)
    # Of a column that is not there, told by all that are, and not by those alone that were read.
    of_those_read = column_findings(columns.column_names, schema, path.name)
    return column_findings(names, schema, path.name) + [finding for finding in found if finding not in of_those_read]


def read_columns(path: Path | str) -> pa.Table:
    """Every column of a file whose schema is yet to be written, types as Arrow infers them."""
    path = readable(path)
    names = column_names(path)
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InvalidInput(
            f"column '{twice}' occurs {names.count(twice)} times in {path.name}; give each column a name of its own"
        )
    return _parquet(path, names) if path.suffix.lower() == ".parquet" else _csv(path, names, ())


def read_rows(path: Path | str, schema: Schema) -> pa.Table:
    """Every column of a file of rows to be scored, read as `read_table` would read those of `schema`; not checked."""
    path = readable(path)
    return with_names(plain(read_some_columns(path, column_names(path), schema)[0]), schema)


def column_names(path: Path) -> list[str]:
    """The columns a file says it has.

    Raises
    ------
    InvalidInput
        The file is no whole Parquet file, or has no header, or one that is not UTF-8 or has no commas.
    """
    if path.suffix.lower() == ".parquet":
        return _open_parquet(path).schema_arrow.names
    with path.open("rb") as file:
        header = file.readline()
    if not header.strip():
        raise InvalidInput(f"file {path} begins with an empty line; its first line must name the columns")
    try:
        text = header.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _not_utf8(path) from None
    if "\r" in text.rstrip("\r\n"):
        raise InvalidInput(f"lines of {path.name} end in CR alone, as on old Macs; save it with LF or CRLF")
    names = next(csv.reader([text]))
    if len(names) == 1 and (other := next((mark for mark in SEPARATORS if mark in text), None)):
        raise InvalidInput(
            f"the columns of {path.name} are separated by {SEPARATORS[other]}; "
            "save it with commas between columns and points in numbers"
        )
    return names


def readable(path: Path | str) -> Path:
    """`path`, where it is a file that tables are read from; `InvalidInput` where it is not."""
    path = Path(path)
    if not path.exists():
        raise InvalidInput(f"file {path} does not exist")
    if not path.is_file():
        raise InvalidInput(f"{path} is a folder; name a file that ends in {' or '.join(READABLE)}")
    if path.suffix.lower() not in READABLE:
        raise InvalidInput(f"file {path} ends in '{path.suffix}'; tables are read from {' and '.join(READABLE)} files")
    if not path.stat().st_size:
        raise InvalidInput(f"file {path} is empty")
    return path


def read_some_columns(path: Path, wanted: list[str], schema: Schema) -> tuple[pa.Table, int]:
    """The wanted columns, and the number the file gives to its first row."""
    if path.suffix.lower() == ".parquet":
        return _parquet(path, wanted), 1
    return _csv(path, wanted, schema.names), 2


def _csv(path: Path, wanted: list[str], texts: Iterable[str]) -> pa.Table:
    texts = [name for name in texts if name in wanted]
    convert = pa.csv.ConvertOptions(
        include_columns=wanted, column_types=dict.fromkeys(texts, pa.string()), strings_can_be_null=True
    )
    ragged = []
    parse = pa.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=lambda row: ragged.append(row) or "error")
    try:
        columns = pa.csv.read_csv(path, convert_options=convert, parse_options=parse)
    except pa.ArrowInvalid as error:
        if ragged:
            raise _ragged(path, parse, convert) from None
        if "UTF8" in str(error):
            raise _not_utf8(path) from None
        raise InvalidInput(f"file {path} cannot be read as CSV: {str(error).splitlines()[0]}") from None
    if any(pa.types.is_binary(kind) for kind in columns.schema.types):
        raise _not_utf8(path)
    return columns


def _ragged(path: Path, parse: pa.csv.ParseOptions, convert: pa.csv.ConvertOptions) -> InvalidInput:
    """Where the file is ragged: read again in one thread, the only way Arrow counts rows."""
    rows = []
    parse.invalid_row_handler = lambda row: rows.append(row) or "skip"
    one_thread = pa.csv.ReadOptions(use_threads=False)
    pa.csv.read_csv(path, read_options=one_thread, convert_options=convert, parse_options=parse)
    first = rows[0]
    return InvalidInput(
        f"row {first.number} of {path.name} has {first.actual_columns} values where the header names "
        f"{first.expected_columns} columns; quote values that hold commas ({len(rows)} such row{'s'[: len(rows) - 1]})"
    )


def _not_utf8(path: Path) -> InvalidInput:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError:
                return InvalidInput(f"row {number} of {path.name} is not UTF-8 text; save the file as UTF-8")
    return InvalidInput(f"file {path} is not UTF-8 text; save it as UTF-8")


def _parquet(path: Path, wanted: list[str]) -> pa.Table:
    try:
        return _open_parquet(path).read(columns=wanted)
    except (pa.ArrowException, OSError):
        raise InvalidInput(f"file {path} is a damaged Parquet file; write or copy it again") from None


def _open_parquet(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError):
        raise InvalidInput(f"file {path} is not a whole Parquet file (truncated?); write or copy it again") from None
