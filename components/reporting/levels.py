"""One panel a group column and one colour a level: what every plot by group has in common."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from components.data.table import GroupColumn
from components.reporting import style

FAINT = 0.35


@dataclass(frozen=True)
class Level:
    """A level as it is drawn: `inside` (n,) bool, its number of rows, colour, and faint where the rows are few."""

    name: str
    inside: np.ndarray
    rows: int
    colour: str
    opacity: float


def drawn_levels(column: GroupColumn) -> list[Level]:
    """The largest levels, as many as there are colours, in the column's order; empty ones too while there is room."""
    sizes = np.bincount(column.codes, minlength=len(column.levels))
    codes = sorted(np.argsort(-sizes, kind="stable")[: len(style.LEVELS)].tolist())
    return [
        Level(
            name=style.shorten(column.levels[code], 18),
            inside=column.codes == code,
            rows=int(sizes[code]),
            colour=colour,
            opacity=FAINT if sizes[code] < style.SMALL_GROUP else 1.0,
        )
        for colour, code in zip(style.LEVELS, codes, strict=False)
    ]


def name_without_line(axes: Axes, text: str, colour: str = style.PAPER) -> None:
    """An entry of the key for what could not be drawn, so that it is not silently missing."""
    axes.plot([], [], color=colour, alpha=FAINT, label=style.key_name(text))


def name_the_rest(axes: Axes, column: GroupColumn, drawn: Sequence[Level]) -> None:
    """Say how many levels there was no colour for."""
    if left := len(column.levels) - len(drawn):
        name_without_line(axes, f"{left} smaller levels not drawn")


def group_panels(names: Sequence[str]) -> tuple[Figure, list[Axes]]:
    """A square panel for each group column, two abreast, with tick labels at the outer panels only."""
    columns = min(2, max(1, len(names)))
    rows = -(-len(names) // columns) or 1
    figure = style.canvas(height=3.3 * rows if columns == 2 else 4.8)
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for spare in panels[len(names) :]:
        spare.set_visible(False)
        panels[len(names) - columns].tick_params(labelbottom=True)
    for axes, name in zip(panels, names, strict=False):
        style.heading(style.tidy(axes), style.shorten(name))
    return figure, list(panels[: len(names)])
