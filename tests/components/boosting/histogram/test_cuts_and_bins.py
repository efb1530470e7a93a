"""Edges come from XGBoost or from what is public, and every value lies in the bin that XGBoost puts it in."""

import numpy as np
import pyarrow as pa
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from components.boosting.histogram import Cuts, bin_columns, bin_table, cuts_of, public_cuts
from components.data.schema import Schema
from components.data.table import Table
from components.errors import InvalidInput

SCHEMA = Schema(
    name="people",
    person="id",
    label={"column": "y"},
    features={
        "age": {},
        "town": {"kind": "categorical", "categories": ("north", "south", "west")},
        "pain": {"kind": "ordinal", "categories": ("none", "some", "much")},
    },
)
FLOATS = st.floats(allow_nan=True, allow_infinity=False, width=32)


def numeric(edges: np.ndarray) -> Cuts:
    return Cuts(("x",), (False,), (edges,), (-1e30,))


@settings(deadline=None, max_examples=60)
@given(hnp.arrays(np.float32, st.integers(0, 40), elements=FLOATS), st.sets(FLOATS.filter(np.isfinite), min_size=1))
def test_a_value_lies_below_the_first_edge_above_it(values, edges):
    edges = np.unique(np.array(sorted(edges), dtype=np.float32))
    known = np.minimum(np.searchsorted(edges, values, side="right"), len(edges) - 1)
    expected = np.where(np.isnan(values), len(edges), known)
    np.testing.assert_array_equal(bin_columns([values], numeric(edges), len(values))[:, 0], expected)


@pytest.mark.parametrize("max_bin", [3, 64, 256, 400])
def test_bins_are_those_of_xgboost(histogram, max_bin):
    """It gives back a number for each bin, the same for all rows in it."""
    drawn = histogram.draw_rows(3000, categories=(7,), max_bin=max_bin, missing=0.1)
    theirs = drawn.quantised().get_data().toarray()
    present = ~np.isnan(drawn.matrix)
    for feature in range(4):
        rows = present[:, feature]
        pairs = set(zip(drawn.bins[rows, feature].tolist(), theirs[rows, feature].tolist(), strict=True))
        assert len(pairs) == len({ours for ours, _ in pairs}) == len({its for _, its in pairs}) > 2
        assert (drawn.bins[~rows, feature] == drawn.cuts.bins[feature]).all()


def test_cuts_of_xgboost_are_taken_as_they_are(histogram):
    drawn = histogram.draw_rows(50, categories=(3,), max_bin=8)
    ends, values = drawn.grid.get_quantile_cut()
    cuts = cuts_of(drawn.grid)
    assert cuts.names == ("x0", "x1", "x2", "x3")
    assert cuts.categorical == (False, False, False, True)
    np.testing.assert_array_equal(cuts.edges[1], values[ends[1] + 1 : ends[2]])
    np.testing.assert_array_equal(cuts.edges[3], [0, 1, 2])
    assert cuts.starts([1, 3]).tolist() == [0, cuts.bins[1] + 1, cuts.bins[1] + 5]


def test_one_byte_a_value_while_256_codes_are_enough():
    column = np.arange(300, dtype=np.float32)
    for edges, missing, dtype in (
        (255, True, np.uint8),
        (256, False, np.uint8),
        (256, True, np.uint16),
        (257, False, np.uint16),
    ):
        values = np.where((column == 7) & missing, np.nan, column)
        bins = bin_columns(
            [values, column],
            Cuts(
                ("a", "b"), (False, False), (np.arange(1, edges + 1, dtype=np.float32), np.float32([5])), (-1.0, -1.0)
            ),
            300,
        )
        assert bins.dtype == dtype
        assert bins[7].tolist() == [edges if missing else 7, 0]
        assert bins[299].tolist() == [edges - 1, 0]


def test_a_category_that_has_no_bin_is_missing():
    cuts = Cuts(("x",), (True,), (np.arange(3, dtype=np.float32),), (0.0,))
    assert bin_columns([np.float32([0, 2, 3, -1, np.nan])], cuts, 5)[:, 0].tolist() == [0, 2, 3, 3, 3]


def test_a_schema_and_inner_edges_say_all_that_is_public():
    cuts = public_cuts(SCHEMA, {"age": [18, 65]})
    largest = np.finfo(np.float32).max
    assert [edges.tolist() for edges in cuts.edges] == [[18, 65, largest], [0, 1, 2], [1, 2, largest]]
    assert cuts.feature_types == ["q", "c", "q"]
    columns = {"id": ["a", "b", "c", "d"], "y": [0, 1, 0, 1], "age": [17.9, 18.0, None, 99.0]}
    columns |= {"town": ["west", None, "north", "moon"], "pain": ["much", "none", "some", None]}
    table = Table(SCHEMA, pa.table(columns))
    assert bin_table(table, cuts).tolist() == [[0, 2, 2], [1, 3, 0], [3, 0, 1], [2, 3, 3]]


def test_public_edges_train_a_model_that_splits_new_rows_as_it_split_its_own(histogram):
    """Splits that only separate missing values, and values beyond all edges, among them."""
    random = np.random.default_rng(0)
    matrix = random.normal(size=(500, 2)).astype(np.float32) * 100
    matrix[random.random((500, 2)) < 0.3] = np.nan
    schema = SCHEMA.model_copy(update={"features": dict.fromkeys(("a", "b"), SCHEMA.features["age"])})
    cuts = public_cuts(schema, {"a": [-1, 0, 1], "b": [0]})
    labels = (np.isnan(matrix[:, 0]) ^ (np.nan_to_num(matrix[:, 1]) > 0)).astype(np.float32)
    terms = histogram.draw_rows(500).terms(rounds=10, max_depth=3)
    terms = type(terms)(cuts, terms.objective, terms.parameters, rows=1000)
    bins = bin_columns(matrix.T, cuts, 500)
    rows = histogram.Rows(terms, bins, labels, validation=(bins, labels))
    booster = histogram.train(terms, [rows])
    conditions = {value for tree in histogram.trees_of(booster) for value in tree["split_conditions"]}
    assert max(map(abs, conditions)) > 1e38
    new = xgboost.DMatrix(matrix, feature_names=["a", "b"])
    margins = booster.predict(new, output_margin=True)
    np.testing.assert_allclose(margins, np.concatenate([part.margins[:, 0] for part in rows._held_out]), rtol=1e-5)
    assert ((margins > 0) == labels).mean() > 0.9


@pytest.mark.parametrize(
    ("edges", "named"),
    [
        ({}, "age"),
        ({"age": [3, 3]}, "age"),
        ({"age": [1, np.nan]}, "age"),
        ({"age": [1], "town": [0]}, "town"),
        ({"age": [1], "moon": [0]}, "moon"),
    ],
)
def test_edges_that_do_not_fit_are_refused(edges, named):
    with pytest.raises(InvalidInput, match=named):
        public_cuts(SCHEMA, edges)


def test_a_table_of_other_features_is_refused(table_of, histogram):
    with pytest.raises(InvalidInput, match="cuts are not of the features"):
        bin_table(table_of("binary"), histogram.draw_rows(50).cuts)
