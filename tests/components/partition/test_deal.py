from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from components.data.table import Table
from components.errors import InvalidInput
from components.partition.deal import deal, held
from components.partition.plan import (
    ByColumn,
    Even,
    LabelSkew,
    Mixed,
    PartitionPlan,
    QuantitySkew,
    Single,
    Vertical,
)

EVERY_PLAN = (
    {"kind": "single"},
    {"kind": "by_column", "column": "hospital"},
    {"kind": "even", "owners": 4},
    {"kind": "label_skew", "owners": 3, "alpha": 0.3, "least": 2},
    {"kind": "quantity_skew", "owners": 3, "alpha": 0.3, "least": 2},
    {"kind": "vertical", "columns": "sides"},
    {"kind": "mixed", "columns": "sides", "split": "clinic", "by": "hospital"},
)


def plan_of(document, sides):
    return TypeAdapter(PartitionPlan).validate_python(
        {**document, **({"columns": sides} if "columns" in document else {})}
    )


def cells(table, partition) -> Counter:
    """How often each (row, column) was dealt, keys apart."""
    keys = set(table.schema.keys)
    return Counter(
        (int(row), column)
        for holding in partition.holdings.values()
        for column in holding.columns
        if column not in keys
        for row in holding.rows
    )


@pytest.mark.parametrize("document", EVERY_PLAN, ids=lambda document: document["kind"])
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(persons=st.integers(30, 90), seed=st.integers(0, 99))
def test_every_cell_is_dealt_to_exactly_one_owner(document, persons, seed, make_panel, sides):
    table = make_panel(persons, seed=seed)
    partition = deal(table, plan_of(document, sides), seed)
    columns = set(table.columns.column_names if document["kind"] not in {"vertical", "mixed"} else table.schema.columns)
    everything = {(row, column) for row in range(len(table)) for column in columns - set(table.schema.keys)}
    dealt = cells(table, partition)
    assert set(dealt) == everything
    assert set(dealt.values()) == {1}
    for holding in partition.holdings.values():
        assert set(table.schema.keys) <= set(holding.columns)
        assert (np.diff(holding.rows) > 0).all()


@pytest.mark.parametrize(
    "document", [plan for plan in EVERY_PLAN if "owners" in plan], ids=lambda document: document["kind"]
)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 99))
def test_a_person_lies_with_one_owner(document, seed, make_panel, sides):
    table = make_panel(60, seed=seed)
    partition = deal(table, plan_of(document, sides), seed)
    persons = [set(table.person[holding.rows]) for holding in partition.holdings.values()]
    assert sum(len(one) for one in persons) == len(set(table.person))
    assert len(persons) == document["owners"]
    assert min(len(one) for one in persons) >= document.get("least", 1)


@pytest.mark.parametrize("document", EVERY_PLAN, ids=lambda document: document["kind"])
def test_same_seed_same_deal(document, table, sides):
    first, second = (deal(table, plan_of(document, sides), 5) for _ in range(2))
    assert first.owners == second.owners
    for owner in first.owners:
        np.testing.assert_array_equal(first.holdings[owner].rows, second.holdings[owner].rows)


def test_even_means_even(table):
    persons = [len(set(table.person[holding.rows])) for holding in deal(table, Even(owners=7), 1).holdings.values()]
    assert max(persons) - min(persons) <= 1


def test_by_column_names_owners_after_values(table):
    partition = deal(table, ByColumn(column="hospital"), 0)
    assert partition.owners == ("hospital_north", "hospital_south", "hospital_st_mary")
    assert partition.layout == "horizontal"
    part = held(table, partition.holdings["hospital_south"])
    assert set(part.columns["hospital"].to_pylist()) == {"South"}


def test_an_owners_rows_lie_in_key_order(table, sides):
    shuffled = table.take(np.random.default_rng(0).permutation(len(table)))
    for holding in deal(shuffled, Vertical(columns=sides, overlap=0.7), 0).holdings.values():
        part = held(shuffled, holding)
        assert part.row_ids.tolist() == sorted(shuffled.row_ids[holding.rows].tolist())


def test_mixed_splits_one_side_and_leaves_the_other_whole(table, sides):
    partition = deal(table, Mixed(columns=sides, split="clinic", by="hospital"), 0)
    assert partition.owners == ("clinic_north", "clinic_south", "clinic_st_mary", "insurer")
    assert partition.holdings["insurer"].columns == ("patient", "year", "cost", "sex")
    assert len(partition.holdings["insurer"].rows) == len(table)
    assert partition.layout == "mixed"


def test_overlap_is_the_share_of_persons_each_side_has(make_panel, sides):
    table = make_panel(1000)
    partition = deal(table, Vertical(columns=sides, overlap=0.8), 3)
    persons = {owner: set(table.person[holding.rows]) for owner, holding in partition.holdings.items()}
    assert {len(one) for one in persons.values()} == {800}
    assert 560 < len(persons["clinic"] & persons["insurer"]) < 720
    for owner, holding in partition.holdings.items():
        np.testing.assert_array_equal(holding.rows, np.flatnonzero(np.isin(table.person, list(persons[owner]))))


def label_rates(table, plan, seed) -> list[float]:
    return [table.labels[holding.rows].mean() for holding in deal(table, plan, seed).holdings.values()]


def sizes(table, plan, seed) -> list[int]:
    return [len(holding.rows) for holding in deal(table, plan, seed).holdings.values()]


@pytest.mark.parametrize(("plan", "measure"), [(LabelSkew, label_rates), (QuantitySkew, sizes)])
def test_a_lower_alpha_is_a_stronger_skew(make_panel, plan, measure):
    table = make_panel(2000)

    def spread(alpha):
        return np.mean([np.std(measure(table, plan(owners=4, alpha=alpha), seed)) for seed in range(10)])

    assert spread(0.3) > 2 * spread(30)


def test_quantity_skew_leaves_the_label_alone(make_panel):
    table = make_panel(3000)
    rates = label_rates(table, QuantitySkew(owners=3, alpha=1, least=300), 1)
    assert all(abs(rate - table.labels.mean()) < 0.08 for rate in rates)


def without(sides, name):
    return {owner: [column for column in columns if column != name] for owner, columns in sides.items()}


@pytest.mark.parametrize("name", ["relapse", "cost", "sex"])
def test_a_column_nobody_holds(table, sides, name):
    with pytest.raises(InvalidInput, match=f"'{name}' is held by no owner"):
        deal(table, Vertical(columns=without(sides, name)), 0)


def test_a_column_two_hold(table, sides):
    with pytest.raises(InvalidInput, match="'relapse' is held by 'clinic' and 'insurer'"):
        deal(table, Vertical(columns={**sides, "insurer": [*sides["insurer"], "relapse"]}), 0)


def test_a_column_that_is_not_there(table, sides):
    with pytest.raises(InvalidInput, match="'cots'"):
        deal(table, Vertical(columns={**sides, "insurer": [*sides["insurer"], "cots"]}), 0)
    with pytest.raises(InvalidInput, match="'town'"):
        deal(table, ByColumn(column="town"), 0)


def test_persons_are_no_owners(table):
    with pytest.raises(InvalidInput, match="'patient' names persons") as refusal:
        deal(table, ByColumn(column="patient"), 0)
    assert "p00" not in str(refusal.value)


def test_missing_and_clashing_owner_values(table):
    names = table.columns["hospital"].to_pylist()
    position = table.columns.column_names.index("hospital")

    def renamed(values):
        return Table(table.schema, table.columns.set_column(position, "hospital", pa.array(values)))

    with pytest.raises(InvalidInput, match="missing in 1 rows"):
        deal(renamed([None, *names[1:]]), ByColumn(column="hospital"), 0)
    with pytest.raises(InvalidInput, match="'St. Mary'|'st mary'"):
        deal(renamed(["st mary" if name == "North" else name for name in names]), ByColumn(column="hospital"), 0)


def test_more_owners_than_persons(make_panel):
    table = make_panel(5)
    for plan in (Even(owners=6), LabelSkew(owners=2, least=3), QuantitySkew(owners=2, least=3)):
        with pytest.raises(InvalidInput, match="5 persons"):
            deal(table, plan, 0)


def test_a_skew_no_draw_can_meet(make_panel):
    with pytest.raises(InvalidInput, match=r"alpha 0\.001"):
        deal(make_panel(60), QuantitySkew(owners=3, alpha=0.001, least=19), 0)


@pytest.mark.parametrize(
    "document",
    [
        {"kind": "even", "owners": 1},
        {"kind": "even", "alpha": 1},
        {"kind": "label_skew", "alpha": 0},
        {"kind": "vertical", "columns": {"one": ["age"]}},
        {"kind": "vertical", "columns": {"One side": ["age"], "two": ["dose"]}},
        {"kind": "mixed", "columns": {"a": ["age"], "b": ["dose"]}, "split": "c", "by": "x"},
        {"kind": "diagonal"},
    ],
)
def test_plans_that_make_no_sense(document):
    with pytest.raises(ValidationError):
        TypeAdapter(PartitionPlan).validate_python(document)


def test_every_parameter_of_a_form_is_described():
    form = TypeAdapter(PartitionPlan).json_schema()
    for plan in form["$defs"].values():
        assert plan["description"]
    assert form["discriminator"]["propertyName"] == "kind"
    assert Single().owner == "all"
