"""Gradients and hessians on shares: the derivative of the loss at margins that nobody sees.

Logistic: p - y and p (1 - p), both from one masked opening of the margin. Softmax: p_k - [y = k] and 2 p_k (1 - p_k),
XGBoost's factor. Squared error: margin - y and 1. With very many rows each hessian is raised by a small public number
(`Agreement.floor`), which shortens the steps of nearly certain rows and moves no optimum.
Source: Chen and Guestrin, KDD 2016, section 2.2; XGBoost's objectives.
"""

import numpy as np

from components.boosting.secret_shared.agreement import Agreement
from components.boosting.secret_shared.view import Holding
from components.mpc.compare import at_least
from components.mpc.engine import Engine
from components.mpc.fixed_point import FRACTION
from components.mpc.fourier import exponential, sigmoid
from components.mpc.multiply import multiply, truncate
from components.mpc.quotient import quotient
from components.mpc.select import select
from components.mpc.shared import Shared, concatenate
from components.mpc.softmax import softmax

NEWTON_STEPS = 16
"""Enough for a share of one in ten thousand, where the first steps move the margin by one each."""

FARTHEST = 3.0
"""Margins of squared error are kept within this, in units of the label's public range."""


def shared_labels(engine: Engine, agreement: Agreement, holding: Holding) -> Shared:
    """(outputs, n): the label, scaled to [-1, 1] for regression, one-hot for classes."""
    parts = []
    for number, block in enumerate(agreement.labels):
        values = None
        if engine.party == block.owner:
            values = _targets(agreement, np.asarray(holding.labels[number], dtype=np.float64))
        parts.append(engine.share(block.owner, values, (agreement.outputs, block.rows)))
    return concatenate(parts, axis=1)


def scale_of(agreement: Agreement) -> tuple[float, float]:
    """(middle, half width): a regression label y is trained on as (y - middle) / half width."""
    low, high = agreement.label_range
    return (low + high) / 2, (high - low) / 2


def in_label_units(agreement: Agreement, margins: np.ndarray) -> np.ndarray:
    """Opened margins (outputs, n) as the opened model gives them: for regression, in the label's units."""
    if agreement.objective != "reg:squarederror":
        return margins
    middle, half = scale_of(agreement)
    return middle + half * margins


def base_margins(agreement: Agreement, labels: Shared) -> Shared:
    """(outputs, 1): where boosting starts, as XGBoost estimates it, known to nobody.

    The mean for squared error, its logit for logistic, the centred logarithms of the class shares for classes; the last
    two by Newton's method on one shared number an output, from 0, whence it never overshoots.
    """
    total = labels.sum(axis=1).reshape(agreement.outputs, 1)
    # |sum| <= rows 2^20, so 2^40 / rows more bits stay within 2^60.
    mean = truncate(total.times(round(2**40 / agreement.rows)).rescaled(FRACTION + 40), site="base")
    match agreement.objective:
        case "binary:logistic":
            return _newton(mean, sigmoid)
        case "multi:softprob":
            logarithms = _newton(mean, lambda margin: (exponential(margin),) * 2)
            centre = logarithms.sum(axis=0).times(round(2**20 / agreement.outputs))
            return logarithms - truncate(centre.rescaled(FRACTION + 20), site="base").reshape(1, 1)
        case _:
            return mean


def _newton(target: Shared, function) -> Shared:
    """The margin at which `function`, which gives value and slope, has the value `target` in (0, 1)."""
    margin = target.engine.zeros(target.shape)
    for _ in range(NEWTON_STEPS):
        value, slope = function(margin)
        step, _ = quotient(target - value, slope, lower=2.0**-16, upper=1.0, bound=2.0**16, site="base.step")
        margin = margin + truncate(step, FRACTION, site="base.step")
    return margin


def statistics(agreement: Agreement, margins: Shared, labels: Shared) -> Shared:
    """(2, outputs, n) gradients and hessians at (outputs, n) margins."""
    match agreement.objective:
        case "binary:logistic":
            probability, slope = sigmoid(margins)
            return _stacked(probability - labels, slope + agreement.floor)
        case "multi:softprob":
            probability = softmax(margins)
            slope = truncate(
                multiply(probability, 1.0 - probability, site="softmax.slope").times(2), site="softmax.slope"
            )
            return _stacked(probability - labels, slope + agreement.floor)
        case _:
            kept = _kept(margins)
            return _stacked(kept - labels, margins.engine.public(np.ones(margins.shape)))


def _kept(margins: Shared) -> Shared:
    """Margins within ±FARTHEST, so that no gradient outgrows its public bound."""
    above = at_least(margins, np.array([-FARTHEST, FARTHEST]), site="margin")
    inside = above[0] ^ above[1]
    # low + [x >= low] (…): inside gives x, above the end, below the other end.
    return (
        select(inside, margins, site="margin")
        + select(above[1], margins.engine.public(np.full(margins.shape, FARTHEST)), site="margin")
        - select(~above[0], margins.engine.public(np.full(margins.shape, FARTHEST)), site="margin")
    )


def _targets(agreement: Agreement, labels: np.ndarray) -> np.ndarray:
    match agreement.objective:
        case "multi:softprob":
            return (labels[None, :] == np.arange(agreement.outputs)[:, None]).astype(np.float64)
        case "reg:squarederror":
            middle, half = scale_of(agreement)
            return ((labels - middle) / half)[None, :]
        case _:
            return labels[None, :]


def _stacked(gradients: Shared, hessians: Shared) -> Shared:
    return concatenate([gradients.reshape(1, *gradients.shape), hessians.reshape(1, *hessians.shape)])
