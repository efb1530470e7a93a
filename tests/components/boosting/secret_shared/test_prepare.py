"""What each owner works out alone must fit what the others work out: layout, parts, bins and ranges."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.boosting.label_range import label_range
from components.boosting.parameters import BoostingParameters
from components.boosting.secret_shared.agreement import MOST_BINS
from components.boosting.secret_shared.layout import agreement_of, layout_of
from components.boosting.secret_shared.prepare import (
    feature_shapes,
    holding_of,
    own_cuts,
    parts_of,
    pseudonyms,
)
from components.data.schema import Schema
from components.data.split import PARTS
from components.data.table import Table
from components.errors import InvalidInput

FEATURES = {"a": {}, "b": {}, "ward": {"kind": "categorical", "categories": ["x", "y", "z"]}}
SCHEMA = Schema(
    name="drawn",
    person="who",
    time="year",
    label={"column": "label"},
    features=FEATURES,
    groups={"sex": {"column": "sex"}},
)
KEYS = ["who", "year"]
LEFT, RIGHT = [*KEYS, "a", "label", "sex"], [*KEYS, "b", "ward"]
WHOLE = [*KEYS, "a", "b", "ward", "label", "sex", "not in the schema"]
SPLIT = {"salt": "s", "shares": [0.5, 0.2, 0.3]}


@pytest.mark.parametrize(
    ("columns", "groups", "divided"),
    [
        ({"clinic": LEFT, "insurer": RIGHT}, (("clinic", "insurer"),), ()),
        ({"one": WHOLE, "two": WHOLE[::-1], "three": WHOLE}, (("one",), ("two",), ("three",)), (0, 1, 2)),
        (
            {"insurer": RIGHT, "north": LEFT, "south": LEFT},
            (("north", "insurer"), ("south", "insurer")),
            (0,),
        ),
    ],
    ids=["vertical", "horizontal", "mixed"],
)
def test_the_layout_follows_from_names_of_columns(columns, groups, divided):
    layout = layout_of(columns, SCHEMA)
    assert layout.parties == tuple(columns)
    assert layout.groups == groups
    assert layout.divided(SCHEMA) == divided
    held = [feature for party in columns for feature in layout.features(SCHEMA, party)]
    assert set(held) == {0, 1, 2}
    assert layout.holders("label") == [party for party, names in columns.items() if "label" in names]


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        ({"alone": WHOLE}, "'alone'"),
        ({"n": LEFT, "s": LEFT, "e": RIGHT, "w": RIGHT}, r"\['n', 's'\].*\['e', 'w'\]"),
        ({"clinic": [*LEFT, "b"], "insurer": RIGHT}, "'insurer' lacks column 'a' and has 'b'"),
        ({"n": WHOLE, "s": WHOLE, "e": LEFT}, "'e' lacks column 'b' and has 'a', of which 'n' has both"),
        ({"n": WHOLE, "s": LEFT, "e": LEFT, "w": WHOLE}, "'s' lacks column 'b'"),
    ],
)
def test_a_layout_nobody_can_train_on_is_refused_by_name(columns, names):
    with pytest.raises(InvalidInput, match=names):
        layout_of(columns, SCHEMA)


def test_categories_that_outnumber_bins_are_refused_by_name():
    ward = SCHEMA.features["ward"].model_copy(update={"categories": tuple(map(str, range(MOST_BINS + 1)))})
    schema = SCHEMA.model_copy(update={"features": {**SCHEMA.features, "ward": ward}})
    with pytest.raises(InvalidInput, match="feature 'ward' has 4097 categories"):
        layout_of({"clinic": LEFT, "insurer": RIGHT}, schema)


@given(st.lists(st.integers(0, 30), min_size=2, max_size=2).filter(sum))
def test_the_agreement_has_a_block_for_each_owner_of_each_group_with_rows(counts):
    layout = layout_of({"north": LEFT, "insurer": RIGHT, "south": LEFT}, SCHEMA)
    cuts, may_miss = {0: 3, 1: 0}, {0: True, 1: False, 2: True}
    shapes = feature_shapes(SCHEMA, cuts, may_miss)
    assert [shape.bins for shape in shapes] == [4, 1, 3]
    assert [shape.kind for shape in shapes] == ["numeric", "numeric", "categorical"]
    agreement = agreement_of(SCHEMA, layout, counts, shapes, BoostingParameters())
    kept = [count for count in counts if count]
    assert agreement.rows == sum(counts)
    assert [block.rows for block in agreement.blocks] == [count for count in kept for _ in range(2)]
    assert [block.rows for block in agreement.labels] == kept
    assert all(agreement.parties[block.owner] in ("north", "south") for block in agreement.labels)


def draw_table(persons=200, seed=0) -> Table:
    random = np.random.default_rng(seed)
    who = np.repeat(np.arange(persons), random.integers(1, 4, persons))
    rows = len(who)
    return Table(
        SCHEMA,
        pa.table(
            {
                "who": [f"p{number}" for number in who],
                "year": np.concatenate([np.arange(count) for count in np.bincount(who)]),
                "a": pa.array(random.normal(size=rows), mask=random.random(rows) < 0.1),
                "b": random.normal(size=rows),
                "ward": pa.array(random.choice(["x", "y", "z"], rows), mask=random.random(rows) < 0.1),
                "label": random.integers(0, 2, rows),
                "sex": random.choice(["f", "m"], rows),
            }
        ),
    )


def sides(table: Table) -> list[tuple[Table, np.ndarray]]:
    """Two owners' parts in orders of their own, and the rows of each in one common order."""
    random = np.random.default_rng(1)
    orders = [random.permutation(len(table)) for _ in range(2)]
    common = random.permutation(len(table))
    parts = [
        Table(SCHEMA, table.take(order).columns.select(names))
        for order, names in zip(orders, (LEFT, RIGHT), strict=True)
    ]
    return [(part, np.argsort(order)[common]) for part, order in zip(parts, orders, strict=True)]


def test_all_owners_of_a_group_have_the_same_rows_in_the_same_order():
    (left, left_order), (right, right_order) = sides(draw_table())
    one, other = parts_of(left, [left_order], SPLIT), parts_of(right, [right_order], SPLIT)
    persons = {}
    for name in PARTS:
        ids = left.row_ids[one[name][0]]
        np.testing.assert_array_equal(ids, right.row_ids[other[name][0]])
        persons[name] = left.person[one[name][0]]
        if name != "train":
            assert len(set(persons[name])) == len(persons[name])
            newest = {row.split("@")[0]: int(row.split("@")[1]) for row in sorted(left.row_ids)}
            assert {row.split("@")[0]: int(row.split("@")[1]) for row in ids} == {
                who: newest[who] for who in persons[name]
            }
    assert set(persons["train"]).isdisjoint(persons["gate"])
    assert set().union(*map(set, persons.values())) == set(left.person)


def test_what_an_owner_brings_fits_the_agreement():
    (left, left_order), (right, right_order) = sides(draw_table())
    layout = layout_of({"clinic": LEFT, "insurer": RIGHT}, SCHEMA)
    holdings, cuts = {}, {}
    rows = {"clinic": parts_of(left, [left_order], SPLIT), "insurer": parts_of(right, [right_order], SPLIT)}
    for party, part in (("clinic", left), ("insurer", right)):
        cuts[party] = own_cuts(part, layout, party, rows[party]["train"][0], 8)
    assert set(cuts["clinic"]) == {0}
    assert set(cuts["insurer"]) == {1}
    shapes = feature_shapes(
        SCHEMA, {0: len(cuts["clinic"][0]), 1: len(cuts["insurer"][1])}, {0: True, 1: False, 2: True}
    )
    count = len(rows["clinic"]["train"][0])
    agreement = agreement_of(SCHEMA, layout, [count], shapes, BoostingParameters())
    for party, part in (("clinic", left), ("insurer", right)):
        holdings[party] = holding_of(agreement, layout, party, part, rows[party]["train"], cuts[party])
    values = left.columns["a"].to_numpy(zero_copy_only=False)[rows["clinic"]["train"][0]]
    bins = holdings["clinic"].bins[0][:, 0]
    np.testing.assert_array_equal(bins == agreement.widest, np.isnan(values))
    known = ~np.isnan(values)
    np.testing.assert_array_equal(
        bins[known], (values[known, None].astype(np.float32) >= cuts["clinic"][0]).sum(axis=1)
    )
    assert np.bincount(bins[known]).min() > 0
    wards = right.columns["ward"].take(pa.array(rows["insurer"]["train"][0])).to_pylist()
    place = {"x": 0, "y": 1, "z": 2, None: agreement.widest}
    assert holdings["insurer"].bins[1][:, 1].tolist() == [place[ward] for ward in wards]
    assert holdings["clinic"].labels[0].tolist() == left.labels[rows["clinic"]["train"][0]].tolist()
    assert holdings["insurer"].labels == {}


def test_groups_without_rows_bring_no_blocks():
    table = draw_table(40)
    right = Table(SCHEMA, table.columns.select(RIGHT))
    layout = layout_of({"north": LEFT, "south": LEFT, "insurer": RIGHT}, SCHEMA)
    shapes = feature_shapes(SCHEMA, {0: 3, 1: 3}, {0: True, 1: True, 2: True})
    agreement = agreement_of(SCHEMA, layout, [0, 7], shapes, BoostingParameters())
    rows = [np.empty(0, dtype=np.int64), np.arange(7)]
    holding = holding_of(agreement, layout, "insurer", right, rows, {1: np.array([-1, 0, 1], dtype=np.float32)})
    assert [bins.shape for bins in holding.bins.values()] == [(7, 2)]


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=20))
def test_the_label_range_covers_the_labels_and_shows_two_digits(labels):
    low, high = label_range(np.array(labels))
    slack = 1e-12 * max(abs(low), abs(high))
    assert low - slack <= min(labels)
    assert max(labels) <= high + slack
    assert low < high
    largest = max(max(labels) - min(labels), *(abs(label) for label in (min(labels), max(labels))), 1e-9)
    assert min(labels) - low <= 0.11 * largest
    assert high - max(labels) <= 0.11 * largest


def test_pseudonyms_name_rows_to_their_owner_alone():
    names = np.array([f"p{number}@{number % 3}" for number in range(500)])
    one, other = (pseudonyms(names, key) for key in (b"k" * 32, b"l" * 32))
    assert one.shape == (2, 500)
    assert (one >= 0).all()
    assert (one < 2**48).all()
    assert (one == np.rint(one)).all()
    assert len(set(map(tuple, one.T))) == 500
    assert not (one == other).any()
    np.testing.assert_array_equal(pseudonyms(names[::-1], b"k" * 32), one[:, ::-1])
