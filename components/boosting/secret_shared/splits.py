"""The candidate splits of a tree, as public tables: what each adds up, and how rows would test it.

A numeric feature may be cut after any bin, with missing values on either side; a categorical one may send one category
right. Every candidate's left sum is a fixed combination of histogram slots, and every test is the sign of

    D = Σ_columns coefficient · value + constant,   D < 0 goes left,

over integer columns that an owner can compute from its own bins: the bin k, whether it is missing, and k^2 for
categories, since -(k - c)^2 is zero for c and negative elsewhere. So a hidden split is a shared coefficient vector, and
its rows are found without a histogram's width in the cost.
Source: Chen and Guestrin, KDD 2016, algorithm 3 (default directions); XGBoost's one-hot categorical split.
"""

from dataclasses import dataclass

import numpy as np
from numba import njit

from components.boosting.secret_shared.agreement import Agreement, Block
from components.mpc.shared import Shared


@dataclass(frozen=True)
class Splits:
    """C candidates and, last, the choice not to split.

    `feature` (C,), `threshold` (C,): the last bin that goes left, or the category that goes right; `default_left` (C,).
    """

    feature: np.ndarray
    threshold: np.ndarray
    default_left: np.ndarray
    plus: np.ndarray
    """(2, C) positions in the extended histogram whose sum, less that at `minus` (C,), is what goes left."""
    minus: np.ndarray
    entries: np.ndarray
    """(3, E) candidate, column, coefficient."""
    constants: np.ndarray
    """(C + 1,) constant of each test; -1 without a split: every row goes left."""

    def __len__(self) -> int:
        return len(self.feature)


def columns_of(agreement: Agreement) -> list[tuple[int, str]]:
    """(feature, what) of every column of the tests; what is 'bin', 'missing' or 'square'."""
    columns = []
    for position, feature in enumerate(agreement.features):
        columns.append((position, "bin"))
        if feature.may_miss:
            columns.append((position, "missing"))
        if feature.kind == "categorical":
            columns.append((position, "square"))
    return columns


def block_columns(agreement: Agreement, block: Block) -> list[int]:
    """Positions of the columns that a block's owner computes."""
    return [column for column, (feature, _) in enumerate(columns_of(agreement)) if feature in block.features]


def column_values(agreement: Agreement, block: Block, bins: np.ndarray) -> np.ndarray:
    """(columns, rows) uint64 of a block, from its (rows, features) bins with `widest` for missing."""
    where = {feature: position for position, feature in enumerate(block.features)}
    missing = bins == agreement.widest
    # A missing value of a feature that may not miss keeps the bin beyond all others, which XGBoost's default is too.
    may_miss = np.array([agreement.features[feature].may_miss for feature in block.features])
    known = np.where(missing & may_miss, 0, bins).astype(np.uint64)
    columns = columns_of(agreement)
    values = np.empty((len(block_columns(agreement, block)), len(bins)), dtype=np.uint64)
    for row, column in enumerate(block_columns(agreement, block)):
        feature, what = columns[column]
        match what:
            case "bin":
                values[row] = known[:, where[feature]]
            case "missing":
                values[row] = missing[:, where[feature]]
            case _:
                values[row] = known[:, where[feature]] ** np.uint64(2)
    return values


def sign_bits(agreement: Agreement) -> int:
    """Bits that hold every D, sign included."""
    squares = any(feature.kind == "categorical" for feature in agreement.features)
    largest = (agreement.widest + 1) ** 2 * 3 if squares else 3 * (agreement.widest + 1)
    return int(largest).bit_length() + 1


def candidate_splits(agreement: Agreement, drawn: np.ndarray) -> Splits:
    """All candidates of the features `drawn` (positions, increasing) for a tree."""
    widest, slots, count = agreement.widest, agreement.slots, len(agreement.features)
    # The extended histogram: cumulative sums (F, slots), plain sums (F, slots), the total, zero.
    plain, total, zero = count * slots, 2 * count * slots, 2 * count * slots + 1
    column = {key: position for position, key in enumerate(columns_of(agreement))}
    feature, threshold, default_left, first, second, minus, constants = [], [], [], [], [], [], []
    entries: list[tuple[int, int, int]] = []

    def add(position, cut, left, plus, less, constant, coefficients):
        here = len(feature)
        feature.append(position), threshold.append(cut), default_left.append(left)
        first.append(plus[0]), second.append(plus[1]), minus.append(less), constants.append(constant)
        entries.extend((here, column[position, what], factor) for what, factor in coefficients)

    for position in drawn.tolist():
        shape = agreement.features[position]
        lost = plain + position * slots + widest
        if shape.kind == "numeric":
            cumulative = position * slots
            for cut in range(shape.bins - (not shape.may_miss)):
                toward = [("missing", widest + 1)] if shape.may_miss else []
                add(position, cut, False, (cumulative + cut, zero), zero, -cut - 1, [("bin", 1), *toward])
            for cut in range(-1, shape.bins - 1) if shape.may_miss else ():
                below = cumulative + cut if cut >= 0 else zero
                add(position, cut, True, (below, lost), zero, -cut - 1, [("bin", 1), ("missing", -widest - 1)])
        else:
            far = (widest + 1) ** 2
            for category in range(shape.bins):
                own = plain + position * slots + category
                test = [("square", -1), ("bin", 2 * category)]
                if not shape.may_miss:
                    add(position, category, True, (total, zero), own, -(category**2), test)
                    continue
                add(position, category, True, (total, zero), own, -(category**2), [*test, ("missing", -1)])
                # Known rows of other categories: all rows less the category and the missing, which is two subtractions;
                # the known rows are the last cumulative sum, so one is enough.
                known = position * slots + widest - 1
                add(position, category, False, (known, zero), own, -(category**2), [*test, ("missing", far)])
    return Splits(
        np.array(feature, dtype=np.int64),
        np.array(threshold, dtype=np.int64),
        np.array(default_left, dtype=bool),
        np.array([first, second], dtype=np.int64),
        np.array(minus, dtype=np.int64),
        np.array(entries, dtype=np.int64).reshape(-1, 3).T,
        np.array([*constants, -1]),
    )


def left_sums(histogram: Shared, splits: Splits) -> tuple[Shared, Shared]:
    """From (v, F, slots) to what each candidate sends left, (v, C), and each vector's total, (v,). Nothing is sent."""
    vectors = histogram.shape[0]
    words = histogram.words
    total = words[:, 0].sum(axis=1, dtype=np.uint64)
    extended = np.concatenate(
        [
            np.cumsum(words, axis=2, dtype=np.uint64).reshape(vectors, -1),
            words.reshape(vectors, -1),
            total[:, None],
            np.zeros((vectors, 1), dtype=np.uint64),
        ],
        axis=1,
    )
    left = extended[:, splits.plus[0]]
    left += extended[:, splits.plus[1]]
    left -= extended[:, splits.minus]
    return histogram._like(left), histogram._like(total)


def coefficients(chosen: Shared, splits: Splits, columns: int) -> tuple[Shared, Shared]:
    """From the one-hot choice (nodes, C + 1) to the test's coefficients (nodes, columns) and constant (nodes,)."""
    weights = np.zeros((chosen.shape[0], columns), dtype=np.uint64)
    _scatter(chosen.words, *splits.entries, weights)
    constant = chosen.times(splits.constants).sum(axis=1)
    return chosen._like(weights), constant


@njit(cache=True, nogil=True)
def _scatter(chosen, candidate, column, factor, weights):
    for node in range(chosen.shape[0]):
        for entry in range(len(candidate)):
            weights[node, column[entry]] += chosen[node, candidate[entry]] * np.uint64(factor[entry])
