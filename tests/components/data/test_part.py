"""The part of a table that one owner has: which columns are read, and what is said of those that do not fit."""

import pyarrow as pa
import pyarrow.csv
import pytest

from components.data.part import inspect_part, read_part, require_declared_categories
from components.data.reading import read_table
from components.data.schema import Schema
from components.errors import InvalidInput


@pytest.fixture
def schema(people_schema):
    document = people_schema()
    document["features"]["site"]["categories"] = ["north", "south"]
    return Schema.model_validate(document)


@pytest.fixture
def write(tmp_path):
    def file(columns: pa.Table):
        pyarrow.csv.write_csv(columns, tmp_path / "part.csv")
        return tmp_path / "part.csv"

    return file


def test_a_part_is_what_the_whole_table_has_in_these_columns(write, schema, people, tmp_path):
    rows = people(50)
    pyarrow.csv.write_csv(rows, tmp_path / "all.csv")
    whole = read_table(tmp_path / "all.csv", schema)
    for columns in (["id", "dose", "site"], ["marker", "id", "age"], ["id", "sex", "outcome"]):
        part = read_part(write(rows.select(columns)), schema)
        assert set(part.columns.column_names) == set(columns)
        for name in columns:
            assert part.columns[name].to_pylist() == whole.columns[name].to_pylist()


def test_columns_that_the_schema_does_not_ask_for_are_not_read(write, schema, people):
    rows = people(20).select(["id", "dose"]).append_column("note", pa.array(["private"] * 20))
    assert read_part(write(rows), schema).columns.column_names == ["id", "dose"]


@pytest.mark.parametrize(
    ("harm", "named"),
    [
        (lambda rows: rows.drop_columns(["id"]), "'id'"),
        (lambda rows: rows.select(["id"]), "beside its keys"),
        (lambda rows: rows.set_column(1, "dose", pa.array(["much"] * len(rows))), "'dose'"),
        (lambda rows: pa.concat_tables([rows, rows.slice(0, 1)]), "'id'"),
        (lambda rows: rows.set_column(2, "site", pa.array(["west"] * len(rows))), "'site'"),
        (lambda rows: rows.slice(0, 0), "no rows"),
    ],
)
def test_what_does_not_fit_is_refused(write, schema, people, harm, named):
    path = write(harm(people(20).select(["id", "dose", "site"])))
    with pytest.raises(InvalidInput, match=named):
        read_part(path, schema)
    assert [finding for finding in inspect_part(path, schema) if finding.severity == "error"]


def test_open_categories_are_refused_by_name(schema, people_schema):
    require_declared_categories(schema)
    with pytest.raises(InvalidInput, match="'site'"):
        require_declared_categories(Schema.model_validate(people_schema()))
