"""A small table of patients that passes every check, for tests to break in one place at a time."""

import numpy as np
import pyarrow as pa
import pytest

from components.data.schema import Schema


@pytest.fixture
def schema() -> Schema:
    return Schema(
        name="patients",
        features={
            "age": {},
            "dose": {},
            "ward": {"kind": "categorical"},
            "stage": {"kind": "ordinal", "categories": ["low", "mid", "high"]},
        },
        label={"column": "relapse"},
        groups={
            "sex": {"column": "sex", "names": {"m": "male", "f": "female"}},
            "age_band": {"column": "age", "edges": [50]},
        },
        person="patient",
    )


@pytest.fixture
def columns() -> pa.Table:
    rng = np.random.default_rng(0)
    rows = 300
    return pa.table(
        {
            "patient": [f"p{number:03d}" for number in range(rows)],
            "age": rng.integers(20, 80, rows).astype(float),
            "dose": rng.normal(10, 2, rows),
            "ward": rng.choice(["a", "b", "c"], rows),
            "stage": rng.choice(["low", "mid", "high"], rows),
            "relapse": rng.integers(0, 2, rows),
            "sex": rng.choice(["m", "f"], rows),
        }
    )


@pytest.fixture
def change(columns):
    """`change(age=[...])` replaces columns; `change(age={3: 'n/a'})` replaces single values; None drops the column."""

    def changed(**replacements) -> pa.Table:
        values = columns.to_pydict()
        for name, replacement in replacements.items():
            if replacement is None:
                del values[name]
            elif isinstance(replacement, dict):
                text = any(isinstance(value, str) for value in replacement.values())
                values[name] = [str(value) if text else value for value in values[name]] if name in values else []
                for row, value in replacement.items():
                    values[name][row] = value
            else:
                values[name] = replacement
        return pa.table(values)

    return changed
