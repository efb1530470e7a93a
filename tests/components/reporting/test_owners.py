"""Owners' summaries against counting by hand."""

import numpy as np
import pyarrow as pa
import pytest

from components.data.schema import Schema
from components.data.table import Table
from components.partition import ByColumn, Vertical, deal
from components.reporting.owners import owner_summaries

SCHEMA = {
    "name": "people",
    "person": "id",
    "features": {"dose": {}, "clinic": {"kind": "categorical", "categories": ["a", "b"]}},
    "label": {"column": "ill"},
    "groups": {"sex": {"column": "sex"}},
}


@pytest.fixture
def table():
    rng = np.random.default_rng(3)
    columns = {
        "id": [f"p{k}" for k in range(200)],
        "dose": rng.normal(size=200),
        "clinic": rng.choice(["a", "b"], 200, p=[0.7, 0.3]),
        "ill": rng.integers(0, 2, 200),
        "sex": rng.choice(["f", "m"], 200),
    }
    return Table(Schema.model_validate(SCHEMA), pa.table(columns))


def test_a_horizontal_deal_counts_rows_label_and_groups_of_each_owner(table):
    partition = deal(table, ByColumn(column="clinic"), 0)
    by_owner = {one.owner: one for one in owner_summaries(partition, table)}

    frame = table.columns.to_pandas()
    for clinic in ("a", "b"):
        mine, one = frame[frame["clinic"] == clinic], by_owner[f"clinic_{clinic}"]
        assert (one.rows, one.persons, one.columns) == (len(mine), len(mine), 4)
        assert one.positives == mine["ill"].sum()
        assert dict(one.groups["sex"]) == mine["sex"].value_counts().to_dict()
        assert one.holds_label


def test_in_a_vertical_deal_one_side_holds_the_label(table):
    sides = {"hospital": ["dose", "ill"], "insurer": ["clinic", "sex"]}
    hospital, insurer = owner_summaries(deal(table, Vertical(columns=sides), 0), table)

    assert (hospital.holds_label, insurer.holds_label) == (True, False)
    assert (hospital.columns, insurer.columns) == (2, 2)
    assert hospital.rows == insurer.rows == len(table)
