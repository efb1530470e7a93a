"""A federated training round by round: who took part, what was sent, how long it took."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from components.reporting import style
from components.reporting.numbers import count, quantity

MOST_OWNERS = 24
"""Owners that have a line of their own; of more, how many took part is drawn."""


def plot_rounds(rounds: Sequence[Mapping]) -> Figure:
    """Owners by round, and under them megabytes and seconds a round.

    `rounds` are as in a training's record: number, members, lost, received, sent (bytes), seconds.
    """
    owners = sorted({name for one in rounds for name in (*one["members"], *one["lost"])})
    each = len(owners) <= MOST_OWNERS
    above = 0.6 + 0.26 * len(owners) if each else 1.6
    figure = style.canvas(height=above + 2.6)
    who, sent, taken = figure.subplots(3, 1, sharex=True, height_ratios=[above, 1.2, 1.2])
    numbers = np.array([one["number"] + 1 for one in rounds])
    (_each_owner if each else _how_many)(style.tidy(who, grid="x"), rounds, numbers, owners)
    megabytes = np.array([(one["received"] + one["sent"]) / 1e6 for one in rounds])
    seconds = np.array([one["seconds"] for one in rounds])
    for axes, values, name in ((sent, megabytes, "MB a round"), (taken, seconds, "seconds a round")):
        style.tidy(axes)
        axes.plot(numbers, values, color=style.CANDIDATE, linewidth=1.4, marker="o", markersize=2.5)
        axes.set_ylim(0, max(float(values.max()) * 1.15, 1e-9))
        style.axis_names(axes, y=name)
    style.axis_names(taken, x="round")
    taken.xaxis.get_major_locator().set_params(integer=True)
    lost = sum(len(one["lost"]) for one in rounds)
    said = f"{count(len(rounds))} rounds with {count(len(owners))} owners, of whom one was lost {count(lost)} times"
    return style.describe(figure, f"{said}; {quantity(megabytes.sum())} MB in {quantity(seconds.sum())} seconds.")


def _each_owner(axes: Axes, rounds: Sequence[Mapping], numbers: np.ndarray, owners: Sequence[str]) -> None:
    style.name_rows(axes, owners)
    for row, name in enumerate(owners):
        there = np.array([name in one["members"] for one in rounds])
        lost = np.array([name in one["lost"] for one in rounds])
        axes.plot(numbers[there], np.full(there.sum(), row), "s", color=style.CANDIDATE, markersize=4)
        axes.plot(numbers[lost], np.full(lost.sum(), row), "X", color=style.BAD, markersize=6)
    style.heading(axes, "Took part (square), lost in the middle (cross)")


def _how_many(axes: Axes, rounds: Sequence[Mapping], numbers: np.ndarray, owners: Sequence[str]) -> None:
    seen: set[str] = set()
    so_far = [len(seen := seen | set(one["members"])) for one in rounds]
    axes.plot(numbers, [len(one["members"]) for one in rounds], color=style.CANDIDATE, label="in this round")
    axes.plot(numbers, so_far, color=style.CHAMPION, linestyle=(0, (4, 2)), label="in any round so far")
    axes.set_ylim(0, 1.15 * len(owners))
    style.axis_names(axes, y="owners")
    style.key(axes, corner="upper left")
