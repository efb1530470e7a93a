import numpy as np
import pyarrow as pa
import pytest

from components.data.check import check_table, checked, freeze_categories
from components.data.schema import Schema
from components.errors import InvalidInput


def the_finding(table, schema, *, severity="error", first_row=1):
    found = [
        finding
        for finding in check_table(table, schema, "patients.csv", first_row=first_row)
        if finding.severity == severity
    ]
    assert len(found) == 1, found
    assert "patients.csv" in found[0].sentence
    return found[0]


def test_a_sound_table_has_no_findings(columns, schema):
    assert check_table(columns, schema, "patients.csv") == []


def test_text_in_a_numeric_feature_is_counted_and_located(change, schema):
    finding = the_finding(change(age={35: "n/a?", 120: "?"}), schema, first_row=2)
    assert (finding.column, finding.row) == ("age", 37)
    assert all(part in finding.sentence for part in ("2 of 300", "'n/a?'", "row 37"))


def test_different_wrong_values_are_named_each_once(change, schema):
    finding = the_finding(change(age={3: "?", 4: "n/a?", 5: "?", 6: "old", 7: "young"}), schema)
    assert "5 of 300" in finding.sentence
    assert "'?' in row 4, 'n/a?' in row 5, 'old' in row 7 and 1 other" in finding.sentence


def test_every_fault_of_a_column_is_found(change, schema):
    table = change(dose={2: "inf", 4: "much"}, stage={1: "huge"})
    found = [(one.column, one.row) for one in check_table(table, schema, "patients.csv") if one.severity == "error"]
    assert found == [("dose", 5), ("dose", 3), ("stage", 2)]


def test_person_and_time_are_both_looked_at(change, schema):
    timed = schema.model_copy(update={"time": "year"})
    table = change(patient={3: None}).append_column("year", pa.array([None, *range(299)]))
    assert [(one.column, one.row) for one in check_table(table, timed, "patients.csv")] == [("patient", 4), ("year", 1)]


def test_a_numeric_feature_as_a_group_of_many_levels_is_a_warning(columns, schema):
    by_dose = Schema.model_validate(schema.model_dump() | {"groups": {"dose": {"column": "dose"}}})
    assert "300 levels" in the_finding(columns, by_dose, severity="warning").sentence


def test_numbers_written_as_text_are_numbers(change, schema):
    text = [f" {value}" if value % 2 else f"{value}e0" for value in range(300)]
    table = checked(change(dose=text), schema, "patients.csv")
    assert table.features[:, 1].tolist() == list(range(300))


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinite_values(change, schema, value):
    finding = the_finding(change(dose={4: value}), schema)
    assert (finding.column, finding.row) == ("dose", 5)


def test_infinite_values_written_as_text(change, schema):
    assert the_finding(change(dose={4: "-inf"}), schema).row == 5


def test_not_a_number_is_missing_and_fine(change, schema):
    table = change(dose={4: float("nan")}, age={5: None})
    assert check_table(table, schema, "patients.csv") == []
    assert np.isnan(checked(table, schema, "patients.csv").features[4, 1])


def test_a_date_is_no_number(change, schema):
    dates = pa.array(np.datetime64("2020-01-01") + np.arange(300))
    assert "date" in the_finding(change(dose=dates), schema).sentence


def test_lists_are_no_values(change, schema):
    assert the_finding(change(ward=[["a"]] * 300), schema).column == "ward"


def test_missing_column_suggests_the_closest(columns, schema):
    renamed = columns.rename_columns(["patient", "age", "dosis", "ward", "stage", "relapse", "sex"])
    finding = the_finding(renamed, schema)
    assert finding.column == "dose"
    assert "'dosis'" in finding.sentence


def test_column_of_other_case_is_suggested(columns, schema):
    renamed = columns.rename_columns(["patient", "Age ", "dose", "ward", "stage", "relapse", "sex"])
    assert "'Age '" in the_finding(renamed, schema).sentence


def test_repeated_column_names(columns, schema):
    table = columns.append_column("age", columns["dose"])
    with pytest.raises(InvalidInput, match="'age' occurs 2 times"):
        checked(table.select([0, 1, 7, 2, 3, 4, 5, 6]), schema, "patients.csv")


def test_all_findings_are_returned_and_the_first_raised_with_the_count(change, schema):
    table = change(age={1: "x"}, dose={2: np.inf}, stage={3: "huge"})
    assert {finding.column for finding in check_table(table, schema, "patients.csv")} == {"age", "dose", "stage"}
    with pytest.raises(InvalidInput, match=r"'age'.*2 more findings"):
        checked(table, schema, "patients.csv")


def test_no_rows(columns, schema):
    assert "no rows" in the_finding(columns.slice(0, 0), schema).sentence


def test_label_of_one_class(change, schema):
    assert the_finding(change(relapse=[1] * 300), schema).column == "relapse"


def test_label_missing_in_rows(change, schema):
    finding = the_finding(change(relapse={7: None, 9: None}), schema)
    assert finding.row == 8
    assert "2 of 300" in finding.sentence


def test_binary_label_of_three_classes(change, schema):
    finding = the_finding(change(relapse={0: 2}), schema)
    assert all(value in finding.sentence for value in ("'0'", "'1'", "'2'"))


def test_positive_class_that_does_not_occur(change, schema):
    finding = the_finding(change(relapse=["yes", "no"] * 150), schema)
    assert "'yes'" in finding.sentence
    assert "label.positive" in finding.sentence


@pytest.mark.parametrize("labels", [[True, False] * 150, [1.0, 0.0] * 150, ["1", "0"] * 150])
def test_binary_labels_of_any_type(change, schema, labels):
    assert checked(change(relapse=labels), schema, "patients.csv").labels.tolist() == [1, 0] * 150


def multiclass(schema, *classes):
    return schema.model_copy(
        update={
            "label": Schema.model_validate(
                {**schema.model_dump(), "label": {"column": "relapse", "kind": "multiclass", "classes": classes}}
            ).label
        }
    )


def test_undeclared_class(change, schema):
    finding = the_finding(change(relapse=["a", "b", "c", "d"] * 75), multiclass(schema, "a", "b", "c"))
    assert (finding.column, finding.row) == ("relapse", 4)


def test_declared_class_without_rows_is_a_warning(change, schema):
    table = change(relapse=np.random.default_rng(1).choice(["a", "b"], 300))
    assert "'c'" in the_finding(table, multiclass(schema, "a", "b", "c"), severity="warning").sentence


def test_value_outside_declared_categories(change, schema):
    finding = the_finding(change(stage={10: "hihg", 20: "hihg"}), schema)
    assert (finding.column, finding.row) == ("stage", 11)
    assert "2 of 300" in finding.sentence


def test_missing_category_is_fine(change, schema):
    assert check_table(change(stage={10: None}, ward={3: None}), schema, "patients.csv") == []


def test_identifier_as_category(change, schema):
    rows = [f"w{number}" for number in range(300)]
    assert check_table(change(ward=rows), schema, "patients.csv") == []
    rng = np.random.default_rng(0)
    many = pa.concat_tables(
        [
            change(
                ward=[f"{part}-{n}" for n in range(300)],
                patient=[f"{part}-{n}" for n in range(300)],
                dose=rng.normal(size=300),
            )
            for part in range(4)
        ]
    )
    assert "1200 categories" in the_finding(many, schema).sentence
    with pytest.raises(InvalidInput, match="1200 categories"):
        freeze_categories(schema, many)


def test_missing_group_is_unknown(change, schema):
    table = checked(change(sex={0: None}), schema, "patients.csv")
    sex = table.groups["sex"]
    assert sex.levels == ("female", "male", "unknown")
    assert sex.levels[sex.codes[0]] == "unknown"


def test_band_of_text(change, schema):
    banded = schema.model_copy(update={"features": {"dose": schema.features["dose"]}})
    assert "age_band" in the_finding(change(age={0: "old"}), banded).sentence


def test_group_of_many_levels_is_a_warning(change, schema):
    finding = the_finding(change(sex=[f"s{n}" for n in range(300)]), schema, severity="warning")
    assert finding.column == "sex"


def test_duplicate_person_names_both_rows_and_the_time_column(change, schema):
    finding = the_finding(change(patient={9: "p002", 200: "p001"}), schema, first_row=2)
    assert (finding.column, finding.row) == ("patient", 11)
    assert all(part in finding.sentence for part in ("'patient'", "rows 4 and 11", "time column", "2 such"))


def test_duplicate_person_and_time(columns, schema):
    timed = schema.model_copy(update={"time": "year"})
    years = columns.append_column("year", pa.array([1] * 300))
    twice = pa.concat_tables([years, years.slice(5, 1)])
    finding = the_finding(twice, timed)
    assert finding.row == 301
    assert "the same 'patient' and 'year'" in finding.sentence
    later = years.slice(5, 1).set_column(years.num_columns - 1, "year", pa.array([2]))
    assert check_table(pa.concat_tables([years, later]), timed, "patients.csv") == []


@pytest.mark.parametrize(
    "people", [{9: "p002"}, {3: None}, dict.fromkeys(range(300), "p002"), {n: f"p00{n % 2}" for n in range(300)}]
)
def test_no_sentence_holds_a_person(change, schema, people):
    found = check_table(change(patient=people), schema, "patients.csv")
    assert found
    assert not [finding.sentence for finding in found if "p00" in finding.sentence]


def test_a_group_of_persons_is_refused(schema):
    document = schema.model_dump() | {"groups": {"who": {"column": "patient", "edges": [1, 2]}}}
    with pytest.raises(ValueError, match="'patient'.*many persons"):
        Schema.model_validate(document)


def test_a_label_of_two_spellings_of_one_class(change, schema):
    assert "one class only" in the_finding(change(relapse=["1", "true"] * 150), schema).sentence


def test_missing_person(change, schema):
    assert the_finding(change(patient={3: None}), schema).row == 4


def test_feature_missing_everywhere(change, schema):
    assert the_finding(change(dose=pa.nulls(300, pa.float64())), schema).column == "dose"
    assert the_finding(change(dose=pa.nulls(300)), schema).column == "dose"


def test_constant_feature_is_a_warning_and_does_not_refuse(change, schema):
    table = change(dose=[1.0] * 300)
    assert the_finding(table, schema, severity="warning").column == "dose"
    checked(table, schema, "patients.csv")


def test_freeze_takes_categories_sorted_and_leaves_declared_ones(columns, schema):
    frozen = freeze_categories(schema, columns)
    assert frozen.features["ward"].categories == ("a", "b", "c")
    assert frozen.features["stage"] == schema.features["stage"]
    assert freeze_categories(frozen, columns) is frozen


def test_checked_keeps_asked_columns_and_drops_others(columns, schema):
    extra = columns.append_column("site", pa.array(["x"] * 300)).append_column("note", pa.array(["y"] * 300))
    names = checked(extra, schema, "patients.csv", also=["site"]).columns.column_names
    assert "site" in names
    assert "note" not in names


def test_dictionaries_decimals_and_large_strings_are_settled(change, schema):
    table = change()
    stage = table["stage"].combine_chunks().dictionary_encode()
    table = table.set_column(4, "stage", stage).set_column(3, "ward", table["ward"].cast(pa.large_string()))
    table = table.set_column(1, "age", table["age"].cast(pa.decimal128(10, 1)))
    settled = checked(table, schema, "patients.csv")
    np.testing.assert_array_equal(settled.features, checked(change(), schema, "patients.csv").features)
