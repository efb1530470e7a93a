"""Group figures against scikit-learn and statsmodels; groups that are absent, small, or right in every row."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss
from statsmodels.stats.proportion import proportion_confint

from components.data.predictions import Predictions
from components.data.schema import BinaryLabel, MulticlassLabel, RegressionLabel
from components.data.table import GroupColumn
from components.errors import InvalidInput
from components.fairness import group_metrics

LEVELS = ("a", "b", "absent")


@pytest.fixture(scope="module")
def predictions() -> Predictions:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 600).astype(np.int32)
    scores = np.clip(0.3 + 0.4 * labels + rng.normal(0, 0.25, 600), 0.01, 0.99)
    groups = {
        "site": GroupColumn((np.arange(600) < 400).astype(np.int32), LEVELS),
        "sex": GroupColumn(rng.integers(0, 2, 600).astype(np.int32), ("f", "m")),
    }
    return Predictions(BinaryLabel(column="y"), np.arange(600).astype(str), labels, groups, scores)


def named(metrics):
    return {metric.group: metric for metric in metrics}


def test_error_has_wilsons_interval(predictions):
    found = named(group_metrics(predictions, "error"))["site=b"]
    wrong = int((~predictions.right[:400]).sum())
    assert (found.n, found.events, found.value) == (400, wrong, pytest.approx(wrong / 400))
    assert (found.lower, found.upper) == pytest.approx(proportion_confint(wrong, 400, method="wilson"))


@pytest.mark.parametrize(("metric", "label"), [("false_positive_rate", 0), ("false_negative_rate", 1)])
def test_false_rates_count_the_rows_they_are_about(predictions, metric, label):
    found = named(group_metrics(predictions, metric))["site=a"]
    rows = (np.arange(600) >= 400) & (predictions.labels == label)
    assert found.n == rows.sum()
    assert found.value == pytest.approx(np.mean(~predictions.right[rows]))


@pytest.mark.parametrize(("metric", "oracle"), [("log_loss", log_loss), ("brier", brier_score_loss)])
def test_losses_are_scikit_learns(predictions, metric, oracle):
    found = named(group_metrics(predictions, metric))["site=b"]
    assert found.value == pytest.approx(oracle(predictions.labels[:400], predictions.scores[:400]))
    assert found.lower < found.value < found.upper
    assert found.events is None


def test_multiclass_losses_are_scikit_learns(predictions):
    rng = np.random.default_rng(3)
    labels, scores = rng.integers(0, 3, 600).astype(np.int32), rng.dirichlet(np.ones(3), 600)
    rule = MulticlassLabel(column="y", kind="multiclass", classes=("x", "y", "z"))
    multiclass = Predictions(rule, predictions.row_ids, labels, predictions.groups, scores)
    value = {metric: named(group_metrics(multiclass, metric))["site=b"].value for metric in ("log_loss", "brier")}
    assert value["log_loss"] == pytest.approx(log_loss(labels[:400], scores[:400], labels=[0, 1, 2]))
    assert value["brier"] == pytest.approx(np.mean(np.sum((scores - np.eye(3)[labels])[:400] ** 2, axis=1)))
    sure = named(group_metrics(multiclass, "calibration_gap"))["site=b"].value
    assert sure == pytest.approx(np.mean(scores[:400].max(axis=1)) - np.mean(multiclass.right[:400]))


def test_calibration_gap_is_said_minus_seen(predictions):
    found = named(group_metrics(predictions, "calibration_gap"))["site=b"]
    assert found.value == pytest.approx(predictions.scores[:400].mean() - predictions.labels[:400].mean())


@pytest.mark.parametrize("metric", ["error", "false_positive_rate", "log_loss"])
def test_an_absent_group_is_listed_without_a_figure(predictions, metric):
    found = named(group_metrics(predictions, metric))["site=absent"]
    assert found.n == 0
    assert np.isnan([found.value, found.lower, found.upper]).all()


@pytest.mark.parametrize(("right", "bounds"), [(True, (0, 1 - 0.025 ** (1 / 30))), (False, (0.025 ** (1 / 30), 1))])
def test_a_group_without_error_is_not_certain(right, bounds):
    """No error in 30 rows leaves room for one in nine."""
    groups = {"g": GroupColumn(np.zeros(30, dtype=np.int32), ("only",))}
    scores = np.full(30, 0.1 if right else 0.9)
    sample = Predictions(
        BinaryLabel(column="y"), np.arange(30).astype(str), np.zeros(30, dtype=np.int32), groups, scores
    )
    (found,) = group_metrics(sample, "error")
    assert (found.lower, found.upper) == pytest.approx(bounds)
    (repeated,) = group_metrics(sample, "error", persons=np.arange(30) % 3)
    assert (repeated.upper - repeated.lower) == pytest.approx(1 - 0.025 ** (1 / 3))


def test_intersections_are_listed_at_depth_two(predictions):
    found = named(group_metrics(predictions, "error", depth=2))
    rows = (np.arange(600) < 400) & (predictions.groups["sex"].codes == 0)
    assert found["site=b & sex=f"].value == pytest.approx(np.mean(~predictions.right[rows]))
    assert found["site=absent & sex=m"].n == 0


def test_several_rows_of_a_person_widen_the_interval(predictions):
    """Every row five times over is no news; rows counted as people would say it is."""
    rows = np.repeat(np.arange(600), 5)
    once = named(group_metrics(predictions, "error"))["site=b"]
    again = named(group_metrics(predictions.take(rows), "error", persons=predictions.row_ids[rows]))["site=b"]
    assert again.n == 5 * once.n
    assert again.upper - again.lower == pytest.approx(once.upper - once.lower, rel=0.08)


def test_no_groups_give_no_figures(predictions):
    ungrouped = Predictions(predictions.rule, predictions.row_ids, predictions.labels, {}, predictions.scores)
    assert group_metrics(ungrouped, "error") == ()


@pytest.mark.parametrize("metric", ["log_loss", "false_positive_rate"])
def test_metrics_a_number_does_not_have_are_refused(predictions, metric):
    rule = RegressionLabel(column="y", kind="regression", tolerance=0.3)
    numbers = Predictions(rule, predictions.row_ids, predictions.labels * 1.0, predictions.groups, predictions.scores)
    assert group_metrics(numbers, "error")[0].n == 200
    with pytest.raises(InvalidInput, match=metric):
        group_metrics(numbers, metric)


def test_an_unknown_metric_is_refused(predictions):
    with pytest.raises(InvalidInput, match="accuracy"):
        group_metrics(predictions, "accuracy")
