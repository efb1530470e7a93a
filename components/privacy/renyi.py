"""Epsilon by Renyi divergences (Mironov, Talwar, Zhang 2019), by dp-accounting: looser, safe to add up adaptively."""

from collections.abc import Sequence

import dp_accounting
from dp_accounting.rdp import RdpAccountant

from components.privacy.steps import Steps

ORDERS = (1.75, *range(2, 65), 80, 96, 128, 256, 512, 1024)


def renyi_epsilon(steps: Sequence[Steps], delta: float) -> float:
    """Epsilon of `steps` together, whatever made each of them be chosen."""
    accountant = RdpAccountant(ORDERS)
    for part in steps:
        step = dp_accounting.GaussianDpEvent(part.noise)
        accountant.compose(dp_accounting.PoissonSampledDpEvent(part.rate, step), part.count)
    return float(accountant.get_epsilon(delta))
