"""Every candidate on one page: how often it is wrong, and how often it newly goes wrong where the champion was right.

The two goals pull apart (too strong a pull to a weak old model raises both), so the choice is shown as what it is, a
point on a trade-off, with the noise floor, the budget and the champion's error as its frame.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from components.gates.choice import CandidateScore
from components.reporting import style
from components.reporting.numbers import limit, percent

MOST_NAMES = 16


def plot_candidates(
    candidates: Sequence[CandidateScore],
    *,
    chosen: str = "",
    champion_error: float | None = None,
    noise_floor: float | None = None,
    budget: float | None = None,
) -> Figure:
    """Error against NFR, every candidate named, the chosen one ringed."""
    drawn = [one for one in candidates if np.isfinite(one.error) and np.isfinite(one.nfr)]
    figure = style.canvas(height=4.2)
    axes = style.tidy(figure.add_subplot())
    style.axis_names(axes, x="negative flip rate", y="error")
    style.as_percent(axes)
    axes.locator_params(nbins=6)
    if not drawn:
        style.write(
            axes,
            0.5,
            0.5,
            "no candidate was measured against a champion",
            transform=axes.transAxes,
            ha="center",
            color=style.MUTED,
        )
        return style.describe(figure, "No candidate was measured against a champion.")
    _frame(axes, drawn, champion_error, noise_floor, budget)
    for one in drawn:
        axes.plot(
            one.nfr,
            one.error,
            "o",
            markersize=7,
            color=style.CANDIDATE if one.name == chosen else style.CHAMPION,
            zorder=4,
        )
        if one.name == chosen:
            axes.plot(
                one.nfr,
                one.error,
                "o",
                markersize=14,
                markerfacecolor="none",
                markeredgecolor=style.CANDIDATE,
                markeredgewidth=1.6,
                zorder=4,
            )
    unnamed = _names(axes, drawn, chosen)
    missing = len(candidates) - len(drawn)
    notes = [f"{unnamed} more named in the table" if unnamed else "", f"{missing} not measured" if missing else ""]
    if any(notes):
        style.footnote(figure, "; ".join(note for note in notes if note))
    listed = "; ".join(f"{one.name}: error {percent(one.error)}, NFR {percent(one.nfr)}" for one in drawn[:MOST_NAMES])
    return style.describe(figure, f"Error against negative flip rate. {listed}. Chosen: {chosen or 'none'}.")


def _frame(
    axes: Axes,
    drawn: list[CandidateScore],
    champion_error: float | None,
    noise_floor: float | None,
    budget: float | None,
) -> None:
    rates = [one.nfr for one in drawn] + [rate for rate in (noise_floor, budget) if rate is not None]
    errors = [one.error for one in drawn] + ([champion_error] if champion_error is not None else [])
    right = 1.18 * max([*rates, 0.001])
    room = max(0.3 * (max(errors) - min(errors)), 0.002)
    axes.set(xlim=(0, right), ylim=(max(0, min(errors) - room), max(errors) + room))
    if noise_floor is not None:
        axes.axvspan(0, noise_floor, color=style.FAINT, alpha=0.55, linewidth=0, zorder=0)
        axes.annotate(
            "within seed noise",
            (noise_floor, 0),
            xycoords=("data", "axes fraction"),
            xytext=(-4, 5),
            textcoords="offset points",
            ha="right",
            fontsize=8.5,
            color=style.MUTED,
        )
    if budget is not None:
        axes.axvline(budget, color=style.BAD, linewidth=1.2)
        axes.annotate(
            f"budget {limit(budget)}",
            (budget, 1),
            xycoords=("data", "axes fraction"),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            fontsize=8.5,
            color=style.BAD,
        )
    if champion_error is not None:
        axes.axhline(champion_error, color=style.MUTED, linewidth=1.2, linestyle=(0, (4, 2)))
        axes.annotate(
            f"champion's error {percent(champion_error)}",
            (0, champion_error),
            xycoords=("axes fraction", "data"),
            xytext=(4, 3),
            textcoords="offset points",
            fontsize=8.5,
            color=style.MUTED,
        )


def _names(axes: Axes, drawn: list[CandidateScore], chosen: str) -> int:
    """Name candidates in a column at the right, joined to their points; returns how many are left unnamed."""
    ranked = sorted(drawn, key=lambda one: (one.name != chosen, one.error))
    named = ranked[:MOST_NAMES]
    low, high = axes.get_ylim()
    heights = [(one.error - low) / (high - low) for one in named]
    for one, height in zip(named, style.spread(heights, 0.062), strict=True):
        axes.annotate(
            style.shorten(style.legible(one.name), 24),
            (one.nfr, one.error),
            xytext=(1.03, height),
            textcoords="axes fraction",
            va="center",
            fontsize=9,
            parse_math=False,
            annotation_clip=False,
            color=style.INK,
            fontweight="bold" if one.name == chosen else "normal",
            arrowprops={
                "arrowstyle": "-",
                "color": style.MUTED,
                "linewidth": 0.6,
                "alpha": 0.6,
                "shrinkA": 2,
                "shrinkB": 5,
                "relpos": (0, 0.5),
            },
        )
    return len(ranked) - len(named)
