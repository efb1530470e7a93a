"""The part of a table that one owner has in a file of its own: the keys, and some of the schema's other columns.

What is there is checked as in a whole table; what is not there may lie with somebody else. Categories must be declared,
since nobody sees all the values they could be taken from.
"""

from pathlib import Path

import pyarrow as pa

from components.data.check import check_table, column_findings, refuse
from components.data.finding import Finding
from components.data.reading import column_names, read_some_columns, readable
from components.data.schema import Schema
from components.data.table import Table
from components.data.types import plain, with_names, with_numbers
from components.errors import InvalidInput


def read_part(path: Path, schema: Schema) -> Table:
    """The columns of `schema` that the file at `path` has; others in it are not read.

    Raises
    ------
    InvalidInput
        The file cannot be read, a key is missing, nothing but keys is there, or a check fails.
    """
    columns, findings = _inspected(path, schema)
    refuse(findings)
    return Table(schema, with_numbers(with_names(plain(columns), schema), schema))


def inspect_part(path: Path, schema: Schema) -> list[Finding]:
    """Everything that is wrong with the file, where `read_part` stops at the first.

    Raises
    ------
    InvalidInput
        The file cannot be read at all.
    """
    return _inspected(path, schema)[1]


def require_declared_categories(schema: Schema) -> None:
    """Refuse a schema that leaves categories to be taken from data which nobody pools.

    Raises
    ------
    InvalidInput
        A categorical feature declares none; names it.
    """
    for name, feature in schema.features.items():
        if feature.kind == "categorical" and feature.categories is None:
            raise InvalidInput(
                f"feature '{name}' of schema {schema.name} lists no categories, and nobody sees the rows of all owners "
                "to take them from; list them (categories)"
            )


def _inspected(path: Path, schema: Schema) -> tuple[pa.Table, list[Finding]]:
    path = readable(path)
    names = column_names(path)
    here = [name for name in schema.columns if name in names]
    wrong = [
        finding for finding in column_findings(names, schema, path.name) if finding.column in (*schema.keys, *here)
    ]
    if wrong:
        return pa.table({}), wrong
    if len(here) == len(schema.keys):
        sentence = f"{path.name} has no column of schema {schema.name} beside its keys; it must hold one at least"
        return pa.table({}), [Finding(schema.person, None, sentence)]
    columns, first_row = read_some_columns(path, here, schema)
    found = check_table(columns, schema, path.name, first_row=first_row)
    return columns, [finding for finding in found if finding.column in here]
