"""Growing the trees of one round: level by level, every node at once, nothing opened.

A node is known by its gradients and hessians, (2, nodes, n) shares that are zero for rows elsewhere. A level sums them
in the owners' bins (left children only, the right ones are the rest), finds the best split of every node, tests all
rows, and splits the vectors by a shared bit. A node that does not split sends everything left, so that every tree has
the same public shape; its right side is an empty leaf that no row reaches.
Source: Deforth et al., PoPETs 2022(4), sections 3 and 4; the sign test of a shared linear form is ours.
"""

from dataclasses import dataclass

import numpy as np

from components.boosting.secret_shared.agreement import Agreement
from components.boosting.secret_shared.gains import Choice, best_splits, leaf_weights
from components.boosting.secret_shared.splits import Splits, coefficients, columns_of, left_sums, sign_bits
from components.boosting.secret_shared.view import View
from components.mpc.compare import negative_within
from components.mpc.engine import Engine
from components.mpc.owned_bins import histograms
from components.mpc.owned_matrix import apply_all
from components.mpc.select import select
from components.mpc.shared import Shared, SharedBits


@dataclass(frozen=True)
class Level:
    """The nodes of one level, in order: their shared tests, choices and sums."""

    tests: Shared
    """(nodes, columns) coefficients."""
    constants: Shared
    """(nodes,)"""
    chosen: Shared
    """(nodes,) position of the choice among the candidates; the number of candidates for no split."""
    thresholds: Shared
    """(nodes,) the bit pattern of the float32 cut, which only its owner knew."""
    sums: Shared
    """(2, nodes) gradient and hessian sums."""


@dataclass(frozen=True)
class Grown:
    """The trees of one round, side by side: node i of a level has children 2i and 2i + 1."""

    levels: list[Level]
    leaf_sums: Shared
    """(2, leaves)"""
    leaves: Shared
    """(leaves,) what a row in the leaf gains, eta included."""
    added: Shared
    """(trees, n) what every row gains."""


def grow(agreement: Agreement, view: View, splits: Splits, statistics: Shared, report=lambda level: None) -> Grown:
    """Trees for (2, trees, n) gradients and hessians."""
    depth = agreement.parameters.max_depth
    histogram, sides, levels = None, [], []
    for level in range(depth):
        histogram = level_histogram(agreement, view, statistics, histogram)
        nodes = statistics.shape[1]
        left, total = left_sums(histogram.reshape(2 * nodes, *histogram.shape[2:]), splits)
        choice = best_splits(agreement, splits, left.reshape(2, nodes, -1), total.reshape(2, nodes))
        record, goes_left = _test(agreement, view, splits, choice, total.reshape(2, nodes))
        levels.append(record)
        sides.append(goes_left)
        report(level)
        if level + 1 < depth:
            left_statistics = select(goes_left, statistics, site="split")
            statistics = _interleaved(left_statistics, statistics - left_statistics)
    leaf_sums = _interleaved(choice.left.reshape(2, -1, 1), choice.right.reshape(2, -1, 1))[:, :, 0]
    leaves = leaf_weights(agreement, leaf_sums)
    return Grown(levels, leaf_sums, leaves, landed(leaves, sides))


def level_histogram(agreement: Agreement, view: View, statistics: Shared, above: Shared | None) -> Shared:
    """(2, nodes, F, slots) sums over bins; below the root only left children are summed, the rest is subtraction."""
    if above is None:
        return _summed(agreement, view, statistics)
    left = _summed(agreement, view, statistics[:, 0::2])
    return _interleaved(left, above - left)


def _summed(agreement: Agreement, view: View, statistics: Shared) -> Shared:
    vectors = statistics.reshape(-1, agreement.rows)
    products = [
        (bins, vectors[:, block.start : block.stop]) for block, bins in zip(agreement.blocks, view.bins, strict=True)
    ]
    words = np.zeros((vectors.shape[0], len(agreement.features), agreement.slots), dtype=np.uint64)
    for block, part in zip(agreement.blocks, histograms(statistics.engine, products, site="histogram"), strict=True):
        words[:, list(block.features)] += part.words
    return statistics._like(words.reshape(*statistics.shape[:2], *words.shape[1:]))


def _test(agreement: Agreement, view: View, splits: Splits, choice: Choice, total: Shared) -> tuple[Level, SharedBits]:
    """What the chosen splits say of every row, (nodes, n) bits: 1 goes left."""
    engine = view.engine
    one_hot = choice.one_hot
    tests, constants = coefficients(one_hot, splits, len(columns_of(agreement)))
    products = [(values, tests[:, columns]) for values, columns in zip(view.columns, view.block_columns, strict=True)]
    *values, cuts = _apply(engine, products, view.cut_products(splits, one_hot))
    goes_left = signs_of(agreement, values, constants)
    record = Level(
        tests,
        constants,
        one_hot.times(np.arange(len(splits) + 1)).sum(axis=1),
        cuts,
        total,
    )
    return record, goes_left


def _apply(engine: Engine, rows: list, cuts: list) -> list[Shared]:
    """One round for the tests of all rows and, last, the patterns of the chosen cuts."""
    parts = apply_all(engine, [*rows, *cuts], site="test")
    patterns = np.sum([part.words[:, 0] for part in parts[len(rows) :]], axis=0, dtype=np.uint64)
    return [*parts[: len(rows)], parts[-1]._like(patterns)]


def signs_of(agreement: Agreement, values: list[Shared], constants: Shared) -> SharedBits:
    """[D < 0] of every row at every node, (nodes, rows), from each block's part of D and the constants (nodes,)."""
    sums = np.zeros((len(constants), agreement.rows), dtype=np.uint64)
    for block, part in zip(agreement.blocks, values, strict=True):
        sums[:, block.start : block.stop] += part.words
    sums += constants.words[:, None]
    return negative_within(constants._like(sums), sign_bits(agreement), site="test")


def landed(leaves: Shared, sides: list[SharedBits]) -> Shared:
    """The leaf value of every row, from the deepest test up: (trees, rows).

    A node's value is right + side (left - right); rows elsewhere get some value too, which the test above discards.
    """
    values = leaves.reshape(-1, 1)
    for goes_left in reversed(sides):
        left, right = values[0::2], values[1::2]
        moved = select(goes_left, left - right, site="land")
        values = moved + right
    return values


def _interleaved(left: Shared, right: Shared) -> Shared:
    """Children in order along the second axis: left, right of node 0, left, right of node 1, …"""
    shape = left.shape
    both = np.stack([left.words, right.words], axis=2)
    return left._like(both.reshape(shape[0], 2 * shape[1], *shape[2:]))
