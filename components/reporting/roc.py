"""ROC curves of a binary model: all rows with the champion beside the candidate, and one panel a group column.

The curve has one point per distinct score, so ties cost what they should, and its area equals the chance that a random
positive outranks a random negative, ties counted half (Hanley and McNeil, Radiology 143, 1982).
"""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from components.data.predictions import Predictions
from components.data.table import GroupColumn
from components.reporting import style
from components.reporting.levels import drawn_levels, group_panels, name_the_rest, name_without_line
from components.reporting.numbers import count


@dataclass(frozen=True)
class Roc:
    """`false_positive_rate` and `true_positive_rate` from (0, 0) to (1, 1), and the area under them."""

    false_positive_rate: np.ndarray
    true_positive_rate: np.ndarray
    area: float


def roc(labels: np.ndarray, scores: np.ndarray) -> Roc | None:
    """The curve of (n,) 0/1 labels and scores; None where either class is absent."""
    positives = int(np.count_nonzero(labels))
    negatives = len(labels) - positives
    if not positives or not negatives:
        return None
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)
    true = np.cumsum(labels[order])[last_of_tie]
    false = last_of_tie + 1 - true
    x, y = np.append(0, false) / negatives, np.append(0, true) / positives
    return Roc(x, y, float(np.trapezoid(y, x)))


def draw_roc(axes: Axes, candidate: Predictions, champion: Predictions | None = None) -> None:
    """Candidate and champion over all rows, in one panel."""
    style.heading(style.tidy(axes), f"ROC, {count(len(candidate))} rows")
    _diagonal(axes)
    for name, model, colour in compared(candidate, champion):
        if curve := roc(model.labels, model.scores):
            _line(axes, curve, f"{name}, AUC {curve.area:.3f}", colour=colour)
        else:
            name_without_line(axes, f"{name}, one class only", colour)
    _finish(axes)


def compared(candidate: Predictions, champion: Predictions | None) -> list[tuple[str, Predictions, str]]:
    """(name, predictions, colour) of what there is to draw, the candidate first."""
    models = [("candidate", candidate, style.CANDIDATE)]
    return models + ([("champion", champion, style.CHAMPION)] if champion is not None else [])


def plot_group_roc(candidate: Predictions) -> Figure:
    """One panel a group column, one curve a level; small groups faint, each with its rows."""
    names = list(candidate.groups)
    figure, panels = group_panels(names)
    for axes, name in zip(panels, names, strict=True):
        _diagonal(axes)
        _levels(axes, candidate, candidate.groups[name])
        _finish(axes)
    return style.describe(figure, f"ROC curves of the candidate per level of {', '.join(names) or 'no group'}.")


def _levels(axes: Axes, candidate: Predictions, column: GroupColumn) -> None:
    levels = drawn_levels(column)
    for level in levels:
        if curve := roc(candidate.labels[level.inside], candidate.scores[level.inside]):
            name = f"{level.name}, AUC {curve.area:.2f}, n {count(level.rows)}"
            _line(axes, curve, name, colour=level.colour, alpha=level.opacity)
        else:
            why = f"one class only, n {count(level.rows)}" if level.rows else "no rows"
            name_without_line(axes, f"{level.name}, {why}", level.colour)
    name_the_rest(axes, column, levels)


def _diagonal(axes: Axes) -> None:
    axes.plot([0, 1], [0, 1], color=style.MUTED, linewidth=0.8, linestyle=(0, (2, 3)))


def _line(axes: Axes, curve: Roc, name: str, *, colour: str, alpha: float = 1) -> None:
    axes.plot(
        curve.false_positive_rate,
        curve.true_positive_rate,
        color=colour,
        alpha=alpha,
        linewidth=1.7,
        label=style.key_name(name),
    )


def _finish(axes: Axes) -> None:
    style.key(axes, corner="lower right")
    style.as_percent(axes)
    place = axes.get_subplotspec()
    style.axis_names(
        axes,
        x="false positive rate" if place.is_last_row() else "",
        y="true positive rate" if place.is_first_col() else "",
    )
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
