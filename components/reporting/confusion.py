"""What a model of several classes mistakes for what: rows are the truth, columns what was said, each row sums to 100 %.

With many classes only those with the most errors are drawn, the others pooled in one row and column, so that the
picture stays readable and still adds up.
"""

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from components.data.predictions import Predictions
from components.reporting import style
from components.reporting.numbers import count

MOST_CLASSES = 14
_BLUES = LinearSegmentedColormap.from_list("share", [style.PAPER, style.CANDIDATE])


def plot_confusion(candidate: Predictions) -> Figure:
    """The confusion matrix of a multi-class model as shares of the true class, counts of rows at the right."""
    counts, names = _pooled(_confusion(candidate), list(candidate.rule.classes))
    totals = counts.sum(axis=1)
    shares = counts / np.maximum(totals, 1)[:, None]
    size = len(names)
    figure = style.canvas(height=1.9 + 0.33 * size)
    axes = style.tidy(figure.add_subplot(), grid="none")
    axes.pcolormesh(
        np.arange(size + 1) - 0.5,
        np.arange(size + 1) - 0.5,
        shares,
        cmap=_BLUES,
        vmin=0,
        vmax=1,
        edgecolors=style.PAPER,
        linewidth=1.5,
    )
    for truth, said in np.argwhere(counts > 0):
        style.write(
            axes,
            said,
            truth,
            f"{100 * shares[truth, said]:.0f}",
            ha="center",
            va="center",
            fontsize=8.5,
            color=style.PAPER if shares[truth, said] > 0.55 else style.INK,
        )
    style.name_rows(axes, names)
    axes.set_ylim(size - 0.5, -0.5)
    axes.set_xticks(
        range(size),
        [style.shorten(style.legible(name), 18) for name in names],
        rotation=40,
        ha="right",
        rotation_mode="anchor",
        color=style.INK,
        parse_math=False,
    )
    style.row_notes(axes, [f"n {count(int(rows))}" for rows in totals])
    style.axis_names(axes, x="said", y="true")
    if size < len(candidate.rule.classes):
        style.footnote(figure, "the last cell of the diagonal includes mistakes among the other classes")
    for side in axes.spines.values():
        side.set_visible(False)
    return style.describe(figure, f"Confusion matrix of {count(len(candidate))} rows, percent of each true class.")


def _confusion(predictions: Predictions) -> np.ndarray:
    classes = len(predictions.rule.classes)
    flat = np.bincount(classes * predictions.labels.astype(int) + predictions.decisions, minlength=classes**2)
    return flat.reshape(classes, classes)


def _pooled(counts: np.ndarray, names: list[str]) -> tuple[np.ndarray, list[str]]:
    if len(names) <= MOST_CLASSES:
        return counts, names
    errors = counts.sum(axis=0) + counts.sum(axis=1) - 2 * counts.diagonal()
    kept = np.sort(np.argsort(-errors, kind="stable")[: MOST_CLASSES - 1])
    place = np.full(len(names), len(kept))
    place[kept] = np.arange(len(kept))
    pooled = np.zeros((len(kept) + 1, len(kept) + 1), dtype=counts.dtype)
    np.add.at(pooled, (place[:, None], place[None, :]), counts)
    return pooled, [*(names[code] for code in kept), f"{len(names) - len(kept)} other classes"]
