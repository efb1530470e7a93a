"""A small panel of patients: several years a person, three classes of hospital, a label and groups."""

import numpy as np
import pyarrow as pa
import pytest

from components.data.schema import Schema
from components.data.table import Table

PANEL = Schema(
    name="panel",
    features={"age": {}, "dose": {}, "cost": {}, "ward": {"kind": "categorical", "categories": ["a", "b"]}},
    label={"column": "relapse"},
    groups={"sex": {"column": "sex"}},
    person="patient",
    time="year",
)

SIDES = {"clinic": ["age", "dose", "ward", "relapse"], "insurer": ["cost", "sex"]}


def panel(persons: int = 120, *, seed: int = 0) -> Table:
    """Sorted by key, with gaps in one feature and a column `hospital` besides the schema's."""
    rng = np.random.default_rng(seed)
    years = rng.integers(1, 4, persons)
    person = np.repeat(np.arange(persons), years)
    rows = len(person)
    dose = rng.normal(size=rows)
    return Table(
        PANEL,
        pa.table(
            {
                "patient": pa.array([f"p{number:04d}" for number in person]),
                "year": np.concatenate([np.arange(count) for count in years]),
                "age": rng.integers(20, 80, rows),
                "dose": pa.array(dose, mask=rng.random(rows) < 0.1),
                "cost": rng.random(rows),
                "ward": rng.choice(["a", "b"], rows),
                "relapse": (rng.random(rows) < 0.3).astype(int),
                "sex": rng.choice(["f", "m"], rows),
                "hospital": np.array(["North", "South", "St. Mary"])[person % 3],
            }
        ),
    )


@pytest.fixture
def table() -> Table:
    return panel()


@pytest.fixture
def sides() -> dict[str, list[str]]:
    return SIDES


@pytest.fixture
def make_panel():
    return panel
