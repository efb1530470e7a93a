"""What a schema refuses, beyond what its keys say; every other rule is tested where it matters."""

import pytest

from components.data.schema import Schema, read_schema, validated, write_schema
from components.errors import InvalidInput

FEATURE = {"name": "visits", "person": "id", "label": {"column": "ill"}}


@pytest.mark.parametrize(
    "feature",
    [
        {"edges": [3, 1]},
        {"edges": [1, 1]},
        {"edges": [0, float("nan")]},
        {"edges": [0, float("inf")]},
        {"kind": "ordinal", "categories": ["low", "high"], "edges": [0.5]},
        {"kind": "categorical", "categories": ["a", "b"], "edges": [0.5]},
    ],
)
def test_public_cut_points_that_make_no_sense(feature):
    with pytest.raises(InvalidInput, match=r"age.*edges"):
        validated(Schema, {**FEATURE, "features": {"age": feature}}, "visits.yaml")


def test_public_cut_points_are_read_as_they_were_written(tmp_path):
    schema = validated(Schema, {**FEATURE, "features": {"age": {"edges": [18, 35.5]}, "dose": {}}}, "visits.yaml")
    write_schema(schema, tmp_path / "visits.yaml")
    assert read_schema(tmp_path / "visits.yaml") == schema
    assert schema.features["age"].edges == (18, 35.5)
    assert schema.features["dose"].edges is None


@pytest.mark.parametrize("name", ["BMI [kg/m2]", "a<b", "a\x1bb", "a\\u00e4"])
def test_names_that_no_feature_may_have(name):
    with pytest.raises(InvalidInput, match="rename the column"):
        validated(Schema, {**FEATURE, "features": {name: {}}}, "visits.yaml")


def test_a_misspelt_key_is_told_what_it_may_be():
    with pytest.raises(InvalidInput, match="'lable' is not a known key; did you mean 'label'"):
        validated(Schema, {"name": "t", "person": "p", "features": {"a": {}}, "lable": {"column": "y"}}, "t.yaml")
