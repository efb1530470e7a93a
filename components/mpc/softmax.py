"""Softmax of shared margins: e^(m_k - max m) over their sum.

The largest margin of a row, found by a tournament, is taken away first, so that exponents are in [-14, 0] (below, the
result is less than half a unit) and their sum in [1, K], whatever the margins. Then a series for the exponential (see
`fourier`), the reciprocal of the sum, and one product.
"""

import numpy as np

from components.mpc.argmax import maximum
from components.mpc.fourier import exponential
from components.mpc.multiply import multiply_fixed
from components.mpc.reciprocal import reciprocal
from components.mpc.shared import Shared


def softmax(margins: Shared, *, site: str = "softmax") -> Shared:
    """Class probabilities (n, K) of margins (n, K), FRACTION bits."""
    largest = maximum(margins, site=f"{site}.maximum")
    weights = exponential(margins - largest.reshape(-1, 1), site=f"{site}.exponential")
    # One class is the largest, so the sum is at least 1, up to the error of the exponential.
    inverse, _ = reciprocal(weights.sum(axis=1), margins.shape[1] + 0.5, lower_bits=1, site=f"{site}.reciprocal")
    spread = Shared(margins.engine, np.repeat(inverse.words, margins.shape[1]).reshape(margins.shape), inverse.fraction)
    return multiply_fixed(weights, spread, site=f"{site}.multiply")
