"""What private training spends: (epsilon, delta) of Poisson-sampled Gaussian steps, under adding or removing one unit.

Told by the PRV accountant of opacus (Gopi, Lee, Wutschitz 2021), an upper bound that is tight to a chosen error, and
checked by privacy loss distributions of dp-accounting, another implementation by other people. Renyi divergences say 10
to 12 percent more; mu-GDP's central limit says less than is spent and is not used.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import dp_accounting
from dp_accounting.pld import PLDAccountant
from opacus.accountants import PRVAccountant

from components.privacy.steps import Steps, merged, require_delta

AGREEMENT = 0.02
"""How far the two accountants may be apart, relative to epsilon; they are within 0.006 on all that was tried."""

ERROR = 5e-3
"""By how much PRV may say more than the truth, relative to epsilon; less costs time in proportion."""


@dataclass(frozen=True)
class PrivacySpent:
    """A guarantee: `epsilon` at `delta` for one `unit`, as `accountant` tells it; `checked` is the other's epsilon."""

    epsilon: float
    delta: float
    accountant: str = "PRV"
    unit: str = "utterance"
    checked: float = float("nan")


def privacy_spent(steps: Sequence[Steps], *, delta: float, unit: str = "utterance") -> PrivacySpent:
    """What `steps`, all of them together, spend; nothing for none.

    Raises
    ------
    InvalidInput
        `delta` is not between 0 and 1.
    RuntimeError
        The accountants disagree: one of them is wrong, and neither number may be shown.
    """
    require_delta(delta)
    if not steps:
        return PrivacySpent(0.0, delta, unit=unit, checked=0.0)
    steps = merged(steps)
    checked = by_loss_distribution(steps, delta)
    if checked < 1:
        checked = by_loss_distribution(steps, delta, interval=2e-3 * checked)
    epsilon = by_random_variables(steps, delta, error=max(ERROR * checked, 2e-4))
    if abs(epsilon - checked) > AGREEMENT * checked + 1e-3:
        raise RuntimeError(f"accountants disagree on {steps}: PRV says {epsilon:.4f}, PLD {checked:.4f}")
    return PrivacySpent(epsilon, delta, unit=unit, checked=checked)


def by_random_variables(steps: Sequence[Steps], delta: float, *, error: float) -> float:
    """Epsilon by PRV, at most `error` above the truth and never below."""
    accountant = PRVAccountant()
    # Its formula divides by zero where every unit takes part.
    accountant.history = [(part.noise, min(part.rate, 1 - 1e-12), part.count) for part in steps]
    with warnings.catch_warnings():
        # Of the rough bound from which it takes the width of its grid.
        warnings.filterwarnings("ignore", "Optimal order is", UserWarning)
        return float(accountant.get_epsilon(delta, eps_error=error))


def by_loss_distribution(steps: Sequence[Steps], delta: float, *, interval: float = 2e-3) -> float:
    """Epsilon by PLD, rounded up on a grid of losses that are `interval` apart, or less where a step spends less."""
    finest = min(part.rate / part.noise for part in steps)
    accountant = PLDAccountant(value_discretization_interval=min(interval, finest / 8))
    for part in steps:
        step = dp_accounting.GaussianDpEvent(part.noise)
        accountant.compose(dp_accounting.PoissonSampledDpEvent(part.rate, step), part.count)
    return float(accountant.get_epsilon(delta))
