import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.data.check import check_table
from components.data.draft import draft_schema, write_draft
from components.data.multiple_sclerosis import simulate_multiple_sclerosis
from components.data.rand_hie import load_rand_hie
from components.data.reading import read_columns, read_table
from components.data.schema import read_schema
from components.errors import InvalidInput


@pytest.fixture
def visits() -> pa.Table:
    rng = np.random.default_rng(0)
    rows = 400
    return pa.table(
        {
            "patient_id": np.repeat([f"p{n}" for n in range(rows // 2)], 2),
            "year": np.tile([1, 2], rows // 2),
            "Age": rng.integers(20, 90, rows),
            "gender": rng.choice(["m", "f"], rows),
            "race": rng.choice(["a", "b"], rows),
            "ward": rng.choice(["x", "y", "z"], rows),
            "remark": [f"text {n}" for n in range(rows)],
            "weight": [str(w) for w in rng.integers(40, 120, rows - 1)] + ["unknown"],
            "empty": pa.nulls(rows),
            "outcome": rng.choice(["no", "yes"], rows),
        }
    )


def test_roles_kinds_and_groups(visits):
    schema = draft_schema(visits, "my visits!").schema
    assert (schema.person, schema.time, schema.label.column, schema.label.positive) == (
        "patient_id",
        "year",
        "outcome",
        "yes",
    )
    assert {name: feature.kind for name, feature in schema.features.items()} == {
        "Age": "numeric",
        "gender": "categorical",
        "ward": "categorical",
        "weight": "numeric",
    }
    assert schema.groups["age_band"].column == "Age"
    assert {"gender", "race"} <= set(schema.groups)


@pytest.mark.parametrize("column", ["patient_id", "year", "outcome", "race", "remark", "weight", "empty"])
def test_every_guess_has_a_note(visits, column):
    assert any(f"'{column}'" in note for note in draft_schema(visits, "t").notes)


def test_words_of_a_scale_are_ordinal_and_other_words_may_be(visits):
    pain = pa.array(["Mild", "none", "severe", "moderate"] * 100)
    draft = draft_schema(visits.append_column("pain", pain), "t")
    assert draft.schema.features["pain"].kind == "ordinal"
    assert draft.schema.features["pain"].categories == ("none", "Mild", "moderate", "severe")
    assert any("'ward'" in note and "kind: ordinal" in note for note in draft.notes)


def test_a_misspelt_column_is_suggested(visits):
    with pytest.raises(InvalidInput, match="'outcom'.*'outcome'"):
        draft_schema(visits, "t", label="outcom")


def test_without_a_label_the_option_is_named(visits):
    with pytest.raises(InvalidInput, match="--label"):
        draft_schema(visits.select(["patient_id", "year", "Age", "ward"]), "t")


def test_what_is_named_is_not_guessed(visits):
    schema = draft_schema(visits, "t", label="gender", person="remark").schema
    assert schema.label.column == "gender"
    assert schema.person == "remark"
    assert schema.time is None
    with pytest.raises(InvalidInput, match="'weigth'"):
        draft_schema(visits, "t", label="weigth")


def test_label_without_a_telling_name_is_the_last_of_two_values(visits):
    table = visits.rename_columns([*visits.column_names[:-1], "again"])
    assert draft_schema(table, "t").schema.label.column == "again"


def test_numbers_and_many_classes_make_other_labels(visits):
    rng = np.random.default_rng(1)
    assert draft_schema(visits.set_column(9, "target", [rng.normal(size=400)]), "t").schema.label.kind == "regression"
    classes = rng.choice(["a", "b", "c"], 400)
    assert draft_schema(visits.set_column(9, "target", [classes]), "t").schema.label.classes == ("a", "b", "c")


def test_booleans_are_drafted_alike_from_every_file(visits, tmp_path):
    flags = np.random.default_rng(2).random((2, len(visits))) < 0.5
    table = visits.select(["patient_id", "year", "Age"]).append_column("female", [flags[0]])
    table = table.append_column("outcome", [flags[1]])
    pq.write_table(table, tmp_path / "t.parquet")
    table.to_pandas().to_csv(tmp_path / "t.csv", index=False)
    drafts = [draft_schema(read_columns(tmp_path / name), "t") for name in ("t.parquet", "t.csv")]
    assert drafts[0] == drafts[1]
    read = [read_table(tmp_path / name, drafts[0].schema) for name in ("t.parquet", "t.csv")]
    assert read[0].groups["sex"].levels == ("female", "male")
    np.testing.assert_array_equal(read[0].labels, flags[1])
    assert read[0].digest == read[1].digest


def test_nobody_to_be_the_person(visits):
    with pytest.raises(InvalidInput, match="person"):
        draft_schema(visits.drop_columns(["patient_id", "remark"]), "t")


def test_a_written_draft_reads_back(visits, tmp_path):
    draft = draft_schema(visits, "t")
    write_draft(draft, tmp_path / "schema.yaml")
    assert read_schema(tmp_path / "schema.yaml") == draft.schema
    assert "# - " in (tmp_path / "schema.yaml").read_text()


@pytest.mark.parametrize(
    "table",
    [load_rand_hie((2, 3)), simulate_multiple_sclerosis(2000, 1, case_share=0.3)],
    ids=["rand_hie", "multiple_sclerosis"],
)
def test_drafts_of_known_tables_find_their_keys_and_pass_the_checks(table):
    schema = draft_schema(table.columns, "again").schema
    assert schema.person == "person"
    assert "sex" in schema.groups
    assert not [f for f in check_table(table.columns, schema, "t") if f.severity == "error"]


def test_a_label_with_gaps_is_still_the_last_column_of_two_values(visits):
    rng = np.random.default_rng(1)
    answers = [None, *rng.choice(["no", "yes"], len(visits) - 1)]
    columns = visits.rename_columns({"outcome": "smoker"}).append_column("readmitted", pa.array(answers))
    draft = draft_schema(columns, "t")
    assert draft.schema.label.column == "readmitted"
    assert any("'readmitted'" in note and "'smoker'" in note for note in draft.notes)


def test_the_positive_class_is_known_by_its_word(visits):
    for no, yes in (("nein", "ja"), ("no", "sí"), ("false", "true"), ("0", "1")):
        answers = pa.array([no, yes] * (len(visits) // 2))
        assert (
            draft_schema(visits.append_column("outcome_2", answers), "t", label="outcome_2").schema.label.positive
            == yes
        )


def test_a_column_whose_name_no_feature_may_have_is_left_out_with_a_note(visits):
    draft = draft_schema(visits.append_column("BMI [kg/m2]", visits["Age"]), "t")
    assert "BMI [kg/m2]" not in draft.schema.features
    assert any("'BMI [kg/m2]'" in note and "rename" in note for note in draft.notes)


def test_no_rows_to_guess_from(visits):
    with pytest.raises(InvalidInput, match="no rows"):
        draft_schema(visits.slice(0, 0), "t")


def test_a_column_that_occurs_twice(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("id,bmi,bmi\n1,2,3\n")
    with pytest.raises(InvalidInput, match="'bmi' occurs 2 times in t.csv"):
        read_columns(path)


def test_what_may_be_a_code_and_what_is_spelt_in_two_ways_is_said(visits):
    severity = np.resize(["none", "mild", "Severe", "severe"], len(visits))
    table = visits.append_column("zip_code", pa.array(np.arange(len(visits)) % 90 + 1000))
    draft = draft_schema(table.append_column("severity", pa.array(severity)), "t")
    assert draft.schema.features["severity"].kind == "categorical"
    assert any("'zip_code'" in note and "code" in note for note in draft.notes)
    assert any("'severity'" in note and "'Severe'" in note and "alike" in note for note in draft.notes)


@pytest.mark.parametrize(
    ("share", "word", "kind"),
    [(0.05, "n.a.", "numeric"), (0.4, "n.a.", "numeric"), (0.7, "lost {}", None), (0.4, "Jane Doe {}, called", None)],
)
def test_numbers_among_words_stay_numbers_and_few_words_are_named(visits, share, word, kind):
    rng = np.random.default_rng(0)
    words = [word.format(n) for n in range(400)]
    values = np.where(rng.random(400) < share, words, [f"{value:.3f}" for value in rng.normal(5, 1, 400)])
    draft = draft_schema(visits.append_column("lab", pa.array(values)), "t")
    assert getattr(draft.schema.features.get("lab"), "kind", None) == kind
    assert kind is None or any("'lab'" in note and "'n.a.'" in note for note in draft.notes)
    assert not any("Jane Doe" in note for note in draft.notes)


def test_many_words_among_more_numbers_are_counted(visits):
    values = [f"Jane Doe {n}" if n % 20 == 0 else f"{n}.5" for n in range(400)]
    draft = draft_schema(visits.append_column("lab", pa.array(values)), "t")
    assert draft.schema.features["lab"].kind == "numeric"
    assert any("'lab'" in note and "20 of its values" in note for note in draft.notes)
    assert not any("Jane Doe" in note for note in draft.notes)


@pytest.mark.parametrize(
    "values", [["82,9", "1.060,25", "-0,5"], ["1,234", "12,345.6"], [f"{n},{n % 7}" for n in range(300)]]
)
def test_numbers_with_commas_are_told_apart_from_names(visits, values):
    column = pa.array([values[n % len(values)] for n in range(400)])
    draft = draft_schema(visits.append_column("weight_kg", column), "t")
    assert "weight_kg" not in draft.schema.features
    assert any("'weight_kg'" in note and "commas" in note for note in draft.notes)
