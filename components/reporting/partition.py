"""Who holds what: how far the owners' rows, labels and groups differ, or which block of the table each one has.

Skew between owners is the first thing to look at when a jointly trained model serves one of them badly. Only counts
that owners agreed to show enter here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from components.fairness.intervals import wilson_bounds
from components.reporting import style
from components.reporting.numbers import count, percent, quantity

Z95 = 1.959964
MOST_OWNERS, MOST_LEVELS, MOST_SHARES = 24, 7, 20
_DEVIATION = LinearSegmentedColormap.from_list("deviation", ["#8fbfe0", style.PAPER, "#f2b48a"])


@dataclass(frozen=True)
class OwnerSummary:
    """One owner's part of the table.

    `positives` for a binary label, `label_mean` and `label_deviation` for a number; several classes go into `groups` as
    one more column. `groups` is group → level → rows. `first_row` and `first_column` place the block in the joint table
    where the split is vertical or mixed; `holds_label` says whether the label is on this owner's side.
    """

    owner: str
    rows: int
    persons: int
    columns: int
    positives: int | None = None
    label_mean: float | None = None
    label_deviation: float | None = None
    groups: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    first_row: int = 0
    first_column: int = 0
    holds_label: bool = True

    @property
    def label(self) -> tuple[float, float, float] | None:
        """Rate or mean of the label with its 95 % interval; None where no label is held or shown."""
        if not self.rows or not self.holds_label:
            return None
        if self.positives is not None:
            lower, upper = wilson_bounds(self.positives, self.rows, Z95)
            return self.positives / self.rows, float(lower), float(upper)
        if self.label_mean is None:
            return None
        half = Z95 * (self.label_deviation or 0) / self.rows**0.5
        return self.label_mean, self.label_mean - half, self.label_mean + half


def plot_partition(owners: Sequence[OwnerSummary]) -> Figure:
    """Rows and label rate of every owner, and under them the share of each group level, tinted by its skew."""
    drawn = list(owners[:MOST_OWNERS])
    labelled = any(owner.label for owner in drawn)
    levels = _levels(drawn)
    line = 0.3 * len(drawn)
    figure = style.canvas(height=1.2 + line + (2.2 + line if levels else 0))
    parts = figure.subfigures(2, 1, height_ratios=[1.2 + line, 2.2 + line]) if levels else [figure]
    panels = parts[0].subplots(1, 2 if labelled else 1, sharey=True, squeeze=False)[0]
    _rows(panels[0], drawn)
    if labelled:
        _labels(panels[1], drawn)
    if levels:
        _shares(parts[1].add_subplot(), drawn, levels)
    notes = ["blue: less than over all owners, orange: more"] if levels else []
    notes += [f"{len(owners) - len(drawn)} more owners in the table"] if len(owners) > len(drawn) else []
    if notes:
        style.footnote(parts[-1], "; ".join(notes))
    said = "; ".join(f"{owner.owner}: {count(owner.rows)} rows" for owner in drawn)
    return style.describe(figure, f"{len(owners)} owners. {said}.")


def plot_blocks(owners: Sequence[OwnerSummary]) -> Figure:
    """The joint table as a rectangle, columns across and rows down, each owner's block in it."""
    figure = style.canvas(height=3.8)
    axes = style.tidy(figure.add_subplot(), grid="none")
    for position, owner in enumerate(owners):
        colour = style.LEVELS[position % len(style.LEVELS)]
        axes.add_patch(
            Rectangle(
                (owner.first_column, owner.first_row),
                owner.columns,
                owner.rows,
                facecolor=colour,
                alpha=0.22,
                edgecolor=colour,
                linewidth=1.5,
            )
        )
        parts = [owner.owner, f"{count(owner.rows)} rows", f"{owner.columns} columns"] + ["label"] * owner.holds_label
        text = "\n".join(style.shorten(style.legible(part), 20) for part in parts)
        axes.text(
            owner.first_column + owner.columns / 2,
            owner.first_row + owner.rows / 2,
            text,
            ha="center",
            va="center",
            fontsize=9,
            color=style.INK,
            parse_math=False,
        )
    axes.set(
        xlim=(0, max((owner.first_column + owner.columns for owner in owners), default=1) or 1),
        ylim=(max((owner.first_row + owner.rows for owner in owners), default=1) or 1, 0),
    )
    axes.yaxis.set_major_formatter(lambda rows, _: count(int(rows)))
    axes.xaxis.get_major_locator().set_params(integer=True)
    style.axis_names(axes, x="columns", y="rows")
    said = "; ".join(f"{owner.owner} holds {count(owner.rows)} rows and {owner.columns} columns" for owner in owners)
    return style.describe(figure, f"Blocks of the joint table: {said}.")


def _rows(axes: Axes, owners: list[OwnerSummary]) -> None:
    style.heading(axes, "Rows")
    style.tidy(axes, grid="none")
    axes.barh(range(len(owners)), [owner.rows for owner in owners], height=0.62, color=style.CANDIDATE, alpha=0.85)
    most = max((owner.rows for owner in owners), default=0) or 1
    for height, owner in enumerate(owners):
        people = f"  ({count(owner.persons)} people)" if owner.persons != owner.rows else ""
        style.write(axes, owner.rows + 0.02 * most, height, count(owner.rows) + people, va="center", fontsize=8.5)
    style.name_rows(axes, [owner.owner for owner in owners])
    axes.set(xlim=(0, 1.65 * most), xticks=[])
    axes.spines["bottom"].set_visible(False)


def _labels(axes: Axes, owners: list[OwnerSummary]) -> None:
    rate = any(owner.positives is not None for owner in owners)
    style.heading(axes, "Label rate" if rate else "Label mean")
    style.tidy(axes, grid="x")
    axes.tick_params(axis="y", length=0)
    for height, owner in enumerate(owners):
        if owner.label is None:
            continue
        value, lower, upper = owner.label
        axes.hlines(height, lower, upper, color=style.CANDIDATE, linewidth=1.4)
        axes.plot(value, height, "o", color=style.CANDIDATE, markersize=6)
        axes.annotate(
            percent(value) if rate else quantity(value),
            (1.01, height),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=8.5,
            color=style.INK,
        )
    if rate:
        style.as_percent(axes, "x")
    axes.locator_params(axis="x", nbins=5)


def _levels(owners: list[OwnerSummary]) -> list[tuple[str, str, int]]:
    """(group, level, rows of all owners): of each group the largest levels, of all groups as many as a page holds."""
    totals: dict[str, dict[str, int]] = {}
    for owner in owners:
        for group, levels in owner.groups.items():
            for level, rows in levels.items():
                totals.setdefault(group, {}).setdefault(level, 0)
                totals[group][level] += rows
    chosen = []
    for group, levels in totals.items():
        largest = set(sorted(levels, key=levels.get, reverse=True)[:MOST_LEVELS])
        chosen += [(group, level, rows) for level, rows in levels.items() if level in largest]
    return chosen[:MOST_SHARES]


def _shares(axes: Axes, owners: list[OwnerSummary], levels: list[tuple[str, str, int]]) -> None:
    """A table of shares; blue is less, orange more than that level has over all owners."""
    style.heading(axes, "Share of each group, in percent")
    style.tidy(axes, grid="none").tick_params(length=0)
    totals = {group: sum(sum(owner.groups.get(group, {}).values()) for owner in owners) for group, _, _ in levels}
    overall = [rows / totals[group] if totals[group] else np.nan for group, _, rows in levels]
    shares = np.full((len(owners) + 1, len(levels)), np.nan)
    shares[-1] = overall
    for height, owner in enumerate(owners):
        for across, (group, level, _) in enumerate(levels):
            if held := sum(owner.groups.get(group, {}).values()):
                shares[height, across] = owner.groups[group].get(level, 0) / held
    edges = np.arange(shares.shape[1] + 1) - 0.5, np.arange(shares.shape[0] + 1) - 0.5
    axes.pcolormesh(
        *edges,
        np.nan_to_num(shares - shares[-1]),
        cmap=_DEVIATION,
        vmin=-0.3,
        vmax=0.3,
        edgecolors=style.PAPER,
        linewidth=1.2,
    )
    for height, across in np.argwhere(~np.isnan(shares)):
        style.write(
            axes,
            across,
            height,
            f"{100 * shares[height, across]:.0f}",
            ha="center",
            va="center",
            fontsize=8.5,
            fontweight="bold" if height == len(owners) else "normal",
        )
    style.name_rows(axes, [*(owner.owner for owner in owners), "all owners"])
    axes.set_ylim(len(owners) + 0.5, -0.5)
    names = [style.shorten(style.legible(f"{group}={level}"), 22) for group, level, _ in levels]
    axes.set_xticks(
        range(len(levels)), names, rotation=40, ha="right", rotation_mode="anchor", color=style.INK, parse_math=False
    )
    starts = [across for across in range(1, len(levels)) if levels[across][0] != levels[across - 1][0]]
    axes.vlines(np.array(starts) - 0.5, -0.5, len(owners) + 0.5, color=style.MUTED, linewidth=0.8)
    for side in axes.spines.values():
        side.set_visible(False)
