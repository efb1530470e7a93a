"""What every candidate split gains, and the best one: computed for all nodes of a level at once, seen by nobody.

The score of a split is G_L^2 / (H_L + lambda) + G_R^2 / (H_R + lambda); the choice not to split scores what the node
has now and gamma more. A split with a side that is empty or lighter than min_child_weight scores below everything. The
scores of one node are compared with one another only, so a fixed point of public scale serves them all.
Source: Chen and Guestrin, KDD 2016, equations 5 to 7.
"""

import math
from dataclasses import dataclass

from components.boosting.secret_shared.agreement import Agreement
from components.boosting.secret_shared.objective import scale_of
from components.boosting.secret_shared.splits import Splits
from components.mpc.argmax import first_maximum
from components.mpc.fixed_point import FRACTION
from components.mpc.multiply import multiply_truncated, truncate
from components.mpc.quotient import quotient
from components.mpc.select import select_and_convert
from components.mpc.shared import Shared, concatenate

LEAST_GAIN = 1e-6
"""XGBoost's kRtEps: a split that gains no more is none."""


@dataclass(frozen=True)
class Choice:
    """The best split of each node."""

    one_hot: Shared
    """(nodes, C + 1) ones and zeros, 'no split' last."""
    left: Shared
    """(2, nodes) gradient and hessian sums of the left child."""
    right: Shared


INDIFFERENCE = 1e-4
"""What sending missing values left must gain more: equal gains differ by less, and XGBoost then sends them right."""


def best_splits(agreement: Agreement, splits: Splits, left: Shared, total: Shared) -> Choice:
    """From left sums (2, nodes, C) and totals (2, nodes), gradients first, to the best candidate of every node."""
    _, nodes, count = left.shape
    parameters = agreement.parameters
    right = total.reshape(2, nodes, 1) - left
    # Left sides, right sides and the undivided node in one batch: (nodes, 2 C + 1).
    sides = concatenate([left, right, total.reshape(2, nodes, 1)], axis=2)
    gradients, hessians = sides[0], sides[1]
    # Light sides weigh nothing, and their score stays within the public bound.
    weights, heavy = quotient(
        gradients,
        hessians + parameters.reg_lambda,
        lower=agreement.lightest,
        upper=agreement.hessian_bound,
        bound=agreement.weight_bound,
        site="gain",
    )
    scores = _scores(agreement, weights, gradients)
    # A split with a light side scores below everything.
    worst = agreement.score_bound
    penalty = (heavy[:, :count] + heavy[:, count : 2 * count]).times(round(worst * 2**scores.fraction))
    split = scores[:, :count] + scores[:, count : 2 * count] + penalty.rescaled(scores.fraction)
    split = split - (2 * worst + INDIFFERENCE * splits.default_left)
    stay = scores[:, 2 * count :] + min(max(_gamma(agreement), LEAST_GAIN), worst)
    bits = first_maximum(concatenate([split, stay], axis=1), site="best")
    # The sums of the chosen left side: all rows where nothing is split.
    offered = concatenate([left, total.reshape(2, nodes, 1)], axis=2)
    chosen, one_hot = select_and_convert(bits, offered, site="best.sums")
    chosen = chosen.sum(axis=2)
    return Choice(one_hot, chosen, total - chosen)


def _scores(agreement: Agreement, weights: Shared, gradients: Shared) -> Shared:
    """w G of each side, its fraction bits as many as the public bound allows; the smaller factor has more of them."""
    bits = agreement.gain_bits
    gradient_bits = min(FRACTION, round((bits - math.log2(agreement.rows)) / 2) + 1)
    weight_bits = min(weights.fraction, bits - gradient_bits)
    return multiply_truncated(weights, weight_bits, gradients, gradient_bits, site="gain.score")[0]


def _gamma(agreement: Agreement) -> float:
    """In units of the gradients, which a regression label's range scales down, and gains by its square."""
    half = scale_of(agreement)[1] if agreement.objective == "reg:squarederror" else 1.0
    return agreement.parameters.gamma / half**2


def leaf_weights(agreement: Agreement, sums: Shared) -> Shared:
    """-eta G / (H + lambda) from (2, leaves) sums, (leaves,)."""
    parameters = agreement.parameters
    weights, _ = quotient(
        -sums[0],
        sums[1] + parameters.reg_lambda,
        lower=agreement.lightest,
        upper=agreement.hessian_bound,
        bound=agreement.weight_bound,
        site="leaf",
    )
    weights = truncate(weights, min(24, weights.fraction), site="leaf.weight")
    bits = min(24, 61 - weights.fraction - math.ceil(math.log2(agreement.weight_bound)))
    return truncate(weights.times(round(parameters.eta * 2**bits)).rescaled(weights.fraction + bits), site="leaf.eta")
