"""Softmax of shared margins: e^(m_k - max m) over their sum.

The largest margin of a row, found by a tournament, is taken away first, so that exponents are in [-14, 0] (below, the
result is less than half a unit) and their sum in [1, K], whatever the margins. Then a series for the exponential (see
`fourier`), and the quotients by the sum.
"""

from components.mpc.argmax import maximum
from components.mpc.fourier import exponential
from components.mpc.multiply import truncate
from components.mpc.quotient import quotient
from components.mpc.shared import Shared


def softmax(margins: Shared, *, site: str = "softmax") -> Shared:
    """Class probabilities (K, n) of margins (K, n), FRACTION bits."""
    largest = maximum(margins._like(margins.words.T), site=f"{site}.maximum")
    weights = exponential(margins - largest, site=f"{site}.exponential")
    # One class is the largest, so the sum is at least 1, up to the error of the exponential.
    inside = {"lower": 0.5, "upper": len(weights) + 0.5, "bound": 2.0}
    shares, _ = quotient(weights, weights.sum(axis=0), **inside, site=f"{site}.quotient")
    return truncate(shares, site=f"{site}.truncate")
