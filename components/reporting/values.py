"""What a regression says against what was true, and how far off it is for each group.

Errors of a regression have a size and a direction; a group whose median lies off zero is served with a bias even where
its share of rows within the tolerance looks like everyone's.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from components.data.predictions import Predictions
from components.reporting import style
from components.reporting.numbers import count, quantity
from components.reporting.roc import compared

MOST_DOTS = 4000


def plot_predicted_actual(candidate: Predictions, champion: Predictions | None = None) -> Figure:
    """Predicted against actual, one panel a model, with the tolerance as a band round the diagonal; needs a row."""
    models = compared(candidate, champion)
    figure = style.canvas(height=3.7 if len(models) == 2 else 5)
    panels = figure.subplots(1, len(models), sharex=True, sharey=True, squeeze=False)[0]
    everything = np.concatenate([values for _, model, _ in models for values in (model.labels, model.scores)])
    low, high = everything.min(), everything.max()
    margin = 0.03 * (high - low) or 1.0
    ends = np.array([low - margin, high + margin])
    rows = np.arange(len(candidate))
    if len(rows) > MOST_DOTS:
        rows = np.random.default_rng(0).choice(rows, MOST_DOTS, replace=False)
        style.footnote(figure, f"{count(MOST_DOTS)} of {count(len(candidate))} rows, drawn at random")
    for axes, (name, model, colour) in zip(panels, models, strict=True):
        style.tidy(axes)
        off = np.abs(model.scores - model.labels)
        style.heading(axes, f"{name}, off by {quantity(float(off.mean()))}")
        axes.fill_between(
            ends, ends - model.rule.tolerance, ends + model.rule.tolerance, color=style.FAINT, linewidth=0
        )
        axes.plot(ends, ends, color=style.MUTED, linewidth=0.8)
        axes.plot(model.labels[rows], model.scores[rows], "o", color=colour, alpha=0.3, markersize=3, markeredgewidth=0)
        style.axis_names(axes, x="actual", y="predicted" if axes is panels[0] else "")
        axes.set(xlim=ends, ylim=ends, aspect="equal")
    return style.describe(figure, f"Predicted against actual values of {count(len(candidate))} rows.")


def plot_group_residuals(candidate: Predictions, champion: Predictions | None = None) -> Figure:
    """Per group level the middle half (thick), the middle 90 % (thin) and the median (dot) of predicted − actual."""
    rows = [("all rows", np.ones(len(candidate), dtype=bool))]
    rows += [
        (f"{name}={level}", column.codes == code)
        for name, column in candidate.groups.items()
        for code, level in enumerate(column.levels)
    ]
    figure = style.canvas(height=1.2 + 0.3 * len(rows))
    axes = style.tidy(figure.add_subplot(), grid="x")
    style.name_rows(axes, [name for name, _ in rows])
    axes.axvline(0, color=style.MUTED, linewidth=0.9)
    for height, (_, inside) in enumerate(rows):
        _residuals(axes, candidate, inside, height - (0.13 if champion is not None else 0), style.CANDIDATE)
        if champion is not None and inside.any():
            _residuals(axes, champion, inside, height + 0.17, style.CHAMPION)
    style.row_notes(axes, [f"n {count(int(inside.sum()))}" for _, inside in rows])
    style.axis_names(axes, x="predicted − actual")
    if champion is not None:
        style.footnote(figure, "upper, blue: candidate; lower, grey: champion")
    return style.describe(figure, f"Residuals of {len(rows)} groups.")


def _residuals(axes: Axes, model: Predictions, inside: np.ndarray, height: float, colour: str) -> None:
    if not inside.any():
        axes.annotate(
            "no rows",
            (0, height),
            xycoords=("axes fraction", "data"),
            xytext=(4, 0),
            va="center",
            textcoords="offset points",
            fontsize=8.5,
            color=style.MUTED,
        )
        return
    residuals = (model.scores - model.labels)[inside]
    p5, p25, median, p75, p95 = np.quantile(residuals, [0.05, 0.25, 0.5, 0.75, 0.95])
    alpha = 0.4 if inside.sum() < style.SMALL_GROUP else 1
    axes.hlines(height, p5, p95, color=colour, linewidth=1, alpha=alpha)
    axes.hlines(height, p25, p75, color=colour, linewidth=4, alpha=0.5 * alpha)
    axes.plot(median, height, "o", color=colour, markersize=5, alpha=alpha)
