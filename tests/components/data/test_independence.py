"""One row per person."""

import pyarrow as pa

from components.data.schema import BinaryLabel, Schema
from components.data.table import Table
from components.fairness import one_row_per_person


def table(time=None, **columns) -> Table:
    schema = Schema(name="visits", features={"x": {}}, label=BinaryLabel(column="y"), person="person", time=time)
    return Table(schema, pa.table(columns))


def test_the_newest_row_of_each_person_in_row_order():
    visits = table(time="year", person=["b", "a", "b", "a", "c"], year=[1, 5, 3, 2, 1])
    assert one_row_per_person(visits).tolist() == [1, 2, 4]


def test_the_first_row_where_no_time_is_declared():
    assert one_row_per_person(table(person=[7, 8, 7, 9])).tolist() == [0, 1, 3]


def test_a_missing_time_is_the_oldest_and_ties_go_to_the_earlier_row():
    visits = table(time="year", person=["a", "a", "b", "b"], year=pa.array([None, 1.0, 2.0, 2.0]))
    assert one_row_per_person(visits).tolist() == [1, 2]


def test_columns_in_several_chunks():
    visits = table(person=["a", "b", "a"])
    chunked = Table(visits.schema, pa.concat_tables([visits.columns, visits.columns]))
    assert one_row_per_person(chunked).tolist() == [0, 1]


def test_no_rows():
    assert one_row_per_person(table(person=pa.array([], type=pa.string()))).tolist() == []
