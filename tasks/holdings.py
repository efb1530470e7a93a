"""From references back to rows, for stages entitled to them: mode `pooled`, and evaluation where the rows lie.

The joined table of the last data reference is kept while a process works on it, since three stages in a row ask for the
same one and joining a million rows is not free.
"""

import json
from functools import lru_cache
from pathlib import Path

from components.data.schema import Schema
from components.data.split import Split, split_table
from components.data.table import Table
from components.partition import HoldingRecord, JoinCount, join_holdings
from tasks.references import Data


def schema_of(data: Data) -> Schema:
    """The schema the data were checked against, categories frozen."""
    return Schema.model_validate_json(data["schema"])


def pooled_table(data: Data) -> Table:
    """All owners' rows joined; the same table whatever the partition."""
    return joined_table(data)[0]


def joined_table(data: Data) -> tuple[Table, JoinCount]:
    """`pooled_table`, and how many rows each side lacked."""
    return _joined(data["schema"], json.dumps(data["holdings"]), data["missing_rows"])


def divide(data: Data, table: Table) -> Split:
    """Training, selection and gate rows of `table`, by person."""
    return split_table(table, data["split"]["salt"], tuple(data["split"]["shares"]))


def forget_joined() -> None:
    """Drop the joined table, which `partition` made to count rows, where no later stage may look at it."""
    _joined.cache_clear()


@lru_cache(maxsize=1)
def _joined(schema: str, holdings: str, missing: str) -> tuple[Table, JoinCount]:
    records = [
        HoldingRecord(**{**holding, "path": Path(holding["path"]), "columns": tuple(holding["columns"])})
        for holding in json.loads(holdings)
    ]
    return join_holdings(records, Schema.model_validate_json(schema), missing=missing)
