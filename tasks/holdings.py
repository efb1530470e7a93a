"""From references back to rows, for stages entitled to them: mode `pooled`, and evaluation where the rows lie.

The joined table of the last data reference, and its split, are kept while a process works on it, since three stages in
a row ask for the same ones and joining a million rows is not free.
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
    return _joined(*_sources(data))


def divide(data: Data) -> Split:
    """Training, selection and gate rows of the joined table, by person."""
    return _divided(*_sources(data), data["split"]["salt"], *data["split"]["shares"])


def forget_joined() -> None:
    """Drop the joined table, which `partition` made to count rows, where no later stage may look at it."""
    _joined.cache_clear()
    _divided.cache_clear()


def _sources(data: Data) -> tuple[str, str, str]:
    return data["schema"], json.dumps(data["holdings"]), data["missing_rows"]


@lru_cache(maxsize=1)
def _joined(schema: str, holdings: str, missing: str) -> tuple[Table, JoinCount]:
    records = [
        HoldingRecord(**{**holding, "path": Path(holding["path"]), "columns": tuple(holding["columns"])})
        for holding in json.loads(holdings)
    ]
    return join_holdings(records, Schema.model_validate_json(schema), missing=missing)


@lru_cache(maxsize=1)
def _divided(schema: str, holdings: str, missing: str, salt: str, *shares: float) -> Split:
    return split_table(_joined(schema, holdings, missing)[0], salt, shares)
