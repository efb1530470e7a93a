"""The opened model is an ordinary XGBoost model, and says of new rows what the shared one says."""

import json

import mlflow.pyfunc
import mlflow.xgboost
import numpy as np
import pandas as pd
import pytest
import xgboost

from components.boosting.blend import blend
from components.boosting.model import base_margins, form_of, require_updatable, to_document
from components.boosting.secret_shared import OPENED
from components.data.schema import Schema
from components.data.table import Table

OBJECTIVES = ("binary:logistic", "reg:squarederror", "multi:softprob")
KIND = {"missing": 0.15, "categorical": 2}


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("layout", ["vertical", "mixed"])
def test_new_rows_are_scored_alike_on_shares_and_by_the_opened_model(boosting, objective, layout):
    """Training rows never show the last two bins; new rows have them, and gaps."""
    data = boosting.draw_bins(1500, objective=objective, **KIND)
    data.bins[data.bins == boosting.BINS - 1] = boosting.BINS - 3
    data.bins[data.bins == boosting.BINS - 2] = boosting.BINS - 3
    new = boosting.draw_bins(400, objective=objective, missing=0.4, categorical=2, seed=5)
    parties = 3 if layout == "mixed" else 2
    trained = boosting.train_on(data, layout, parties, scored=new, analyst=parties - 1)
    opened = boosting.opened_margins(trained, new)
    scale = 95 if objective == "reg:squarederror" else 1
    np.testing.assert_allclose(boosting.shared_margins(trained), opened, rtol=0, atol=1e-5 * scale)
    assert len(np.unique(opened)) > 20


@pytest.mark.parametrize("objective", OBJECTIVES[:2])
def test_pure_nodes_and_no_penalty_leave_no_difference_either(boosting, objective):
    """Without lambda, splitting rows that are all alike gains nothing, and only noise decides whether it is done."""
    data = boosting.draw_bins(600, 3, objective=objective)
    data.labels[:] = (data.bins[:, 0] > 3) * 1.0
    parameters = boosting.settings(reg_lambda=0.0, min_child_weight=1.0, rounds=4, max_depth=4)
    trained = boosting.train_on(data, parameters=parameters)
    opened = boosting.opened_margins(trained, data)
    np.testing.assert_allclose(boosting.shared_margins(trained), opened, rtol=0, atol=2e-3)


def test_mlflows_own_flavour_loads_it_and_says_what_xgboost_says(boosting, trained_once, tmp_path):
    trained, data = trained_once(data={"objective": OBJECTIVES[0]}), boosting.draw_bins(objective=OBJECTIVES[0])
    versions = [f"xgboost=={xgboost.__version__}"]
    mlflow.xgboost.save_model(trained.booster, tmp_path / "model", model_format="json", pip_requirements=versions)
    rows = data.matrix(labels=False)
    said = trained.booster.predict(rows)
    assert len(np.unique(said)) > 20
    np.testing.assert_array_equal(mlflow.xgboost.load_model(str(tmp_path / "model")).predict(rows), said)
    frame = pd.DataFrame(rows.get_data().toarray(), columns=rows.feature_names)
    np.testing.assert_array_equal(mlflow.pyfunc.load_model(str(tmp_path / "model")).predict(frame), said)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_it_is_saved_loaded_and_explained(boosting, trained_once, tmp_path, objective):
    trained, data = trained_once(data={"objective": objective, **KIND}), boosting.draw_bins(objective=objective, **KIND)
    trained.booster.save_model(tmp_path / "model.json")
    loaded = xgboost.Booster(model_file=tmp_path / "model.json")
    rows = data.matrix(labels=False)
    margins = trained.booster.predict(rows, output_margin=True)
    np.testing.assert_array_equal(loaded.predict(rows, output_margin=True), margins)
    contributions = loaded.predict(rows, pred_contribs=True)
    assert contributions.shape[-1] == data.bins.shape[1] + 1
    np.testing.assert_allclose(contributions.sum(axis=-1), margins, rtol=1e-4, atol=1e-4)
    assert np.abs(contributions[..., 0]).mean() > np.abs(contributions[..., 3]).mean()
    assert loaded.feature_names == [shape.name for shape in data.shapes]


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_its_sums_and_gains_are_those_xgboost_keeps(boosting, trained_once, objective):
    """Cover, gain and weight of every node, by XGBoost's own training, which estimates the same intercept."""
    trained, data = trained_once(data={"objective": objective}), boosting.draw_bins(objective=objective)
    ours = to_document(trained.booster)
    options = boosting.options_of(trained.agreement)
    theirs = to_document(xgboost.train(options, data.matrix(), trained.agreement.parameters.rounds))
    np.testing.assert_allclose(base_margins(ours), base_margins(theirs), atol=1e-4)
    pairs = zip(*(one["learner"]["gradient_booster"]["model"]["trees"] for one in (ours, theirs)), strict=True)
    for one, other in pairs:
        for name in ("left_children", "right_children", "parents", "split_indices", "split_type"):
            assert one[name] == other[name], name
        for name in ("sum_hessian", "base_weights", "loss_changes"):
            np.testing.assert_allclose(one[name], other[name], rtol=2e-3, atol=2e-3, err_msg=name)


def test_nodes_that_did_not_split_are_leaves(boosting, trained_once):
    trained = trained_once(gamma=12.0)
    trees = to_document(trained.booster)["learner"]["gradient_booster"]["model"]["trees"]
    full = 2 ** (trained.agreement.parameters.max_depth + 1) - 1
    assert any(1 < len(tree["parents"]) < full for tree in trees)
    for tree in trees:
        left = np.array(tree["left_children"])
        assert (left >= 0).sum() == (len(left) - 1) // 2
        assert (np.array(tree["loss_changes"])[left >= 0] > 12 - 1e-3).all()
        assert (np.array(tree["sum_hessian"]) > 0).all()


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_it_can_be_updated_and_blended(boosting, trained_once, objective):
    described = {"objective": objective, **KIND}
    new, old = trained_once(data=described), trained_once(data=described, seed=2, subsample=0.6)
    data = boosting.draw_bins(**described)
    form = form_of(to_document(new.booster))
    assert form.objective == objective
    assert form.outputs == new.agreement.outputs
    assert form.features == tuple(shape.name for shape in data.shapes)
    mixed = blend(new.booster, old.booster, old_weight=0.3)
    margins = [one.predict(data.matrix(), output_margin=True) for one in (new.booster, old.booster, mixed)]
    np.testing.assert_allclose(0.7 * margins[0] + 0.3 * margins[1], margins[2], rtol=1e-4, atol=1e-4)

    labels = {
        "binary:logistic": {"column": "y"},
        "reg:squarederror": {"column": "y", "kind": "regression", "tolerance": 1.0},
        "multi:softprob": {"column": "y", "kind": "multiclass", "classes": ["a", "b", "c"]},
    }
    schema = Schema(
        name="bins",
        person="p",
        label=labels[objective],
        features={
            shape.name: {"kind": shape.kind} | ({"categories": list("abcde")} if shape.kind == "categorical" else {})
            for shape in data.shapes
        },
    )
    require_updatable(new.booster, Table(schema, None))


@pytest.mark.parametrize(("layout", "parties"), [("vertical", 2), ("horizontal", 3)])
def test_what_is_revealed_is_what_was_declared(boosting, layout, parties):
    parameters = boosting.settings(rounds=2, max_depth=2)
    data = boosting.draw_bins(300, objective="multi:softprob", missing=0.1)
    trained = boosting.train_on(data, layout, parties, parameters)
    trees, inner, leaves = 2 * boosting.CLASSES, 3, 4
    wanted = {
        "splits": trees * inner,
        "cuts": trees * inner,
        "sums": 2 * trees * (inner + leaves),
        "leaves": trees * leaves,
        "base": boosting.CLASSES,
    }
    assert tuple(wanted) == OPENED
    for engine in trained.engines:
        assert dict(engine.revealed) == wanted | {"margins": boosting.CLASSES * 300}
    json.dumps(to_document(trained.booster), allow_nan=False)
