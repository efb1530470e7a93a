from itertools import product

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.data.check import check_table
from components.data.leaks import gives_away, is_monotone_copy
from components.data.rand_hie import RAND_HIE, load_rand_hie
from components.data.schema import Schema

RNG = np.random.default_rng(3)
LABELS = RNG.integers(0, 2, 1000)


def f32(values):
    return np.asarray(values, dtype=np.float32)


@pytest.mark.parametrize(
    "values",
    [
        LABELS,
        1 - LABELS,
        7.0 * LABELS + 2,
        LABELS * 10 + RNG.integers(0, 5, 1000),
        LABELS + RNG.random(1000) * 0.9,
        np.where(LABELS == 1, RNG.random(1000), np.nan),
        np.where(LABELS == 1, np.nan, 3.0),
        np.array([0, 2, 1, 3])[RNG.integers(0, 2, 1000) + 2 * LABELS],
        np.where(np.arange(1000) < 3, np.nan, LABELS),
        np.where(RNG.random(1000) < 0.4, np.nan, LABELS + RNG.random(1000) * 0.9),
    ],
    ids=[
        "copy",
        "opposite",
        "recoded",
        "parity_of_tens",
        "threshold",
        "present_if_positive",
        "missing_if_positive",
        "codes",
        "copy_with_gaps",
        "threshold_with_many_gaps",
    ],
)
def test_leaks_are_named(values):
    assert gives_away(f32(values), LABELS)


@pytest.mark.parametrize(
    "values",
    [
        RNG.random(1000),
        RNG.integers(0, 900, 1000),
        np.arange(1000),
        np.where(RNG.random(1000) < 0.99, LABELS, 1 - LABELS),
        np.where(RNG.random(1000) < 0.8, np.nan, LABELS),
        np.where(RNG.random(1000) < 0.4, np.nan, RNG.random(1000)),
    ],
    ids=["noise", "nearly_unique", "row_number", "one_percent_wrong", "missing_in_most", "noise_with_gaps"],
)
def test_honest_features_are_not(values):
    assert gives_away(f32(values), LABELS) is None


def test_a_table_too_small_to_tell_accuses_nobody():
    labels = np.array([0, 0, 0, 1, 1, 1])
    assert gives_away(f32(labels), labels) is None


def test_rare_class_and_nearly_unique_values_accuse_nobody():
    labels = np.zeros(5000, dtype=int)
    labels[:3] = 1
    assert gives_away(f32(RNG.integers(0, 1200, 5000)), labels) is None


@given(sizes=st.lists(st.integers(1, 3), min_size=1, max_size=3), classes=st.integers(2, 3))
@settings(deadline=None, max_examples=30)
def test_bound_on_luck_holds_for_every_small_table(sizes, classes):
    """Brute force: of all labellings with the same class sizes, no more than K^D are settled by the values."""
    values = np.repeat(np.arange(len(sizes)), sizes)
    settled = 0
    for labels in product(range(classes), repeat=len(values)):
        settled += all(
            len({label for label, v in zip(labels, values, strict=True) if v == value}) == 1 for value in set(values)
        )
    assert settled <= classes ** len(sizes)


def test_a_leak_behind_the_first_glance_is_still_judged_on_all_rows():
    labels = np.r_[np.zeros(20_000, dtype=int), np.ones(20_000, dtype=int)]
    late = labels.copy()
    late[-1] = 0
    assert gives_away(f32(labels), labels)
    assert gives_away(f32(late), labels) is None


def test_monotone_copies():
    targets = RNG.normal(size=500)
    assert is_monotone_copy(f32(3 * targets - 1), targets)
    assert is_monotone_copy(f32(-np.exp(targets)), targets)
    assert not is_monotone_copy(f32(targets + 0.01 * RNG.normal(size=500)), targets)
    assert not is_monotone_copy(f32(np.arange(500)), targets)
    gaps = np.arange(500) % 7 == 0
    assert is_monotone_copy(f32(np.where(gaps, np.nan, 100 * targets)), targets)
    assert not is_monotone_copy(f32(np.where(gaps, 100 * targets, np.nan)), targets)


def test_every_same_year_column_that_defines_the_label_is_refused():
    table = load_rand_hie((2,))
    visits = table.columns["last_year_visits"].to_numpy(zero_copy_only=False).copy()
    visits[:] = np.where(table.labels == 1, 5, 0) + RNG.integers(0, 5, len(table))
    leaky = Schema.model_validate({**RAND_HIE.model_dump(), "features": {"visits_this_year": {}, "age": {}}})
    columns = table.columns.append_column("visits_this_year", [visits])
    found = [finding for finding in check_table(columns, leaky, "records") if finding.severity == "error"]
    assert [finding.column for finding in found] == ["visits_this_year"]


def test_what_stays_the_same_over_a_persons_rows_is_no_leak(schema):
    persons, visits = 200, 10
    timed = schema.model_copy(update={"time": "visit", "groups": {}, "features": {"age": schema.features["age"]}})
    rng = np.random.default_rng(5)
    table = pa.table(
        {
            "patient": np.repeat(np.arange(persons), visits),
            "visit": np.tile(np.arange(visits), persons),
            "age": np.repeat(rng.random(persons), visits),
            "relapse": np.repeat(rng.integers(0, 2, persons), visits),
        }
    )
    assert check_table(table, timed, "t") == []


def test_regression_copy_is_refused(columns):
    schema = Schema(
        name="t",
        features={"age": {}, "twice": {}},
        person="patient",
        label={"column": "dose", "kind": "regression", "tolerance": 1},
    )
    table = columns.append_column("twice", [2 * columns["dose"].to_numpy()])
    assert [finding.column for finding in check_table(table, schema, "t")] == ["twice"]


def test_a_leak_is_named_beside_labels_that_are_missing():
    """Both at once: what is found only when the first fault is mended costs a round."""
    labels = [None, None, *LABELS[2:].tolist()]
    schema = Schema(name="t", features={"age": {}, "billed": {}}, person="patient", label={"column": "back"})
    table = pa.table({"patient": range(1000), "age": RNG.random(1000), "billed": LABELS, "back": labels})
    found = [finding for finding in check_table(table, schema, "t") if finding.severity == "error"]
    assert [finding.column for finding in found] == ["back", "billed"]
