"""The plots that belong to a report, chosen by what was measured and by the kind of the label."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from matplotlib.figure import Figure

from components.data.predictions import Predictions
from components.reporting.calibration import plot_calibration, plot_group_calibration, plot_scores
from components.reporting.candidates import plot_candidates
from components.reporting.checks import plot_checks
from components.reporting.confusion import plot_confusion
from components.reporting.flip_table import plot_flips
from components.reporting.group_error import plot_group_error
from components.reporting.learning import plot_learning
from components.reporting.partition import plot_blocks, plot_partition
from components.reporting.privacy import privacy_figures
from components.reporting.report import Report
from components.reporting.roc import plot_group_roc
from components.reporting.rounds import plot_rounds
from components.reporting.values import plot_group_residuals, plot_predicted_actual


def illustrate(
    report: Report,
    *,
    candidate: Predictions | None = None,
    champion: Predictions | None = None,
    learning: Mapping[str, Sequence[float]] | None = None,
    learning_metric: str = "log loss",
    chosen_round: int | None = None,
    rounds: Sequence[Mapping] = (),
) -> Report:
    """The report with every plot its contents allow.

    `candidate` and `champion` are predictions on the judged rows; `learning` is set of rows → metric by round; `rounds`
    are those of a federated training's record.
    """
    figures = _of_report(report)
    if report.privacy:
        figures |= privacy_figures(report.privacy)
    if candidate is not None:
        figures |= plots_of_predictions(candidate, champion)
    if learning:
        figures["learning"] = plot_learning(learning, metric=learning_metric, chosen_round=chosen_round)
    if rounds:
        figures["rounds"] = plot_rounds(rounds)
    return replace(report, figures=dict(report.figures) | figures)


def plots_of_predictions(candidate: Predictions, champion: Predictions | None = None) -> dict[str, Figure]:
    """What the scores themselves show, by kind of label; none without rows."""
    if not len(candidate):
        return {}
    match candidate.rule.kind:
        case "binary":
            plots = {"scores": plot_scores(candidate, champion)}
            grouped = {"group_roc": plot_group_roc, "group_calibration": plot_group_calibration}
        case "multiclass":
            plots = {"confusion": plot_confusion(candidate), "calibration": plot_calibration(candidate, champion)}
            grouped = {"group_calibration": plot_group_calibration}
        case _:
            plots = {"predicted_actual": plot_predicted_actual(candidate, champion)}
            grouped = {"group_residuals": lambda model: plot_group_residuals(model, champion)}
    return plots | ({name: plot(candidate) for name, plot in grouped.items()} if candidate.groups else {})


def _of_report(report: Report) -> dict[str, Figure]:
    figures = {}
    if report.verdict.checks:
        figures["checks"] = plot_checks(report.verdict.checks)
    if report.flips:
        figures["flips"] = plot_flips(
            report.flips, budget=report.nfr_budget, noise_floor=report.noise_floor, upper=report.nfr_upper
        )
    if any(one.nfr == one.nfr for one in report.candidates):
        figures["candidates"] = plot_candidates(
            report.candidates,
            chosen=report.chosen,
            budget=report.nfr_budget,
            champion_error=report.selection_champion_error,
            noise_floor=report.noise_floor,
        )
    if report.groups:
        figures["group_error"] = plot_group_error(
            report.groups,
            report.champion_groups,
            metric=report.group_metric,
            overall=report.error if report.group_metric == "error" else None,
        )
    if report.owners:
        horizontal = len({(owner.first_column, owner.columns) for owner in report.owners}) == 1
        figures |= {} if horizontal else {"blocks": plot_blocks(report.owners)}
        if horizontal or len({(owner.first_row, owner.rows) for owner in report.owners}) > 1:
            figures["partition"] = plot_partition(report.owners)
    return figures
