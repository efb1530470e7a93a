import numpy as np
import pytest
import xgboost
from hypothesis import example, given, settings
from hypothesis import strategies as st

from components.boosting.document import class_order
from components.boosting.model import base_margins, from_document, model_digest, to_document
from components.boosting.pooled import predict_margins, train_pooled
from components.data.schema import BinaryLabel, can_be_feature

KINDS = ("binary", "multiclass", "regression")


@pytest.mark.parametrize("kind", KINDS)
def test_document_holds_the_whole_model(table_of, small, kind):
    table = table_of(kind)
    booster = train_pooled(table, small)
    again = from_document(to_document(booster))
    np.testing.assert_array_equal(predict_margins(again, table), predict_margins(booster, table))
    assert (again.feature_names, again.feature_types) == (booster.feature_names, booster.feature_types)
    assert "c" in again.feature_types


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8"), min_size=1).filter(can_be_feature))
@example("Länge des Aufenthalts")
@example('a "quoted" \\ name')
def test_whatever_may_name_a_feature_is_kept(name):
    rows = xgboost.DMatrix(np.eye(2), label=[0, 1], feature_names=[name, f"{name}'"])
    booster = xgboost.train({}, rows, 1)
    assert booster.feature_names == from_document(to_document(booster)).feature_names == rows.feature_names


def test_classes_of_any_language_are_known_again():
    label = BinaryLabel(column="answer", positive="sí")
    booster = xgboost.train({}, xgboost.DMatrix(np.eye(2), label=[0, 1]), 1)
    booster.set_attr(classes=class_order(label))
    again = from_document(to_document(booster))
    assert again.attr("classes") == to_document(again)["learner"]["attributes"]["classes"] == class_order(label)


@pytest.mark.parametrize("kind", KINDS)
def test_base_margins_are_what_a_tree_free_model_says(table_of, small, kind):
    table = table_of(kind)
    still = small.model_copy(update={"rounds": 1, "eta": 1e-12})
    booster = train_pooled(table, still)
    expected = np.atleast_1d(predict_margins(booster, table)[0])
    np.testing.assert_allclose(base_margins(to_document(booster)), expected, rtol=1e-6)


def test_base_margins_of_the_older_scalar_notation(table_of, small):
    document = to_document(train_pooled(table_of("binary"), small))
    document["learner"]["learner_model_param"]["base_score"] = "2.5E-1"
    assert base_margins(document) == pytest.approx([-np.log(3)])


def test_digest_ignores_the_file_format(table_of, small, tmp_path):
    booster = train_pooled(table_of("multiclass"), small)
    for extension in ("json", "ubj"):
        booster.save_model(tmp_path / f"m.{extension}")
        assert model_digest(xgboost.Booster(model_file=tmp_path / f"m.{extension}")) == model_digest(booster)


@pytest.mark.parametrize("part", ["leaf", "threshold", "intercept", "direction", "name"])
def test_digest_changes_with_whatever_changes_predictions(table_of, small, part):
    booster = train_pooled(table_of("binary"), small)
    document = to_document(booster)
    learner = document["learner"]
    tree = learner["gradient_booster"]["model"]["trees"][-1]
    match part:
        case "leaf":
            tree["split_conditions"][tree["left_children"].index(-1)] += 1e-3
        case "threshold":
            tree["split_conditions"][0] += 1e-3
        case "intercept":
            learner["learner_model_param"]["base_score"] = "[4E-1]"
        case "direction":
            tree["default_left"][0] = 1 - tree["default_left"][0]
        case "name":
            learner["feature_names"][0] = "z"
    assert model_digest(from_document(document)) != model_digest(booster)
