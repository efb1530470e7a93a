"""Reliability diagrams: among rows that were given a score near p, does the event happen in a share p of them?

Bins hold equally many rows, so that no dot rests on a handful, and every dot carries Wilson's 95 % interval. Several
classes are judged by the top class: its probability against how often it is right (Guo et al., ICML 2017, section 2).
"""

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from components.data.predictions import Predictions
from components.fairness.intervals import wilson_bounds
from components.reporting import style
from components.reporting.levels import drawn_levels, group_panels, name_the_rest, name_without_line
from components.reporting.numbers import count
from components.reporting.roc import compared, draw_roc

BINS, ROWS_PER_BIN, Z95 = 10, 25, 1.959964


@dataclass(frozen=True)
class Reliability:
    """Per bin (B,): mean score, observed rate with its interval, and rows."""

    score: np.ndarray
    observed: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    rows: np.ndarray

    @property
    def error(self) -> float:
        """Expected calibration error: the mean distance between score and observed rate, weighted by rows."""
        return float(np.average(np.abs(self.score - self.observed), weights=self.rows))


def reliability(events: np.ndarray, scores: np.ndarray, *, bins: int = BINS) -> Reliability | None:
    """Equal-mass bins of (n,) events and scores, at least 25 rows each where there are as many; None without rows.

    Rows of one score stay in one bin, whatever that does to its size.
    """
    if not len(scores):
        return None
    wanted = int(np.clip(len(scores) // ROWS_PER_BIN, 1, bins))
    _, value, times = np.unique(scores, return_inverse=True, return_counts=True)
    middle_rank = (np.cumsum(times) - times / 2) / len(scores)
    place = np.unique((middle_rank * wanted).astype(int)[value], return_inverse=True)[1]
    rows = np.bincount(place)
    hits = np.bincount(place, weights=events)
    lower, upper = wilson_bounds(hits, rows, Z95)
    return Reliability(np.bincount(place, weights=scores) / rows, hits / rows, lower, upper, rows)


def draw_calibration(axes: Axes, candidate: Predictions, champion: Predictions | None = None) -> None:
    """Candidate and champion over all rows, in one panel."""
    style.heading(style.tidy(axes), f"Calibration, {count(len(candidate))} rows")
    reach = 0.0
    for name, predictions, colour in compared(candidate, champion):
        if bins := reliability(*_judged(predictions)):
            reach = max(reach, _dots(axes, bins, f"{name}, off by {100 * bins.error:.1f} %", colour=colour))
    _finish(axes, candidate, reach)


def plot_scores(candidate: Predictions, champion: Predictions | None = None) -> Figure:
    """ROC and calibration of a binary model side by side, the champion in grey."""
    figure = style.canvas(height=3.4)
    left, right = figure.subplots(1, 2)
    draw_roc(left, candidate, champion)
    draw_calibration(right, candidate, champion)
    return style.describe(figure, f"ROC curve and reliability diagram of {count(len(candidate))} rows.")


def plot_calibration(candidate: Predictions, champion: Predictions | None = None) -> Figure:
    """The reliability diagram alone, for several classes."""
    figure = style.canvas(width=5, height=4.6)
    draw_calibration(figure.add_subplot(), candidate, champion)
    return style.describe(figure, f"Reliability diagram of {count(len(candidate))} rows.")


def plot_group_calibration(candidate: Predictions) -> Figure:
    """One panel a group column, one line a level; small groups faint, each with its rows."""
    names = list(candidate.groups)
    figure, panels = group_panels(names)
    events, scores = _judged(candidate)
    reach = 0.0
    for axes, name in zip(panels, names, strict=True):
        levels = drawn_levels(candidate.groups[name])
        for level in levels:
            if bins := reliability(events[level.inside], scores[level.inside], bins=5):
                said = f"{level.name}, n {count(level.rows)}"
                top = _dots(axes, bins, said, colour=level.colour, alpha=level.opacity)
                reach = max(reach, top if level.opacity == 1 else 0)
            else:
                name_without_line(axes, f"{level.name}, no rows", level.colour)
        name_the_rest(axes, candidate.groups[name], levels)
    for axes in panels:
        _finish(axes, candidate, reach)
    return style.describe(
        figure, f"Reliability diagrams of the candidate per level of {', '.join(names) or 'no group'}."
    )


def _judged(predictions: Predictions) -> tuple[np.ndarray, np.ndarray]:
    if predictions.rule.kind == "multiclass":
        return predictions.right.astype(float), predictions.scores.max(axis=1).astype(float)
    return predictions.labels.astype(float), predictions.scores.astype(float)


def _dots(axes: Axes, bins: Reliability, name: str, *, colour: str, alpha: float = 1) -> float:
    """Draw the bins; returns the largest rate drawn."""
    axes.vlines(bins.score, bins.lower, bins.upper, color=colour, alpha=0.45 * alpha, linewidth=1.1)
    axes.plot(
        bins.score,
        bins.observed,
        color=colour,
        alpha=alpha,
        linewidth=1.1,
        marker="o",
        markersize=4,
        label=style.key_name(name),
    )
    return float(max(bins.upper.max(), bins.score.max()))


def _finish(axes: Axes, predictions: Predictions, reach: float) -> None:
    top = min(1.0, 1.08 * reach) if reach else 1.0
    axes.plot([0, top], [0, top], color=style.MUTED, linewidth=0.8, linestyle=(0, (2, 3)))
    style.key(axes, corner="upper left")
    style.as_percent(axes)
    several = predictions.rule.kind == "multiclass"
    place = axes.get_subplotspec()
    across, upwards = (
        ("mean probability of the top class", "share right") if several else ("mean score", "observed rate")
    )
    alone = axes.get_shared_x_axes().get_siblings(axes) == [axes]
    style.axis_names(axes, x=across if place.is_last_row() else "", y=upwards if alone or place.is_first_col() else "")
    axes.set(xlim=(-0.01 * top, 1.01 * top), ylim=(-0.01 * top, 1.01 * top), aspect="equal")
