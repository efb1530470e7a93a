"""Gradients and hessians on shares: the derivative of the loss at margins that nobody sees.

Logistic: p - y and p (1 - p), both from one masked opening of the margin. Softmax: p_k - [y = k] and 2 p_k (1 - p_k),
XGBoost's factor. Squared error: margin - y and 1.
Source: Chen and Guestrin, KDD 2016, section 2.2; XGBoost's objectives.
"""

import numpy as np

from components.boosting.secret_shared.agreement import Agreement
from components.boosting.secret_shared.view import Holding
from components.mpc.compare import at_least
from components.mpc.engine import Engine
from components.mpc.fixed_point import FRACTION
from components.mpc.fourier import sigmoid
from components.mpc.multiply import multiply, truncate
from components.mpc.select import select
from components.mpc.shared import Shared, concatenate
from components.mpc.softmax import softmax

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


def base_margins(agreement: Agreement, labels: Shared) -> Shared:
    """(outputs, 1): where boosting starts, as XGBoost would estimate it, known to nobody.

    The mean for squared error; one Newton step from 0, 4 (mean - 1/2), for logistic; 0 for classes.
    """
    engine = labels.engine
    if agreement.objective == "multi:softprob":
        return engine.zeros((agreement.outputs, 1))
    total = labels.sum(axis=1).reshape(agreement.outputs, 1)
    share = round(2**32 / agreement.rows)
    # |sum| < 2^24 rows 2^20, so 2^32 / rows more bits stay below 2^54.
    mean = truncate(total.times(share).rescaled(FRACTION + 32), site="base")
    return mean if agreement.objective == "reg:squarederror" else (mean - 0.5).times(4)


def statistics(agreement: Agreement, margins: Shared, labels: Shared) -> Shared:
    """(2, outputs, n) gradients and hessians at (outputs, n) margins."""
    match agreement.objective:
        case "binary:logistic":
            probability, slope = sigmoid(margins)
            return _stacked(probability - labels, slope)
        case "multi:softprob":
            turned = softmax(margins._like(np.ascontiguousarray(margins.words.T)))
            probability = margins._like(np.ascontiguousarray(turned.words.T))
            slope = truncate(
                multiply(probability, 1.0 - probability, site="softmax.slope").times(2), site="softmax.slope"
            )
            return _stacked(probability - labels, slope)
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
