"""A data frame read by a schema, for whoever scores rows with a model: raw columns in, a table of its features out.

A column that is not what the model was trained on would be scored as if it were missing; so it is refused by name.
"""

import numpy as np
import pandas as pd
import pyarrow as pa

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
    if feature.categories is None:
        return
    present = len(column) - column.null_count
    unknown = int(np.isnan(encode(column, feature)).sum()) - column.null_count
    if present >= 10 and unknown * 2 > present:
        raise InvalidInput(
            f"column '{name}': {unknown} of {present} values are not among the categories the model knows "
            f"({', '.join(feature.categories[:5])}, …); give them spelt as they were in training"
        )


def _column(data: pd.DataFrame, name: str, feature: Feature) -> pa.ChunkedArray:
    try:
        column = pa.chunked_array([pa.array(data[name], from_pandas=True)])
        encode(column, feature)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise InvalidInput(f"column '{name}' cannot be read as {feature.kind}: {error}; clean it first") from None
    return column
