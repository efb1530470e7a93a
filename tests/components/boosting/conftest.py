"""Tables of every label kind, with missing values and categories, drawn from one seed."""

import numpy as np
import pyarrow as pa
import pytest
import xgboost

from components.boosting.parameters import BoostingParameters
from components.data.schema import Schema
from components.data.table import Table

COLOURS = ("amber", "blue", "cyan")
TOWNS = tuple(f"town{number:02d}" for number in range(12))
LABELS = {
    "binary": {"kind": "binary", "column": "y"},
    "multiclass": {"kind": "multiclass", "column": "y", "classes": ("low", "middle", "high")},
    "regression": {"kind": "regression", "column": "y", "tolerance": 1.0},
}


def draw_table(kind: str, *, rows: int = 400, seed: int = 0, cut: float = 0.5) -> Table:
    """`cut` moves the border between classes, so two tables can differ in base rate; persons have two rows each."""
    random = np.random.default_rng(seed)
    numbers = random.normal(size=(rows, 3))
    colour, town = random.integers(0, 3, rows), random.integers(0, 12, rows)
    signal = numbers[:, 0] + (town % 3) + 0.5 * (colour == 1) + random.normal(scale=0.5, size=rows)
    numbers[random.random((rows, 3)) < 0.1] = np.nan
    match kind:
        case "binary":
            label = (signal > cut).astype(int)
        case "multiclass":
            label = np.array(LABELS[kind]["classes"])[np.digitize(signal, [cut, cut + 1.2])]
        case _:
            label = 3 * signal + 10 * cut
    hidden = random.random(rows) < 0.05
    columns = {
        "person": [f"p{row // 2}" for row in range(rows)],
        "year": [row % 2 for row in range(rows)],
        **{name: numbers[:, place] for place, name in enumerate("abc")},
        "colour": pa.array(np.array(COLOURS)[colour].tolist(), mask=hidden),
        "town": np.array(TOWNS)[town],
        "y": label,
    }
    schema = Schema(
        name="drawn",
        person="person",
        time="year",
        label=LABELS[kind],
        features={
            **{name: {} for name in "abc"},
            "colour": {"kind": "categorical", "categories": COLOURS},
            "town": {"kind": "categorical", "categories": TOWNS},
        },
    )
    return Table(schema, pa.table(columns))


@pytest.fixture(scope="session")
def table_of():
    return draw_table


@pytest.fixture(scope="session")
def small():
    """Few, shallow trees."""
    return BoostingParameters(rounds=8, max_depth=3, eta=0.3, threads=1)


@pytest.fixture(scope="session")
def matrix_of():
    """XGBoost's own matrix of a table, with the labels."""

    def matrix(table: Table) -> xgboost.DMatrix:
        return xgboost.DMatrix(
            table.features,
            table.labels,
            feature_names=list(table.schema.features),
            feature_types=table.feature_types,
            enable_categorical=True,
        )

    return matrix
