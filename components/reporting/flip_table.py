"""The four counts behind every figure about an update, drawn as what they are: a table of who was right.

Beside it stands the negative flip rate against its budget and against the noise floor, the rate between two retrains
that differ only in the seed (negative flips: Yan et al., CVPR 2021).
"""

from math import isnan

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from components.compatibility.flips import FlipCounts
from components.reporting import style
from components.reporting.numbers import count, limit, percent


def plot_flips(
    flips: FlipCounts, *, budget: float | None = None, noise_floor: float | None = None, upper: float | None = None
) -> Figure:
    """Old right/wrong by new right/wrong, and the NFR on a scale with what it is held against.

    `upper` is the upper confidence bound the gate decides by, where there is one.
    """
    figure = style.canvas(height=3.3)
    table, scale = figure.subplots(1, 2, width_ratios=[1.45, 1])
    _table(table, flips)
    _scale(scale, flips, budget, noise_floor, upper)
    return style.describe(
        figure,
        f"Of {count(flips.rows)} rows {count(flips.negative)} turned wrong (negative flip rate "
        f"{percent(flips.negative_flip_rate)}) and {count(flips.positive)} turned right.",
    )


def _table(axes: Axes, flips: FlipCounts) -> None:
    cells = [
        (0, 0, flips.both_right, "right in both", style.MUTED, 0.10),
        (1, 0, flips.negative, "negative flips", style.BAD, 0.30),
        (0, 1, flips.positive, "positive flips", style.GOOD, 0.22),
        (1, 1, flips.both_wrong, "wrong in both", style.MUTED, 0.10),
    ]
    for column, row, rows, name, colour, strength in cells:
        axes.add_patch(
            FancyBboxPatch(
                (column + 0.04, row + 0.04),
                0.92,
                0.92,
                boxstyle="round,pad=0,rounding_size=0.05",
                facecolor=colour,
                alpha=strength,
                linewidth=0,
            )
        )
        share = percent(rows / flips.rows if flips.rows else None)
        bold = "bold" if "flips" in name else "normal"
        style.write(axes, column + 0.5, row + 0.36, count(rows), ha="center", va="center", fontsize=17, fontweight=bold)
        style.write(axes, column + 0.5, row + 0.62, share, ha="center", va="center", fontsize=10)
        style.write(axes, column + 0.5, row + 0.82, name, ha="center", va="center", color=style.MUTED)
    for position, name in enumerate(("right", "wrong")):
        style.write(axes, position + 0.5, -0.04, f"new {name}", ha="center", va="bottom", color=style.MUTED)
        style.write(
            axes,
            -0.03,
            position + 0.5,
            f"old {name}",
            ha="right",
            va="center",
            rotation=90,
            rotation_mode="default",
            color=style.MUTED,
        )
    style.heading(axes, f"{count(flips.rows)} rows judged by both models")
    axes.set(xlim=(-0.12, 2), ylim=(2.02, -0.2))
    axes.axis("off")


def _scale(axes: Axes, flips: FlipCounts, budget: float | None, noise_floor: float | None, upper: float | None) -> None:
    """Two bars, this update and a change of seed, and the budget as a line across both."""
    style.heading(axes, "Negative flip rate")
    style.tidy(axes, grid="none")
    axes.spines["left"].set_visible(False)
    rate = flips.negative_flip_rate
    known = [value for value in (rate, budget, noise_floor, upper) if value is not None and not isnan(value)]
    reach = 1.25 * max([*known, 0.001])
    axes.set(xlim=(0, reach), ylim=(1.7, -0.75), yticks=[])
    axes.locator_params(axis="x", nbins=4)
    style.as_percent(axes, "x")
    if isnan(rate):
        style.write(axes, reach / 2, 0.5, "no rows were judged by both", ha="center", color=style.MUTED)
        return
    bound = f", at most {percent(upper)}" if upper is not None else ""
    _bar(axes, 0, rate, f"this update {percent(rate)}{bound}", style.BAD)
    if upper is not None:
        axes.hlines(0, rate, upper, color=style.INK, linewidth=1.4)
        axes.vlines(upper, -0.09, 0.09, color=style.INK, linewidth=1.4)
    if noise_floor is not None:
        _bar(axes, 1, noise_floor, f"noise floor {percent(noise_floor)}", style.CHAMPION)
    if budget is not None:
        bars = 1 if noise_floor is None else 2
        axes.vlines([budget] * bars, np.arange(bars) - 0.27, np.arange(bars) + 0.24, color=style.INK, linewidth=1.8)
        side = "left" if budget < reach / 2 else "right"
        style.write(axes, budget, -0.36, f"budget {limit(budget)}", ha=side, va="bottom")


def _bar(axes: Axes, height: int, rate: float, text: str, colour: str) -> None:
    axes.barh(height, rate, height=0.36, color=colour, alpha=0.9)
    style.write(axes, 0, height + 0.38, text, va="center")
