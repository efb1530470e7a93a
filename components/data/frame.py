"""A data frame read by a schema, for whoever scores rows with a model: raw columns in, a table of its features out.

A column that is not what the model was trained on would be scored as if it were missing; so it is refused by name.
"""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from components.data.finding import listed, suggestion
from components.data.schema import Feature, Schema
from components.data.table import Table, encode
from components.errors import InvalidInput


def features_of(data: pd.DataFrame, schema: Schema, *, model: str) -> Table:
    """The feature columns of `data`, which `model` reads; others are ignored.

    Raises
    ------
    InvalidInput
        Feature columns are missing, a numeric one holds something else, or most of a column's categories are unknown.
    """
    if not len(data):
        raise InvalidInput("the data have no rows; give at least one")
    if missing := [column for column in schema.features if column not in data.columns]:
        advice = suggestion(missing[0], map(str, data.columns), taken=schema.features)
        raise InvalidInput(f"model '{model}' reads {listed(missing)}, which the rows lack; {advice}")
    columns = {name: _column(data, name, feature) for name, feature in schema.features.items()}
    for name, feature in schema.features.items():
        _require_known(columns[name], name, feature)
    return Table(schema, pa.table(columns))


def _require_known(column: pa.ChunkedArray, name: str, feature: Feature) -> None:
    """Refuse a column most of whose categories the model never met: they were spelt otherwise in training ('01', 1).

    A few rows may well hold a new category; it counts as missing.
    """
    unknown, present = int(_unknown(column, feature).sum()), len(column) - column.null_count
    if present >= 10 and unknown * 2 > present:
        more = ", …" if len(feature.categories) > 5 else ""
        raise InvalidInput(
            f"column '{name}': {unknown} of {present} values are not among the categories the model knows "
            f"({', '.join(feature.categories[:5])}{more}); give them spelt as they were in training"
        )


def _unknown(column: pa.ChunkedArray, feature: Feature) -> np.ndarray:
    """(n,) where a value is none of the declared categories."""
    if feature.categories is None:
        return np.zeros(len(column), dtype=bool)
    return np.isnan(encode(column, feature)) & pc.is_valid(column).to_numpy()


def unfamiliar(rows: Table) -> list[str]:
    """A sentence for each column of features with categories that its schema does not know, which count as missing."""
    said = []
    for name, feature in rows.schema.features.items():
        column = rows.columns[name]
        if (unknown := _unknown(column, feature)).any():
            values = ", ".join(f"'{value}'" for value in pc.unique(column.filter(pa.array(unknown)))[:3].to_pylist())
            said.append(
                f"column '{name}': {int(unknown.sum())} of {len(rows)} rows hold what the model was not trained on "
                f"({values}); it counts as missing"
            )
    return said


def _column(data: pd.DataFrame, name: str, feature: Feature) -> pa.ChunkedArray:
    try:
        column = pa.chunked_array([pa.array(data[name], from_pandas=True)])
        encode(column, feature)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise InvalidInput(f"column '{name}' cannot be read as {feature.kind}: {error}; clean it first") from None
    return column
