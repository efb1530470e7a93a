"""A training's plan: how often units are sampled, for how many steps, with how much noise in each epoch.

The budget is what one chooses and the noise what follows. A schedule gives epochs different shares of noise (more at
first, where gradients are large, and less at the end); the plan is accounted as a whole, epoch by epoch.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from scipy.optimize import brentq

from components.errors import InvalidInput
from components.privacy.spent import ERROR, PrivacySpent, by_loss_distribution, privacy_spent
from components.privacy.steps import Steps, merged, require_delta

LEAST_NOISE, MOST_NOISE = 0.2, 2000.0
COARSE = 4e-3
"""Between losses while noise is searched for, relative to an epsilon below 1."""


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

    def steps(noise: float) -> tuple[Steps, ...]:
        return merged(Steps(noise * share, rate, steps_an_epoch * trainings) for share in shares)

    noise = _least_noise(steps, epsilon, delta)
    return Plan(tuple(noise * share for share in shares), rate, steps_an_epoch, delta, unit)


def _least_noise(steps: Callable[[float], tuple[Steps, ...]], epsilon: float, delta: float) -> float:
    """By root finding on PLD's bound on a coarse grid, which is fast; then up until PRV's bound keeps to it too."""
    if not (epsilon > 0 and math.isfinite(epsilon)):
        raise InvalidInput(f"epsilon {epsilon:g} makes no sense; it is above 0 and finite")

    @cache
    def excess(logarithm: float) -> float:
        spent = by_loss_distribution(steps(math.exp(logarithm)), delta, interval=COARSE * min(1.0, epsilon))
        # A little below, for what PRV says more.
        return math.log(max(spent, 1e-12) * (1 + ERROR) / epsilon)

    logarithm = 0.0
    stride = 0.7 if excess(logarithm) > 0 else -0.7
    while (excess(logarithm) > 0) == (stride > 0):
        logarithm += stride
        if not math.log(LEAST_NOISE) < logarithm < math.log(MOST_NOISE):
            raise InvalidInput(
                f"epsilon {epsilon:g} at delta {delta:g} needs a noise multiplier outside {LEAST_NOISE:g} to "
                f"{MOST_NOISE:g}; take " + ("fewer steps" if stride > 0 else "a smaller epsilon or more steps")
            )
    found = brentq(excess, logarithm - stride, logarithm, xtol=1e-3)
    while privacy_spent(steps(math.exp(found)), delta=delta).epsilon > epsilon:
        found += 2e-3
    return math.exp(found)
