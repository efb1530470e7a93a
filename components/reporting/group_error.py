"""How wrong the model is for each group, with the interval that its rows allow: a forest plot.

Groups without rows keep their line and say so; a group that vanishes from a picture looks fair.
"""

from collections.abc import Sequence
from math import isfinite, isnan

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from components.fairness.group_error import GroupMetric
from components.reporting import style
from components.reporting.numbers import count, percent

MOST_ROWS = 36


def plot_group_error(
    candidate: Sequence[GroupMetric],
    champion: Sequence[GroupMetric] = (),
    *,
    overall: float | None = None,
    metric: str = "error",
) -> Figure:
    """Dot and whisker for every group and intersection, candidate above champion, rows at the right."""
    drawn = _chosen_rows(candidate)
    before = {one.group: one for one in champion}
    figure = style.canvas(height=1.3 + 0.27 * max(len(drawn), 1))
    axes = style.tidy(figure.add_subplot(), grid="x")
    style.name_rows(axes, [one.group for one in drawn])
    style.row_notes(axes, [f"n {count(one.n)}" for one in drawn])
    style.as_percent(axes, "x")
    kinds = [one.group.partition("=")[0] if " & " not in one.group else " & " for one in drawn]
    axes.hlines(
        [row - 0.5 for row in range(1, len(kinds)) if kinds[row] != kinds[row - 1]],
        0,
        1,
        color=style.MUTED,
        linewidth=0.6,
        transform=axes.get_yaxis_transform(),
    )
    reach = _reach([*drawn, *(before[one.group] for one in drawn if one.group in before)], overall)
    axes.set_xlim(0, reach)
    if overall is not None:
        axes.axvline(overall, color=style.CANDIDATE, linewidth=1, linestyle=(0, (4, 2)), alpha=0.8)
        axes.annotate(
            f"all rows {percent(overall)}",
            (overall, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            fontsize=8.5,
            color=style.CANDIDATE,
        )
    for height, one in enumerate(drawn):
        if not one.n:
            style.write(axes, 0.01 * reach, height, "no rows", va="center", color=style.MUTED, fontsize=8.5)
    shift = 0.15 if before else 0
    _whiskers(axes, [(height - shift, one) for height, one in enumerate(drawn)], style.CANDIDATE)
    paired = [(height + 0.19, before[one.group]) for height, one in enumerate(drawn) if one.group in before]
    _whiskers(axes, paired, style.CHAMPION)
    style.axis_names(axes, x=metric)
    notes = ["upper, blue: candidate; lower, grey: champion"] if before else []
    if left := len(candidate) - len(drawn):
        notes.append(f"{left} more intersections in the table")
    if notes:
        style.footnote(figure, ".  ".join(notes))
    worst = max((one for one in drawn if not isnan(one.value)), key=lambda one: one.value, default=None)
    said = f" Highest: {worst.group} at {percent(worst.value)} of {count(worst.n)} rows." if worst else ""
    return style.describe(figure, f"{metric} of {len(drawn)} groups with intervals.{said}")


def _chosen_rows(metrics: Sequence[GroupMetric]) -> list[GroupMetric]:
    """Single groups as given, then intersections by lower bound: the most certainly bad ones first, no rows last."""
    single = [one for one in metrics if " & " not in one.group]
    crossed = sorted(
        (one for one in metrics if " & " in one.group),
        key=lambda one: -one.lower if one.n and isfinite(one.lower) else 2.0,
    )
    return (single + crossed)[:MOST_ROWS]


def _reach(metrics: Sequence[GroupMetric], overall: float | None) -> float:
    """Where the axis ends: past every value and every interval of a group that is not small."""
    sure = [one.upper for one in metrics if one.n >= style.SMALL_GROUP and isfinite(one.upper)]
    values = [one.value for one in metrics if isfinite(one.value)]
    return min(1.08 * max([*sure, *values, overall or 0, 0.01]), 1.05)


def _whiskers(axes: Axes, rows: Sequence[tuple[float, GroupMetric]], colour: str) -> None:
    """Dots and intervals at their heights, small groups faint; what leaves the axis ends in an arrow."""
    reach = axes.get_xlim()[1]
    for alpha, some in (
        (0.4, [row for row in rows if 0 < row[1].n < style.SMALL_GROUP]),
        (1.0, [row for row in rows if row[1].n >= style.SMALL_GROUP]),
    ):
        if not some:
            continue
        heights = np.array([height for height, _ in some])
        value, lower, upper = np.array([(one.value, one.lower, one.upper) for _, one in some]).T
        axes.hlines(heights, lower, np.minimum(upper, reach), color=colour, linewidth=1.3, alpha=alpha)
        style.arrows(axes, heights[upper > reach], reach, ">", color=colour, alpha=alpha)
        axes.plot(value, heights, "o", color=colour, markersize=5.5, alpha=alpha, clip_on=False)
