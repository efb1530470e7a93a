"""A training's plan: how often units are sampled, for how many steps, with how much noise in each epoch.

The budget is what one chooses and the noise what follows. A schedule gives epochs different shares of noise (more at
first, where gradients are large, and less at the end); the plan is accounted as a whole, epoch by epoch.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache

from scipy.optimize import brentq

from components.errors import InvalidInput
from components.privacy.renyi import renyi_epsilon
from components.privacy.spent import ERROR, PrivacySpent, by_loss_distribution, privacy_spent
from components.privacy.steps import Steps, merged, require_delta

LEAST_NOISE, MOST_NOISE = 0.2, 2000.0
COARSE = 4e-3
"""Between losses while noise is searched for, relative to an epsilon below 1."""
STRIDE = 0.15
"""Of the logarithm of noise; Renyi divergences ask for some 10 percent more than is needed."""


@dataclass(frozen=True)
class Plan:
    """`noise` multipliers by epoch, each of `steps_an_epoch` steps at sampling `rate`, accounted at `delta`."""

    noise: tuple[float, ...]
    rate: float
    steps_an_epoch: int
    delta: float
    unit: str = "utterance"

    @property
    def steps(self) -> tuple[Steps, ...]:
        """All steps of the plan."""
        return merged(Steps(noise, self.rate, self.steps_an_epoch) for noise in self.noise)

    @property
    def spent(self) -> PrivacySpent:
        """What the whole plan spends."""
        return privacy_spent(self.steps, delta=self.delta, unit=self.unit)

    def first(self, steps: int) -> tuple[Steps, ...]:
        """The first `steps` steps of the plan."""
        epochs, rest = divmod(steps, self.steps_an_epoch)
        done = [Steps(noise, self.rate, self.steps_an_epoch) for noise in self.noise[:epochs]]
        return merged(done + [Steps(noise, self.rate, rest) for noise in self.noise[epochs : epochs + 1] if rest])


def constant(progress: float) -> float:
    """The same noise throughout."""
    return 1.0


def falling(to: float) -> Callable[[float], float]:
    """Noise that falls exponentially to `to` times what it was in the first epoch."""
    return lambda progress: to**progress


def plan_for(
    *,
    epsilon: float,
    delta: float,
    units: int,
    batch: int,
    epochs: int,
    schedule: Callable[[float], float] = constant,
    unit: str = "utterance",
    trainings: int = 1,
) -> Plan:
    """The plan with least noise that spends at most `epsilon` on `units` units, `batch` of them expected in a step.

    Parameters
    ----------
    schedule
        From progress, 0 in the first epoch to 1 in the last, to the share of noise.
    trainings
        How many trainings of this plan there will be on the same data, which spend `epsilon` together.

    Raises
    ------
    InvalidInput
        A number makes no sense, or no amount of noise does it.
    """
    require_delta(delta, units=units)
    if not 1 <= batch <= units or epochs < 1 or trainings < 1:
        raise InvalidInput(
            f"batches of {batch} of {units} {unit}s for {epochs} epochs make no sense; take 1 to {units}, and an epoch"
        )
    rate, steps_an_epoch = batch / units, math.ceil(units / batch)
    shares = [schedule(epoch / max(1, epochs - 1)) for epoch in range(epochs)]
    if min(shares) <= 0:
        raise InvalidInput(f"the noise schedule gives a share of {min(shares):g} to an epoch; shares are above 0")

    noise = _least_noise(tuple(shares), rate, steps_an_epoch * trainings, epsilon, delta)
    return Plan(tuple(noise * share for share in shares), rate, steps_an_epoch, delta, unit)


@lru_cache(maxsize=64)
def _least_noise(shares: tuple[float, ...], rate: float, count: int, epsilon: float, delta: float) -> float:
    """The noise of a share of 1, for `count` steps of each share.

    Renyi divergences say at once what is enough; from there down by root finding on PLD's bound on a coarse grid, which
    is fast where a step spends little; then up until PRV's bound keeps to it too.
    """
    if not (epsilon > 0 and math.isfinite(epsilon)):
        raise InvalidInput(f"epsilon {epsilon:g} makes no sense; it is above 0 and finite")

    def steps(logarithm: float) -> tuple[Steps, ...]:
        return merged(Steps(math.exp(logarithm) * share, rate, count) for share in shares)

    @cache
    def excess(logarithm: float) -> float:
        spent = by_loss_distribution(steps(logarithm), delta, interval=COARSE * min(1.0, epsilon))
        # A little below, for what PRV says more.
        return math.log(max(spent, 1e-12) * (1 + ERROR) / epsilon)

    least, most = math.log(LEAST_NOISE / min(shares)), math.log(MOST_NOISE / min(shares))

    def excess_by_renyi(logarithm: float) -> float:
        return math.log(max(renyi_epsilon(steps(logarithm), delta), 1e-12) / epsilon)

    if excess_by_renyi(most) > 0:
        raise InvalidInput(
            f"epsilon {epsilon:g} at delta {delta:g} needs a noise multiplier above {MOST_NOISE:g}; take fewer steps, "
            "or a larger epsilon or delta"
        )
    high = least if excess_by_renyi(least) <= 0 else brentq(excess_by_renyi, least, most, xtol=0.02) + 0.02
    low = high
    while excess(low) <= 0:
        high, low = low, low - STRIDE
        if low < least:
            raise InvalidInput(
                f"epsilon {epsilon:g} at delta {delta:g} needs a noise multiplier below {LEAST_NOISE:g}; take a "
                "smaller epsilon or more steps"
            )
    while excess(high) > 0:
        low, high = high, high + STRIDE
    found = brentq(excess, low, high, xtol=1e-3)
    while privacy_spent(steps(found), delta=delta).epsilon > epsilon:
        found += 2e-3
    return math.exp(found)
