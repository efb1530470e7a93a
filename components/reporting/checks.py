"""Every check of a gate as an interval against its budget, worst first, so that one look says what held a model back.

Kinds of check differ in scale (a flip rate of 1 %, a share of flips of 50 %), so each kind has a panel with its own
axis; the panel with the worst check stands first. Outcomes differ by marker as well as by colour.
"""

from collections.abc import Sequence
from math import isfinite, isnan

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from components.gates.verdict import Check, Outcome
from components.reporting import style
from components.reporting.numbers import count, is_rate, limit, quantity

SEVERITY = {Outcome.FAIL: 0, Outcome.INCONCLUSIVE: 1, Outcome.PASS: 2}

QUANTITIES = {
    "minimum_rows": "rows to judge by, at least",
    "flip_budget": "negative flip rate, at most",
    "not_worse": "negative among all flips, not shown above",
    "maximum_error": "error, at most",
    "beats_constant": "lost to a constant answer, at most",
    "golden_set": "golden rows lost, at most",
    "group_nfr": "negative flip rate in groups, at most",
    "group_error": "rise of error in groups, at most",
    "group_gap_error": "gap in error, at most",
    "group_gap_false_positive_rate": "gap in false positive rate, at most",
    "group_gap_false_negative_rate": "gap in false negative rate, at most",
    "privacy_claim": "epsilon claimed, at most",
    "privacy_lower_bound": "epsilon at least, not above the claim of",
    "privacy_sampling": "surprise at who took part (-log10 p), at most",
    "membership": "members named at few false alarms, at most",
    "exposure": "bits of exposure, at most",
}
"""Kind of check → what its numbers measure; the budget follows."""


def quantity_of(name: str) -> str:
    """What the numbers of a kind of check measure."""
    if name.startswith("frames_"):
        return f"frames: {quantity_of(name.removeprefix('frames_'))}"
    return QUANTITIES.get(name, name.replace("_", " "))


def worst_first(checks: Sequence[Check]) -> list[Check]:
    """Failed, then inconclusive, then passed; within each the furthest above its budget first, the unmeasured last."""

    def rank(check: Check) -> tuple[int, float]:
        excess = (check.lower if check.outcome is Outcome.FAIL else check.upper) - check.budget
        return SEVERITY[check.outcome], np.inf if isnan(excess) else -excess

    return sorted(checks, key=rank)


def plot_checks(checks: Sequence[Check], *, most: int = 30) -> Figure:
    """Interval, estimate and budget of the `most` worst checks, a panel for each kind of check."""
    drawn = worst_first(checks)[:most]
    panels: dict[str, list[Check]] = {}
    for check in drawn:
        panels.setdefault(check.name, []).append(check)
    sizes = [len(panel) for panel in panels.values()]
    figure = style.canvas(height=0.6 + sum(0.24 * size + 0.75 for size in sizes))
    if panels:
        column = figure.subplots(len(panels), 1, squeeze=False, height_ratios=[size + 1 for size in sizes])[:, 0]
        for axes, (name, panel) in zip(column, panels.items(), strict=True):
            _panel(axes, quantity_of(name), panel)
        _key(figure, drawn)
    if left := len(checks) - len(drawn):
        style.footnote(figure, f"{left} more checks, none of a worse outcome, in the table")
    tally = ", ".join(f"{sum(check.outcome is outcome for check in checks)} {outcome}" for outcome in SEVERITY)
    return style.describe(figure, f"{len(checks)} checks: {tally}.")


def _panel(axes: Axes, title: str, panel: Sequence[Check]) -> None:
    rate = all(is_rate(check.value, check.lower, check.upper, check.budget) for check in panel)
    budgets = {limit(check.budget) if rate else quantity(check.budget) for check in panel}
    style.heading(axes, title[0].upper() + title[1:] + (f" {budgets.pop()}" if len(budgets) == 1 else ""))
    style.tidy(axes, grid="x")
    style.name_rows(axes, [check.subject for check in panel])
    style.row_notes(axes, [f"n {count(check.rows)}" for check in panel])
    axes.set_xlim(_reach(panel))
    axes.locator_params(axis="x", nbins=6)
    if rate:
        style.as_percent(axes, "x")
    budgets_at = np.array([check.budget for check in panel])
    axes.vlines(budgets_at, np.arange(len(panel)) - 0.5, np.arange(len(panel)) + 0.5, color=style.INK, linewidth=1.3)
    for outcome in SEVERITY:
        _draw(axes, [(height, check) for height, check in enumerate(panel) if check.outcome is outcome], outcome)


def _reach(panel: Sequence[Check]) -> tuple[float, float]:
    """The axis holds every estimate and budget, and intervals up to five budgets long; longer ones end in an arrow."""
    points = [value for check in panel for value in (check.value, check.budget) if isfinite(value)]
    far = max(5 * max(check.budget for check in panel), 1.2 * max(points, default=0))
    high = max(*points, min(max((check.upper for check in panel if isfinite(check.upper)), default=0), far), 1e-3)
    low = min([0.0, *points, *(max(check.lower, -far) for check in panel if isfinite(check.lower))])
    margin = 0.03 * (high - low)
    return low - (margin if low < 0 else 0), high + margin


def _draw(axes: Axes, rows: Sequence[tuple[int, Check]], outcome: Outcome) -> None:
    """Estimates and intervals of the checks of one outcome at their heights; what leaves the axis ends in an arrow."""
    colour, (low, high) = style.OUTCOME_COLOUR[outcome], axes.get_xlim()
    for height, check in rows:
        if isnan(check.value):
            style.write(axes, low + 0.01 * (high - low), height, "nothing measured", va="center", color=style.MUTED)
    known = [(height, check) for height, check in rows if not isnan(check.value)]
    heights = np.array([height for height, _ in known])
    values = np.array([check.value for _, check in known])
    lower = np.array([check.value if isnan(check.lower) else check.lower for _, check in known])
    upper = np.array([check.value if isnan(check.upper) else check.upper for _, check in known])
    if not known:
        return
    axes.hlines(heights, np.maximum(lower, low), np.minimum(upper, high), color=colour, linewidth=1.6)
    style.arrows(axes, heights[lower < low], low, "<", color=colour)
    style.arrows(axes, heights[upper > high], high, ">", color=colour)
    axes.plot(values, heights, style.OUTCOME_MARKER[outcome], color=colour, markersize=6, clip_on=False)


def _key(figure: Figure, drawn: Sequence[Check]) -> None:
    axes, present = (
        figure.axes[0],
        [outcome for outcome in SEVERITY if any(check.outcome is outcome for check in drawn)],
    )
    strokes = [
        axes.plot(
            [],
            [],
            style.OUTCOME_MARKER[outcome],
            color=style.OUTCOME_COLOUR[outcome],
            markersize=6,
            label=outcome.lower(),
        )[0]
        for outcome in present
    ]
    figure.legend(
        handles=strokes,
        loc="outside upper right",
        ncols=len(present),
        frameon=False,
        fontsize=9,
        handletextpad=0.1,
        columnspacing=1.4,
        borderaxespad=0.2,
        labelcolor=style.INK,
    )
