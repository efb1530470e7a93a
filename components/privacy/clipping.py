"""How much of each unit's gradient counts: factors that bound what one unit can add to the sum, its sensitivity.

Automatic clipping (Bu et al., 2206.07136) has no threshold to choose; flat clipping (Abadi et al. 2016) has one;
quantile clipping (Andrew et al. 2021) moves it towards a quantile of the norms, which it learns from a noisy count that
has its share of the step's privacy. opacus 1.6.0 goes on clipping at the first threshold where its ghost mode is to
adapt, with noise for the moved one; here the threshold that clips is the one that scales the noise, since both are
`sensitivity`.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from components.errors import InvalidInput
from components.privacy.randomness import Randomness


@dataclass(frozen=True)
class Automatic:
    """g / (|g| + stability): every gradient counts nearly 1, and less than 1 always."""

    stability: float = 0.01

    def __post_init__(self):
        _require_positive("stability", self.stability)

    @property
    def sensitivity(self) -> float:
        return 1.0

    def factors(self, norms: Tensor) -> Tensor:
        return 1 / (norms + self.stability)

    def gradient_noise(self, noise_multiplier: float) -> float:
        """The noise multiplier of the sum, of what the whole step has."""
        return noise_multiplier

    def updated(self, norms: Tensor, **_) -> "Automatic":
        return self


@dataclass(frozen=True)
class Flat:
    """g min(1, bound / |g|)."""

    bound: float

    def __post_init__(self):
        _require_positive("bound", self.bound)

    @property
    def sensitivity(self) -> float:
        return self.bound

    def factors(self, norms: Tensor) -> Tensor:
        return (self.bound / norms).clamp(max=1)

    def gradient_noise(self, noise_multiplier: float) -> float:
        return noise_multiplier

    def updated(self, norms: Tensor, **_) -> "Flat":
        return self


@dataclass(frozen=True)
class Quantile:
    """Flat clipping at a bound C that follows a quantile of norms: C <- C exp(-rate (share below C - quantile)).

    The share is (sum_n (1[|g_n| <= C] - 1/2) + N(0, count_noise^2)) / (expected batch) + 1/2; one unit moves that sum
    by 1/2. A step with noise multiplier sigma is one Gaussian mechanism for both releases, 1 / sigma^2 = 1 / sigma_g^2
    + 1 / (2 count_noise)^2, so the sum of gradients has the larger sigma_g.
    """

    bound: float = 1.0
    quantile: float = 0.5
    rate: float = 0.2
    count_noise: float = 10.0

    def __post_init__(self):
        for name in ("bound", "rate", "count_noise"):
            _require_positive(name, getattr(self, name))
        if not 0 < self.quantile < 1:
            raise InvalidInput(f"'quantile' of clipping is {self.quantile:g}; it lies between 0 and 1")

    @property
    def sensitivity(self) -> float:
        return self.bound

    def factors(self, norms: Tensor) -> Tensor:
        return (self.bound / norms).clamp(max=1)

    def gradient_noise(self, noise_multiplier: float) -> float:
        """sigma_g for sigma.

        Raises
        ------
        InvalidInput
            The count alone would spend all of the step's privacy.
        """
        if noise_multiplier >= 2 * self.count_noise:
            raise InvalidInput(
                f"'count_noise' of quantile clipping is {self.count_noise:g}; with noise multiplier "
                f"{noise_multiplier:g} it must be above {noise_multiplier / 2:g}"
            )
        if not noise_multiplier:
            return 0.0
        return (noise_multiplier**-2 - (2 * self.count_noise) ** -2) ** -0.5

    def updated(self, norms: Tensor, *, terms: float, scale: float, randomness: Randomness) -> "Quantile":
        """The clipping of the next step, from the norms of a whole batch of `terms` expected ones; `scale` the engine's
        sensitivity."""
        votes = float((norms <= self.bound).double().sum()) - len(norms) / 2
        share = (votes + scale * self.count_noise * float(randomness.normal(1)[0])) / terms + 0.5
        return replace(self, bound=self.bound * math.exp(-self.rate * (share - self.quantile)))


Clipping = Automatic | Flat | Quantile


def weights_of(clipping: Clipping, norms: Tensor) -> Tensor:
    """Factors (units,) for norms (units,).

    Raises
    ------
    FloatingPointError
        A gradient is not finite: no factor bounds it, and the step is not taken.
    """
    if not torch.isfinite(norms).all():
        raise FloatingPointError("a gradient of the batch is not finite; lower the learning rate or check the losses")
    return clipping.factors(norms)


def _require_positive(name: str, value: float) -> None:
    if not (value > 0 and math.isfinite(value)):
        raise InvalidInput(f"'{name}' of clipping is {value:g}; it is above zero")
