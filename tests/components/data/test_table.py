import io

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from components.data.schema import Feature, Group, Schema
from components.data.table import Table, as_text, encode, group_column

SCHEMA = Schema(name="t", features={"x": {}}, label={"column": "y"}, person="p")

CELLS = st.lists(
    st.tuples(st.text(max_size=4) | st.none(), st.floats(allow_nan=False) | st.none(), st.booleans() | st.none()),
    min_size=1,
    max_size=20,
)


def table_of(cells) -> pa.Table:
    text, numbers, flags = zip(*cells, strict=True)
    return pa.table(
        {"p": pa.array(text, pa.string()), "x": pa.array(numbers, pa.float64()), "y": pa.array(flags, pa.bool_())}
    )


def through_parquet(columns: pa.Table) -> pa.Table:
    file = io.BytesIO()
    pq.write_table(columns, file)
    return pq.read_table(io.BytesIO(file.getvalue()))


@given(CELLS)
@example([("a", 0.0, True), ("b", -0.0, False)])
@settings(deadline=None)
def test_digest_is_of_values_however_they_lie_in_memory(cells):
    columns = table_of(cells)
    digest = Table(SCHEMA, columns).digest
    surrounded = (
        pa.concat_tables([columns.slice(0, 1), columns, columns.slice(0, 1)]).combine_chunks().slice(1, len(cells))
    )
    chunked = pa.concat_tables([columns.slice(0, 1), columns.slice(1)])
    for same in (through_parquet(columns), surrounded, chunked, columns.select(["y", "x", "p"])):
        assert Table(SCHEMA, same).digest == digest


def test_what_lies_under_a_null_is_not_in_the_digest():
    over_nine = pa.array(np.array([1.0, 9.0]), mask=np.array([False, True]))
    over_zero = pc.if_else(pa.array([True, False]), pa.array([1.0, 0.0]), pa.scalar(None, pa.float64()))
    digests = {Table(SCHEMA, pa.table({"p": ["a", "b"], "x": x, "y": [0, 1]})).digest for x in (over_nine, over_zero)}
    assert len(digests) == 1


@given(CELLS, CELLS)
@settings(deadline=None)
def test_other_values_have_another_digest(first, second):
    same = Table(SCHEMA, table_of(first)).digest == Table(SCHEMA, table_of(second)).digest
    assert same == table_of(first).equals(table_of(second))


def test_text_of_numbers():
    assert as_text(pa.chunked_array([[1.0, None, 3.0]])).to_pylist() == ["1", None, "3"]
    assert as_text(pa.chunked_array([[1.5, 2.0]])).to_pylist() == ["1.5", "2"]
    assert as_text(pa.chunked_array([[1e300, 2.0]])).null_count == 0
    assert as_text(pa.chunked_array([[True, None, False]])).to_pylist() == ["true", None, "false"]


def test_a_number_is_the_same_number_in_every_type():
    digests = {
        Table(SCHEMA, pa.table({"p": ["a", "b"], "x": pa.array([1, 2], kind), "y": [0, 1]})).digest
        for kind in (pa.int8(), pa.int64(), pa.uint16(), pa.float32(), pa.float64())
    }
    assert len(digests) == 1
    assert Table(SCHEMA, pa.table({"p": ["1", "2"], "x": ["1", "2"], "y": [0, 1]})).digest not in digests


@pytest.mark.parametrize("values", [[True, None, False], [1, None, 0], ["true", None, "false"], ["True", None, "0"]])
@pytest.mark.parametrize("words", [("0", "1"), ("false", "true"), ("FALSE", "TRUE")])
def test_booleans_mean_what_is_declared_however_they_are_spelt(values, words):
    column = pa.chunked_array([values])
    codes = encode(column, Feature(kind="categorical", categories=words))
    np.testing.assert_array_equal(codes, [1, np.nan, 0])
    shown = group_column(column, Group(column="g", names=dict(zip(words, ("no", "yes"), strict=True))))
    assert [shown.levels[code] for code in shown.codes] == ["yes", "unknown", "no"]


def test_codes_are_no_booleans():
    codes = encode(pa.chunked_array([["1", "true", "2"]]), Feature(kind="categorical", categories=("0", "1", "2")))
    np.testing.assert_array_equal(codes, [1, np.nan, 2])
    both = encode(pa.chunked_array([["1", "true"]]), Feature(kind="categorical", categories=("1", "true")))
    assert both.tolist() == [0, 1]


def test_features_are_the_columns_whatever_their_number():
    """Oracle: one column at a time. There are more rows and columns than are turned at once."""
    rng = np.random.default_rng(0)
    values = {f"x{k}": rng.normal(size=5000) for k in range(19)}
    schema = Schema(name="wide", person="p", label={"column": "y"}, features={name: {} for name in values})
    columns = {"p": [str(n) for n in range(5000)], **values, "y": [0, 1] * 2500}
    features = Table(schema, pa.table(columns)).features
    assert features.dtype == np.float32
    for position, column in enumerate(values.values()):
        np.testing.assert_array_equal(features[:, position], column.astype(np.float32))
