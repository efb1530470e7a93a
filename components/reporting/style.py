"""One look for every plot: paper-white, thin axes, a light grid, and colours that survive colour blindness.

Figures are built with matplotlib's object-oriented API alone. pyplot keeps global state, which is neither safe in the
threads a flow runs tasks in nor quick to import. Colours are from Okabe and Ito ("Color universal design", 2008), and
no meaning rests on colour alone. Text is DejaVu Sans, which matplotlib brings, so a plot is the same on every machine.
"""

from collections.abc import Sequence
from functools import cache
from io import BytesIO
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.ticker import FuncFormatter
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from components.gates.verdict import Outcome

WIDTH = 7.2
"""Inches; shown at 100 pixels an inch, written at twice that."""
DPI = 200
COMPRESSION = 4

INK, MUTED, FAINT, PAPER = "#1f2933", "#5b6773", "#dfe4ea", "#ffffff"
CANDIDATE, CHAMPION = "#0072b2", "#868e96"
GOOD, BAD, OPEN = "#009e73", "#d55e00", "#e69f00"
LEVELS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", INK)
"""Colours for the levels of a group, in this order; a plot has no more than these."""

OUTCOME_COLOUR = {Outcome.PASS: GOOD, Outcome.FAIL: BAD, Outcome.INCONCLUSIVE: OPEN}
OUTCOME_MARKER = {Outcome.PASS: "o", Outcome.FAIL: "X", Outcome.INCONCLUSIVE: "D"}

SMALL_GROUP = 50
"""Rows below which a group is drawn faint: its interval says little, and an eye should not be drawn to it."""


def canvas(width: float = WIDTH, height: float = 4.0) -> Figure:
    """An empty figure of this size in inches whose layout keeps every label inside it."""
    figure = Figure(figsize=(width, height), dpi=DPI, facecolor=PAPER, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.1, wspace=0.04, hspace=0.04)
    FigureCanvasAgg(figure)
    return figure


def tidy(axes: Axes, *, grid: Literal["x", "y", "both", "none"] = "both") -> Axes:
    """Thin left and bottom axes, a light grid behind the data, muted ticks."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set(color=MUTED, linewidth=0.7)
    axes.tick_params(colors=MUTED, labelsize=9, width=0.7, length=3)
    axes.set_axisbelow(True)
    if grid != "none":
        axes.grid(axis=grid, color=FAINT, linewidth=0.7)
    return axes


def heading(axes: Axes, text: str) -> None:
    """A left-aligned title of one panel."""
    axes.set_title(
        shorten(legible(text), 60), loc="left", fontsize=10.5, fontweight="bold", color=INK, y=1.0, parse_math=False
    )


def axis_names(axes: Axes, *, x: str = "", y: str = "") -> None:
    """What the axes measure."""
    for name, place in ((x, axes.set_xlabel), (y, axes.set_ylabel)):
        if name:
            place(shorten(legible(name), 60), fontsize=9.5, color=MUTED, parse_math=False)


def write(axes: Axes, x: float, y: float, text: str, **options) -> None:
    """Text at a point; names come from data, so a '$' in them is a dollar and never mathematics."""
    axes.text(x, y, legible(text), **{"fontsize": 9, "color": INK, "parse_math": False} | options)


def name_rows(axes: Axes, names: Sequence[str]) -> None:
    """Name the rows 0, 1, … of a plot whose rows run downwards."""
    axes.set_yticks(range(len(names)), [shorten(legible(name)) for name in names], color=INK, parse_math=False)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(names) - 0.4, -0.6)


def footnote(figure: Figure, text: str) -> None:
    """A muted line under everything."""
    figure.supxlabel(legible(text), x=0.015, ha="left", fontsize=8.5, color=MUTED, parse_math=False)


def key(axes: Axes, *, corner: Literal["lower right", "upper left"], **options) -> None:
    """Name the labelled lines in the corner that the curves leave empty."""
    if not axes.get_legend_handles_labels()[1]:
        return
    right = corner == "lower right"
    box = axes.legend(
        loc=corner,
        frameon=False,
        fontsize=8.5,
        handlelength=1.2,
        handletextpad=0.6,
        labelspacing=0.35,
        borderaxespad=0.3,
        labelcolor=INK,
        markerfirst=not right,
        **options,
    )
    for text in box.get_texts():
        text.set_parse_math(False)


def arrows(axes: Axes, heights: np.ndarray, x: float, direction: Literal["<", ">"], **options) -> None:
    """Arrow heads at an end of the axis, for lines that go on beyond it."""
    if len(heights):
        axes.plot(np.full(len(heights), x), heights, direction, markersize=4.5, clip_on=False, **options)


def as_percent(axes: Axes, which: Literal["x", "y", "both"] = "both") -> None:
    """Ticks of a rate in percent."""
    for axis in ([axes.xaxis] if which != "y" else []) + ([axes.yaxis] if which != "x" else []):
        axis.set_major_formatter(FuncFormatter(lambda rate, _: f"{100 * rate:.4g} %".replace("-", "−")))


def key_name(text: str) -> str:
    """A line's label; matplotlib drops those that open with an underscore from a legend, and no group may vanish."""
    name = legible(text)
    return f" {name}" if name.startswith("_") else name


def row_notes(axes: Axes, notes: Sequence[str]) -> None:
    """A muted note, such as 'n 812', at the right of every row."""
    for height, note in enumerate(notes):
        axes.annotate(
            note,
            (1, height),
            xycoords=("axes fraction", "data"),
            xytext=(9, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color=MUTED,
        )


def shorten(text: str, width: int = 34) -> str:
    """At most `width` characters, cut in the middle, where names differ least."""
    if len(text) <= width:
        return text
    return f"{text[: width // 2]}…{text[len(text) - width + width // 2 + 1 :]}"


def legible(text: str) -> str:
    """One line of what the plots' font can draw; other letters become a box (tables show every name as it is)."""
    return "".join(letter if ord(letter) in _glyphs() else "□" for letter in " ".join(str(text).split()))


@cache
def _glyphs() -> frozenset[int]:
    return frozenset(get_font(findfont("DejaVu Sans")).get_charmap())


def spread(wanted: Sequence[float], gap: float) -> np.ndarray:
    """Positions in [0, 1] as near to `wanted` as a distance of `gap` between neighbours allows, in the same order.

    Least squares under the gaps is isotonic regression of `wanted` less its rank times the gap, solved by pooling
    adjacent violators; within bounds it is that solution, clipped. Above 1 where there are more than 1 / gap.
    """
    order = np.argsort(wanted, kind="stable")
    ranks = gap * np.arange(len(order))
    blocks: list[list[float]] = []
    for value in np.asarray(wanted, dtype=float)[order] - ranks:
        blocks.append([value, 1])
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            mean, count = blocks.pop()
            blocks[-1] = [
                (blocks[-1][0] * blocks[-1][1] + mean * count) / (blocks[-1][1] + count),
                blocks[-1][1] + count,
            ]
    placed = np.empty(len(order))
    level = np.concatenate([np.full(count, mean) for mean, count in blocks] or [[]])
    placed[order] = np.clip(level, 0, max(0, 1 - gap * (len(order) - 1))) + ranks
    return placed


def describe(figure: Figure, sentence: str) -> Figure:
    """Give a figure the sentence that stands for it where it cannot be seen (alt text, PNG description)."""
    figure.set_label(sentence)
    return figure


def png(figure: Figure) -> bytes:
    """The figure as PNG, with its description inside.

    `Figure.savefig` draws twice to settle a layout; drawing once and encoding the buffer takes half the time.
    """
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    figure.set_layout_engine("none")  # Settled: writing the figure again need not measure every label again.
    description, file = PngInfo(), BytesIO()
    description.add_text("Description", figure.get_label())
    Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]).save(
        file, "PNG", pnginfo=description, compress_level=COMPRESSION
    )
    return file.getvalue()
