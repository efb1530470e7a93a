"""The metric round by round: where training stopped helping, and how far training and selection rows drifted apart."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from components.reporting import style
from components.reporting.numbers import quantity


def plot_learning(
    curves: Mapping[str, Sequence[float]], *, metric: str = "log loss", chosen_round: int | None = None
) -> Figure:
    """One line a set of rows (name → value by round, the first round first), named at its end.

    Rounds at which nothing was measured are NaN: lines join the others, each of which is then a dot.
    """
    figure = style.canvas(height=3.4)
    axes = style.tidy(figure.add_subplot())
    style.axis_names(axes, x="round", y=metric)
    drawn = {name: np.asarray(values, dtype=float) for name, values in curves.items()}
    drawn = {name: values for name, values in drawn.items() if np.isfinite(values).any()}
    if not drawn:
        style.write(axes, 0.5, 0.5, "no round was recorded", transform=axes.transAxes, ha="center", color=style.MUTED)
        return style.describe(figure, "No learning curve was recorded.")
    colours = dict(zip(drawn, [style.CHAMPION, style.CANDIDATE, *style.LEVELS[1:]], strict=False))
    for name, values in drawn.items():
        measured = np.flatnonzero(np.isfinite(values))
        axes.plot(
            measured + 1,
            values[measured],
            color=colours[name],
            linewidth=1.8,
            marker="o" if len(measured) < max(12, len(values)) else "",
            markersize=4,
        )
    low, high = axes.get_ylim()
    ends = [(values[np.isfinite(values)][-1] - low) / (high - low) for values in drawn.values()]
    for (name, values), height in zip(drawn.items(), style.spread(ends, 0.07), strict=True):
        last = np.flatnonzero(np.isfinite(values))[-1]
        axes.annotate(
            f"{style.shorten(style.legible(name), 20)} {quantity(values[last])}",
            (1.01, height),
            fontsize=9,
            xycoords="axes fraction",
            va="center",
            parse_math=False,
            color=style.INK,
        )
        axes.plot(last + 1, values[last], "o", color=colours[name], markersize=4.5)
    if chosen_round is not None:
        axes.axvline(chosen_round, color=style.MUTED, linewidth=1, linestyle=(0, (4, 2)))
        axes.annotate(
            f"kept: round {chosen_round}",
            (chosen_round, 1),
            xycoords=("data", "axes fraction"),
            fontsize=8.5,
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            color=style.MUTED,
        )
    axes.xaxis.get_major_locator().set_params(integer=True)
    said = "; ".join(f"{name} ends at {quantity(values[np.isfinite(values)][-1])}" for name, values in drawn.items())
    return style.describe(figure, f"{metric} by round: {said}.")
