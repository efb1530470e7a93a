"""Figures hold the data they were given, whatever the data; nothing warns, nothing is blank."""

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image
from sklearn.metrics import roc_auc_score, roc_curve
from statsmodels.stats.proportion import proportion_confint

from components.compatibility.flips import FlipCounts
from components.data.table import GroupColumn
from components.fairness.group_error import GroupMetric
from components.gates.choice import CandidateScore
from components.gates.verdict import Check, Outcome
from components.reporting import OwnerSummary, png
from components.reporting.calibration import plot_group_calibration, plot_scores, reliability
from components.reporting.candidates import plot_candidates
from components.reporting.checks import plot_checks, worst_first
from components.reporting.confusion import plot_confusion
from components.reporting.flip_table import plot_flips
from components.reporting.gallery import plots_of_predictions
from components.reporting.group_error import plot_group_error
from components.reporting.learning import plot_learning
from components.reporting.partition import plot_blocks, plot_partition
from components.reporting.roc import plot_group_roc, roc
from components.reporting.style import legible, shorten, spread
from components.reporting.values import plot_group_residuals, plot_predicted_actual

pytestmark = pytest.mark.filterwarnings("error")
NAN = float("nan")


def texts(figure: Figure) -> set[str]:
    """Every text of a figure: tick labels, titles, legends and notes."""
    found = [figure._supxlabel] + [text for legend in figure.legends for text in legend.get_texts()]
    for axes in figure.axes:
        found += [*axes.texts, *axes.get_xticklabels(), *axes.get_yticklabels(), axes.xaxis.label, axes.yaxis.label]
        found += [axes.title, axes._left_title] + (axes.get_legend().get_texts() if axes.get_legend() else [])
    return {text.get_text() for text in found if text is not None}


def points(figure: Figure) -> np.ndarray:
    """(n, 2) every point of every line, in data coordinates."""
    lines = [np.column_stack(line.get_data()) for axes in figure.axes for line in axes.lines if len(line.get_xdata())]
    return np.concatenate([line.astype(float) for line in lines]) if lines else np.empty((0, 2))


def has_point(figure: Figure, x: float, y: float | None = None) -> bool:
    at = points(figure)
    return bool((np.isclose(at[:, 0], x) & (y is None or np.isclose(at[:, 1], y))).any())


def assert_drawn(figure: Figure) -> None:
    """A PNG of the figure's size at 200 dots an inch with more than one colour on it."""
    image = np.asarray(Image.open(BytesIO(png(figure))).convert("RGB"))
    assert image.shape[1] == round(200 * figure.get_figwidth())
    assert image.std() > 3
    assert figure.get_label()


def test_roc_agrees_with_scikit_learn_also_on_ties(pair):
    labels, scores = pair[0].labels, np.round(pair[0].scores, 1)
    curve = roc(labels, scores)
    x, y, _ = roc_curve(labels, scores, drop_intermediate=False)
    np.testing.assert_allclose(curve.false_positive_rate, x)
    np.testing.assert_allclose(curve.true_positive_rate, y)
    assert curve.area == pytest.approx(roc_auc_score(labels, scores))


def test_roc_of_one_class_is_none():
    assert roc(np.ones(5, dtype=int), np.linspace(0, 1, 5)) is None
    assert roc(np.zeros(0, dtype=int), np.zeros(0)) is None


def test_reliability_bins_hold_every_row_once_with_wilsons_interval(pair):
    bins = reliability(pair[0].labels, pair[0].scores)
    assert bins.rows.sum() == len(pair[0])
    assert bins.rows.max() - bins.rows.min() <= 1
    assert np.average(bins.observed, weights=bins.rows) == pytest.approx(pair[0].labels.mean())
    hits = np.rint(bins.observed * bins.rows)
    lower, upper = proportion_confint(hits, bins.rows, method="wilson")
    np.testing.assert_allclose((bins.lower, bins.upper), (lower, upper), atol=1e-6)


def test_reliability_keeps_rows_of_one_score_together():
    scores = np.repeat([0.2, 0.9], [190, 10])
    bins = reliability(np.zeros(200), scores)
    np.testing.assert_allclose(bins.score, [0.2, 0.9])
    assert bins.rows.tolist() == [190, 10]
    assert reliability(np.zeros(0), np.zeros(0)) is None


def test_scores_name_both_models_with_their_auc(pair):
    figure = plot_scores(*pair)
    for name, model in zip(("candidate", "champion"), pair, strict=True):
        assert f"{name}, AUC {roc_auc_score(model.labels, model.scores):.3f}" in texts(figure)
    assert_drawn(figure)
    assert not any("champion" in text for text in texts(plot_scores(pair[0])))


def test_group_curves_have_a_panel_a_column_and_name_every_level_with_its_rows(pair):
    for figure in (plot_group_roc(pair[0]), plot_group_calibration(pair[0])):
        said = texts(figure)
        for name, column in pair[0].groups.items():
            assert name in said
            for code, level in enumerate(column.levels):
                rows = int((column.codes == code).sum())
                wanted = f"n {rows:,}".replace(",", " ") if rows else "no rows"
                assert any(text.startswith(level) and text.endswith(wanted) for text in said), level
        assert_drawn(figure)


def test_small_groups_are_fainter(pair):
    lines = {line.get_label().split(",")[0]: line for line in plot_group_roc(pair[0]).axes[1].lines}
    assert lines["other"].get_alpha() < lines["white"].get_alpha()


@pytest.mark.parametrize("columns", [1, 3])
def test_any_number_of_group_columns(pair, columns):
    rows, rng = len(pair[0]), np.random.default_rng(0)
    groups = {f"g{n}": GroupColumn(rng.integers(0, 12, rows), tuple("abcdefghijkl")) for n in range(columns)}
    model = type(pair[0])(pair[0].rule, pair[0].row_ids, pair[0].labels, groups, pair[0].scores)
    assert "5 smaller levels not drawn" in texts(plot_group_roc(model))
    assert_drawn(plot_group_calibration(model))


def test_flip_table_shows_all_four_counts_their_shares_and_what_nfr_is_held_against():
    said = texts(plot_flips(FlipCounts(1400, 12, 33, 155), budget=0.01, noise_floor=0.0061, upper=0.0119))
    assert {"1 400", "12", "33", "155", "0.75 %", "2.06 %", "9.69 %"} <= said
    assert {"this update 0.75 %, at most 1.19 %", "noise floor 0.61 %", "budget 1 %"} <= said


@pytest.mark.parametrize("flips", [FlipCounts(0, 0, 0, 0), FlipCounts(10, 0, 0, 0), FlipCounts(0, 7, 0, 0)])
def test_flip_table_of_extreme_counts(flips):
    assert_drawn(plot_flips(flips))
    assert_drawn(plot_flips(flips, budget=0.001, noise_floor=0.0))


def test_candidates_are_all_drawn_and_the_chosen_one_ringed():
    scores = [
        CandidateScore("plain", 0.19, 0.03),
        CandidateScore("blend", 0.188, 0.01),
        CandidateScore("new", 0.2, NAN),
    ]
    figure = plot_candidates(scores, chosen="blend", champion_error=0.21, noise_floor=0.012, budget=0.02)
    assert has_point(figure, 0.03, 0.19)
    assert has_point(figure, 0.01, 0.188)
    rings = [line for line in figure.axes[0].lines if line.get_markerfacecolor() == "none"]
    assert [line.get_xydata()[0].tolist() for line in rings] == [[0.01, 0.188]]
    assert {"plain", "blend", "budget 2 %", "champion's error 21.0 %", "within seed noise", "1 not measured"} <= texts(
        figure
    )


def test_many_candidates_keep_their_names_apart():
    scores = [CandidateScore(f"sweep {n}", 0.19 + 1e-6 * n, 0.01) for n in range(40)]
    figure = plot_candidates(scores, chosen="sweep 39")
    heights = [text.xyann[1] for text in figure.axes[0].texts if text.get_text().startswith("sweep")]
    assert "sweep 39" in texts(figure)
    assert "24 more named in the table" in texts(figure)
    assert np.diff(sorted(heights)).min() >= 0.06
    assert min(heights) >= 0
    assert max(heights) <= 1


def test_no_measured_candidate_says_so():
    assert any("no candidate" in text for text in texts(plot_candidates([CandidateScore("first", 0.2, NAN)])))


def test_group_error_draws_both_models_and_keeps_empty_groups():
    new = [GroupMetric("sex=a", 400, 0.2, 0.16, 0.24, 80), GroupMetric("sex=b", 0, NAN, NAN, NAN, 0)]
    old = [GroupMetric("sex=a", 400, 0.25, 0.21, 0.29, 100), GroupMetric("sex=b", 0, NAN, NAN, NAN, 0)]
    figure = plot_group_error(new, old, overall=0.22)
    assert has_point(figure, 0.2)
    assert has_point(figure, 0.25)
    assert {"sex=a", "sex=b", "no rows", "n 0", "n 400", "all rows 22.0 %"} <= texts(figure)


def test_group_error_of_many_intersections_keeps_single_groups_and_the_most_certainly_bad():
    single = [GroupMetric(f"g={n}", 100, 0.1, 0.06, 0.14, 10) for n in range(10)]
    crossed = [GroupMetric(f"g={n} & h=0", 100, 0.1, n / 1000, 0.9, 10) for n in range(90)]
    said = texts(plot_group_error([*single, *crossed]))
    assert {one.group for one in single} <= said
    assert "g=89 & h=0" in said
    assert "g=0 & h=0" not in said
    assert any("64 more intersections" in text for text in said)


@pytest.mark.parametrize("groups", [[], [GroupMetric("a=1", 1, 0.0, 0.0, 0.975, 0)]])
def test_group_error_of_next_to_nothing(groups):
    png(plot_group_error(groups))


def test_checks_draw_value_budget_and_outcome(checks_of):
    checks = checks_of(40)
    figure = plot_checks(checks, most=40)
    assert {check.subject for check in checks} <= texts(figure)
    for check in checks:
        assert has_point(figure, check.value), check
    markers = {line.get_marker() for axes in figure.axes for line in axes.lines}
    assert {"X", "D", "o"} <= markers
    assert {"fail", "inconclusive", "pass"} <= texts(figure)


def test_two_hundred_checks_show_the_worst_and_count_the_rest(checks_of):
    checks = checks_of(200)
    figure = plot_checks(checks)
    assert "170 more checks, none of a worse outcome, in the table" in texts(figure)
    failed = next(check for check in checks if check.outcome is Outcome.FAIL)
    assert has_point(figure, failed.value)


def test_worst_first_orders_by_outcome_then_by_excess(checks_of):
    ordered = worst_first(checks_of(60))
    severity = ["FAIL", "INCONCLUSIVE", "PASS"]
    assert [severity.index(check.outcome) for check in ordered] == sorted(severity.index(c.outcome) for c in ordered)
    passed = [check.upper - check.budget for check in ordered if check.outcome is Outcome.PASS]
    assert passed == sorted(passed, reverse=True)


def test_checks_that_are_no_rates_or_have_no_figure():
    few = Check("minimum_rows", "all rows", Outcome.INCONCLUSIVE, 80, 80, 80, 500, 80, "too few", 500)
    lost = Check("golden_set", "golden rows", Outcome.INCONCLUSIVE, NAN, NAN, NAN, 0.0, 0, "none given")
    open_end = Check("group_nfr", "a=1", Outcome.PASS, 0.1, float("-inf"), float("inf"), 0.2, 9, "fine")
    said = texts(plot_checks([few, lost, open_end]))
    assert "nothing measured" in said
    assert "Rows to judge by, at least 500" in said
    assert_drawn(plot_checks([few, lost, open_end]))
    png(plot_checks([]))


def test_multiclass_plots(multiclass):
    plots = plots_of_predictions(multiclass, multiclass)
    assert set(plots) == {"confusion", "calibration", "group_calibration"}
    for figure in plots.values():
        assert_drawn(figure)
    right = multiclass.right[multiclass.labels == 0].mean()
    assert f"{100 * right:.0f}" in texts(plots["confusion"])


def test_confusion_pools_classes_and_still_adds_up(multiclass):
    wide = type(multiclass)(
        multiclass.rule.model_copy(update={"classes": tuple(f"c{n}" for n in range(40))}),
        multiclass.row_ids,
        multiclass.labels,
        multiclass.groups,
        np.pad(multiclass.scores, ((0, 0), (0, 34))),
    )
    figure = plot_confusion(wide)
    shares = figure.axes[0].collections[0].get_array().reshape(14, 14)
    assert np.isin(np.round(shares.sum(axis=1), 9), [0, 1]).all()
    assert "27 other classes" in texts(figure)


def test_regression_plots(regression):
    plots = plots_of_predictions(*regression)
    assert set(plots) == {"predicted_actual", "group_residuals"}
    candidate = regression[0]
    assert has_point(plots["predicted_actual"], candidate.labels[5], candidate.scores[5])
    inside = candidate.groups["sex"].codes == 0
    assert has_point(plots["group_residuals"], np.median((candidate.scores - candidate.labels)[inside]))
    assert "no rows" in texts(plots["group_residuals"])
    for figure in (*plots.values(), plot_predicted_actual(candidate), plot_group_residuals(candidate)):
        assert_drawn(figure)


def test_no_rows_no_plots(pair):
    assert plots_of_predictions(pair[0].take(np.zeros(0, dtype=int))) == {}


def test_one_row_and_one_class(pair):
    for rows in (np.array([0]), np.flatnonzero(pair[0].labels == 1)[:30]):
        plots = plots_of_predictions(pair[0].take(rows), pair[1].take(rows))
        assert "candidate, one class only" in texts(plots["scores"])
        assert_drawn(plots["group_calibration"])


def test_a_level_that_opens_with_an_underscore_keeps_its_place_in_the_key(pair):
    column = GroupColumn(pair[0].groups["sex"].codes, ("_a", "b"))
    model = type(pair[0])(pair[0].rule, pair[0].row_ids, pair[0].labels, {"g": column}, pair[0].scores)
    for figure in (plot_group_roc(model), plot_group_calibration(model)):
        assert any(text.strip().startswith("_a, ") for text in texts(figure))


def test_learning_curves_are_named_at_their_ends():
    figure = plot_learning({"train": [0.9, 0.6, 0.4], "selection": [0.9, 0.7, 0.72]}, chosen_round=2)
    assert has_point(figure, 3, 0.4)
    assert has_point(figure, 2, 0.7)
    assert {"train 0.4", "selection 0.72", "kept: round 2"} <= texts(figure)


def test_a_curve_has_a_dot_for_each_round_that_was_measured_and_for_no_other():
    figure = plot_learning({"selection": [NAN, NAN, 0.5, NAN, 0.7, *([NAN] * 20)]})
    line = max(figure.axes[0].lines, key=lambda line: len(line.get_xdata()))
    assert list(line.get_xdata()) == [3, 5]
    assert list(line.get_ydata()) == [0.5, 0.7]
    assert line.get_marker() == "o"
    assert "selection 0.7" in texts(figure)
    assert "nan" not in figure.get_label().lower()


@pytest.mark.parametrize("curves", [{}, {"train": []}, {"train": [NAN]}, {"train": [0.3]}, {"a": [1.0, NAN, 0.5]}])
def test_learning_curves_of_next_to_nothing(curves):
    assert_drawn(plot_learning(curves))


def test_partition_shows_rows_label_rates_and_shares(owners):
    figure = plot_partition(owners)
    said = texts(figure)
    for owner in owners:
        assert owner.owner in said
        assert has_point(figure, owner.positives / owner.rows)
    assert "sex=female" in said
    assert_drawn(figure)


@pytest.mark.parametrize(
    "owners",
    [
        [],
        [OwnerSummary("alone", 10, 10, 3)],
        [OwnerSummary("empty", 0, 0, 3, positives=0), OwnerSummary("some", 5, 4, 3, positives=5)],
        [OwnerSummary(f"o{n}", 50, 50, 3, label_mean=4.5, label_deviation=1.0) for n in range(40)],
        [OwnerSummary("a", 9, 9, 2, groups={"g": {"x": 0}}), OwnerSummary("b", 9, 9, 2, groups={"h": {"y": 9}})],
    ],
)
def test_partition_of_odd_owners(owners):
    png(plot_partition(owners))
    png(plot_blocks(owners))


def test_blocks_lie_where_the_owner_holds_them():
    owners = [OwnerSummary("h", 90, 90, 12), OwnerSummary("i", 90, 90, 20, first_column=12, holds_label=False)]
    figure = plot_blocks(owners)
    boxes = [patch.get_bbox().bounds for patch in figure.axes[0].patches]
    assert boxes == [(0, 0, 12, 90), (12, 0, 20, 90)]
    assert owners[1].label is None
    labelled = [text for text in texts(figure) if text.endswith("label")]
    assert len(labelled) == 1


def test_names_are_never_mathematics_and_unknown_letters_become_boxes():
    name = r"income $50k to $60k & \frac{1}{0}"
    figure = plot_group_error([GroupMetric(f"a={name}", 90, 0.1, 0.05, 0.2, 9)])
    png(figure)
    assert legible("名 a\nb") == "□ a b"
    assert shorten("x" * 99, 30) == "x" * 15 + "…" + "x" * 14


@given(st.lists(st.floats(0, 1), max_size=15))
def test_spread_keeps_order_distance_and_bounds(wanted):
    placed = spread(wanted, 0.06)
    order = np.argsort(wanted, kind="stable")
    assert (np.diff(placed[order]) >= 0.06 - 1e-9).all()
    assert ((placed >= -1e-9) & (placed <= 1 + 1e-9)).all()


def test_spread_leaves_alone_what_is_apart():
    np.testing.assert_allclose(spread([0.9, 0.1, 0.5], 0.06), [0.9, 0.1, 0.5])
