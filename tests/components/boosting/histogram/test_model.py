"""What comes out is an ordinary XGBoost model, stopped where XGBoost would stop."""

from dataclasses import replace

import numpy as np
import pytest
import xgboost

from components.boosting.model import form_of, to_document, up_to_best
from components.errors import InvalidInput

OBJECTIVES = ("binary:logistic", "multi:softprob", "reg:squarederror")


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_it_is_saved_loaded_and_explained(histogram, objective, tmp_path):
    drawn = histogram.draw_rows(400, objective=objective, categories=(3, 9), missing=0.2)
    terms = replace(drawn.terms(), rows=800)
    rows = drawn.rows(terms, held_out=slice(None))
    booster = histogram.train(terms, [rows])
    booster.save_model(tmp_path / "model.json")
    loaded = xgboost.Booster(model_file=tmp_path / "model.json")
    everything = drawn.quantised()
    margins = loaded.predict(everything, output_margin=True).reshape(400, -1)
    trained = np.concatenate([part.margins for part in rows._held_out])
    np.testing.assert_allclose(margins, trained, rtol=1e-5, atol=1e-5)
    contributions = loaded.predict(everything, pred_contribs=True).reshape(400, terms.outputs, -1)
    np.testing.assert_allclose(contributions.sum(axis=-1), margins, rtol=1e-4, atol=1e-4)
    form = form_of(to_document(booster))
    assert (form.objective, form.outputs) == (objective, terms.outputs)
    assert form.features == terms.cuts.names
    assert booster.num_boosted_rounds() == 4


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_sums_can_be_kept_out_of_what_is_published(histogram, objective):
    """Gains and weights of inner nodes go too: sums follow from them."""
    drawn = histogram.draw_rows(400, objective=objective, categories=(3, 9), missing=0.2)
    terms = drawn.terms()
    whole = histogram.train(terms, [drawn.rows(terms)])
    bare = histogram.train(terms, [drawn.rows(terms)], publish_sums=False)
    everything = drawn.quantised()
    np.testing.assert_array_equal(bare.predict(everything), whole.predict(everything))
    for tree, full in zip(histogram.trees_of(bare), histogram.trees_of(whole), strict=True):
        assert not any(tree["sum_hessian"])
        assert not any(tree["loss_changes"])
        inner = [node for node, left in enumerate(tree["left_children"]) if left >= 0]
        assert not any(tree["base_weights"][node] for node in [0, *inner])
        changed = {"sum_hessian", "loss_changes", "base_weights"}
        assert {key for key in tree if tree[key] != full[key]} <= changed
        assert any(full["loss_changes"])


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_it_stops_where_xgboost_stops(histogram, objective):
    drawn = histogram.draw_rows(500, objective=objective, categories=(9,), missing=0.1)
    terms = drawn.terms(rounds=60, eta=0.5, early_stopping_rounds=4)
    shown, held_out = slice(0, 350), slice(350, 500)
    reported = []
    ours = histogram.train(
        terms,
        [drawn.rows(terms, slice(0, 200), slice(350, 400)), drawn.rows(terms, slice(200, 350), slice(400, 500))],
        progress=lambda done, rounds, loss: reported.append(loss),
    )
    measured = {}
    theirs = histogram.train_xgboost(
        drawn,
        terms,
        ours,
        shown,
        evals=[(drawn.plain(held_out), "held_out")],
        early_stopping_rounds=4,
        evals_result=measured,
    )
    ((metric, losses),) = measured["held_out"].items()
    assert len(losses) < 60
    np.testing.assert_allclose(np.sqrt(reported) if metric == "rmse" else reported, losses, rtol=1e-5)
    assert ours.num_boosted_rounds() == theirs.best_iteration + 1
    assert histogram.assert_same_trees(ours, up_to_best(theirs)) == 1


def test_stopping_without_validation_rows_is_refused(histogram):
    drawn = histogram.draw_rows(50)
    terms = drawn.terms(early_stopping_rounds=2)
    with pytest.raises(InvalidInput, match="early_stopping_rounds is 2"):
        histogram.train(terms, [drawn.rows(terms)])


def test_terms_that_cannot_be_are_refused(histogram):
    terms = histogram.draw_rows(50).terms()
    for change, named in (
        ({"objective": "rank:ndcg"}, "rank:ndcg"),
        ({"label_range": (1.0, 1.0)}, "label_range"),
        ({"outputs": 3}, "outputs is 3"),
    ):
        with pytest.raises(InvalidInput, match=named):
            replace(terms, **change)


def test_nothing_worth_a_split_leaves_the_intercept(histogram):
    drawn = histogram.draw_rows(60)
    terms = drawn.terms(min_child_weight=1000.0)
    booster = histogram.train(terms, [drawn.rows(terms)])
    assert [len(tree["parents"]) for tree in histogram.trees_of(booster)] == [1] * 4
    np.testing.assert_allclose(booster.predict(drawn.quantised()), drawn.labels.mean(), rtol=1e-6)
