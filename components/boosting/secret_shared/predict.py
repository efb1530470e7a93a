"""Prediction on shares: an owner's rows scored by a model that nobody has opened.

Rows enter like training rows, as test columns only their owners know; every node of every tree is tested, and leaf
values land from the deepest test up. Neither rows nor model are opened, only the margins, to whom they were promised.
"""

import numpy as np

from components.boosting.secret_shared.agreement import Agreement
from components.boosting.secret_shared.grow import landed, signs_of
from components.boosting.secret_shared.train import SharedModel
from components.boosting.secret_shared.view import Rows
from components.mpc.owned_matrix import apply_all
from components.mpc.shared import Shared, SharedBits, concatenate

WORDS_AT_ONCE = 2**22
"""Node times row values held at once; more rounds of trees are taken in turn."""


def predict_margins(agreement: Agreement, rows: Rows, model: SharedModel) -> Shared:
    """(outputs, n) margins of the rows, n being the rows of `agreement`, which has this data's blocks."""
    nodes = agreement.outputs * (2**agreement.parameters.max_depth - 1)
    together = max(1, WORDS_AT_ONCE // (nodes * agreement.rows))
    margins = model.base + rows.engine.zeros((agreement.outputs, agreement.rows))
    for start in range(0, len(model.rounds), together):
        margins = margins + _added(agreement, rows, model, range(start, min(start + together, len(model.rounds))))
    return margins


def _added(agreement: Agreement, rows: Rows, model: SharedModel, numbers: range) -> Shared:
    """What some rounds add, (outputs, n): their trees side by side, so that every level is tested in one go."""
    chosen = [model.rounds[number] for number in numbers]
    levels = [[grown.levels[depth] for grown in chosen] for depth in range(agreement.parameters.max_depth)]
    tests = concatenate([level.tests for depth in levels for level in depth])
    constants = concatenate([level.constants for depth in levels for level in depth])
    products = [(values, tests[:, columns]) for values, columns in zip(rows.columns, rows.block_columns, strict=True)]
    signs = signs_of(agreement, apply_all(rows.engine, products, site="predict"), constants)
    leaves = concatenate([grown.leaves for grown in chosen])
    return landed(leaves, _by_level(signs, levels)).reshape(len(numbers), agreement.outputs, -1).sum(axis=0)


def _by_level(signs: SharedBits, levels: list) -> list[SharedBits]:
    """Bits of all nodes cut into levels; within one, trees follow one another as `landed` expects."""
    ends = np.cumsum([sum(len(level.constants) for level in depth) for depth in levels])
    return [signs[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]
