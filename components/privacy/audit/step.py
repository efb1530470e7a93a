"""How much noise does a step really have? The real step, run many times on the worst pair of neighbouring data sets.

Two units are enough: one, and a canary whose gradient is twice as long and opposite, both scaled until they are far
longer than any bound, so that the canary moves a clipped sum, or the clipped mean of a group, as far as one unit can.
How far is computed once from the engine's own sums with the canary and without, d = S_with - S_without; the noise is
measured by taking the step again and again with an optimiser that looks and does not move. A normal sample of n has its
deviation known within a few percent by the chi-square distribution, so |d| over the deviation's upper bound is the
shift mu of two Gaussian worlds (Nasr et al. 2023), and the plan with its noise divided so says epsilon at least.

A gradient may lie in any parameter, along any direction, so the noise is measured along d, in every tensor apart along
d and along a random direction, and for every single number; the least counts, all bounds holding at once (Bonferroni).
Where a bound follows a noisy count of norms, the bound's moves tell that noise, which has its share of the step's.
Where noise changes over epochs, that of the first, the middle and the last is measured. Sampling, which full
participation leaves out, is `sampling`'s to judge; what a layer does in training alone, dropout for one, is not seen.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy import stats
from torch import Tensor, nn

from components.errors import InvalidInput
from components.privacy.audit.roc import Rate
from components.privacy.clipping import Clipping, Quantile
from components.privacy.engines import BookKeeping, Losses, MicroBatches
from components.privacy.plan import LEAST_NOISE, Plan
from components.privacy.randomness import SecureRandomness
from components.privacy.spent import privacy_spent
from components.privacy.steps import Steps, merged
from components.privacy.training import PrivateTraining
from components.privacy.units import Rows, Users, Utterances

OPPOSITE = -2.0
"""The canary's loss, in multiples of the first unit's."""
FAR = 20.0
"""How many times the sensitivity the first unit's gradient is at least."""
_HARDLY = 1e-7
"""Rate at which a bound moves enough to be read, and too little for anything else to change."""
NONE, MOST = 0.01, 1000.0
"""A noise multiplier below which noise is called none, and an epsilon that one step without noise surely exceeds."""


@dataclass(frozen=True)
class StepAudit:
    """The noise multiplier a step was to have, and the least one it had anywhere, with its interval, and where."""

    claimed: float
    measured: Rate
    where: str

    def epsilon(self, plan: Plan, *, steps: int) -> float:
        """Epsilon at least of `steps` steps of `plan`, were its noise as measured.

        The careful end of the interval is used: noise was at most that large.
        """
        scale = self.measured.upper / self.claimed
        taken = plan.first(steps)
        if min(part.noise for part in taken) * scale < NONE:
            return MOST
        # With more noise than was measured it is still a lower bound, and one that can be computed.
        taken = [Steps(max(LEAST_NOISE, part.noise * scale), part.rate, part.count) for part in taken]
        return privacy_spent(merged(taken), delta=plan.delta, unit=plan.unit).epsilon


class _Observer(torch.optim.Optimizer):
    """Notes how each step's gradient, times the number of terms, strays from the sum without noise; moves nothing."""

    def __init__(self, names: dict[nn.Parameter, str], total: dict, directions: dict[str, dict], terms: float):
        super().__init__(list(names), {})
        self._names, self._total, self._directions, self._terms = names, total, directions, terms
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self._seen: list[list[float]] = []
        self._sums = {weight: torch.zeros(2, *weight.shape, dtype=torch.float64) for weight in self._names}

    @torch.no_grad()
    def step(self, closure=None):
        apart = {}
        for weight in self._names:
            released = torch.zeros_like(weight) if weight.grad is None else weight.grad
            apart[weight] = (released.double() * self._terms - self._total[weight]).cpu()
            self._sums[weight][0] += apart[weight]
            self._sums[weight][1] += apart[weight] ** 2
        self._seen.append([_along(apart, direction) for direction in self._directions.values()])

    def deviations(self) -> Iterator[tuple[str, float, int]]:
        """What was measured, its sample deviation, and of how many like it this is the least."""
        found = np.std(self._seen, axis=0, ddof=1)
        for name, value in zip(self._directions, found, strict=True):
            yield name, float(value), len(found)
        count, numbers = len(self._seen), sum(weight.numel() for weight in self._names)
        for weight, (total, squares) in self._sums.items():
            least = float((squares - total**2 / count).min().clamp(min=0)) / (count - 1)
            yield f"a single number of {self._names[weight]}", least**0.5, numbers


def audit_step(
    model: nn.Module,
    losses: Losses,
    rows: Sequence[int],
    *,
    plan: Plan,
    clipping: Clipping,
    engine,
    count: int = 400,
    confidence: float = 0.999,
    training: type[PrivateTraining] = PrivateTraining,
) -> StepAudit:
    """Audit steps of `plan`, `count` of each noise, on a unit with the utterances `rows` of the data and its opposite.

    Parameters
    ----------
    losses
        As of `PrivateTraining`.
    rows
        One utterance, or several where the plan protects users.
    training
        The class whose step is audited; another one only to see a planted fault.

    Raises
    ------
    InvalidInput
        The unit has no gradient, so nothing can be seen of it.
    """
    randomness = SecureRandomness()
    if isinstance(engine, MicroBatches):
        engine = replace(engine, groups=1)  # the group that both are in
    if isinstance(engine, BookKeeping):
        engine = replace(engine, lengths=None)  # of other rows
    if isinstance(clipping, Quantile):
        clipping = replace(clipping, rate=_HARDLY)  # one step, many times: the bound stays nearly where it is
    at, size = torch.as_tensor(np.asarray(rows, dtype=np.int64)), len(rows)
    scale = 1.0

    def worst(model, given) -> Tensor:
        found = scale * losses(model, at[given % size])
        return torch.where(given < size, found, OPPOSITE * found)

    both = Rows(np.arange(2 * size).reshape(2, size), np.full((2, size), 1 / size))
    users = plan.unit == "user"
    mode = model.training
    model.eval()
    try:
        one = both.chosen(slice(0, 1))
        length = float(engine.clipped_sum(model, worst, one, clipping, randomness).norms[0])
        if not length > 0:
            raise InvalidInput("the loss of the audited unit has no gradient; audit another utterance")
        scale = max(1.0, FAR * clipping.sensitivity / length)
        names = {weight: name for name, weight in model.named_parameters() if weight.requires_grad}
        with_it, without = (
            _whole(engine.clipped_sum(model, worst, given, clipping, randomness).total, names) for given in (both, one)
        )
        apart = {weight: with_it[weight] - without[weight] for weight in names}
        distance = _along(apart, apart) ** 0.5
        observer = _Observer(names, with_it, _directions(names, apart), engine.terms(2.0))
        levels = tuple(dict.fromkeys((plan.noise[0], plan.noise[len(plan.noise) // 2], plan.noise[-1])))
        private = training(
            model,
            observer,
            worst,
            units=Users(np.repeat([0, 1], size), most=size) if users else Utterances(2),
            plan=Plan(levels, 1.0, count, plan.delta, plan.unit),
            clipping=clipping,
            engine=engine,
            randomness=randomness,
        )
        found = []
        for noise in levels:
            bounds = []
            for sample in private.epoch():
                private.step(sample)
                bounds.append(getattr(private.clipping, "bound", 1.0))
            follows = isinstance(clipping, Quantile)
            families, bare = len(levels) * (2 + follows), ""
            if follows:
                votes = _interval(_count_noise(bounds, engine), count - 1, 1 - confidence, families)
                bare = "the count of norms" if votes.upper < clipping.count_noise else ""
            for where, deviation, among in observer.deviations():
                rate = _interval(deviation / distance, count, 1 - confidence, families * among)
                found.append(StepAudit(noise, _with_count(rate, votes) if follows else rate, bare or where))
            observer.forget()
    finally:
        model.train(mode)
    return min(found, key=lambda audit: audit.measured.upper / audit.claimed)


def _count_noise(bounds: Sequence[float], engine) -> float:
    """The deviation of a noisy count, in votes of the engine's sensitivity, from the bounds that moved by it."""
    shares = np.diff(np.log(bounds)) / _HARDLY
    return float(np.std(shares, ddof=1)) * engine.terms(2.0) / engine.sensitivity


def _with_count(gradients: Rate, votes: Rate) -> Rate:
    """The noise multiplier of a step that releases a count too, of which one unit moves half a vote."""
    both = zip(vars(gradients).values(), vars(votes).values(), strict=True)
    return Rate(*((of_sum**-2 + (2 * count) ** -2) ** -0.5 if of_sum and count else 0.0 for of_sum, count in both))


def _interval(deviation: float, count: int, level: float, tests: int) -> Rate:
    """Of a deviation, from a normal sample of `count`, one of `tests` that hold together."""
    tail = level / 2 / tests
    low, high = (deviation * ((count - 1) / stats.chi2.ppf(q, count - 1)) ** 0.5 for q in (1 - tail, tail))
    return Rate(deviation, low, high)


def _directions(names: dict[nn.Parameter, str], apart: dict) -> dict[str, dict]:
    """Unit vectors: along what tells the worlds apart, whole and in each tensor, and one drawn in each tensor."""
    generator = torch.Generator().manual_seed(0)
    found = {"what tells the worlds apart": apart}
    for weight, name in names.items():
        if apart[weight].any():
            found[f"{name} along its gradient"] = {weight: apart[weight]}
        drawn = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
        found[f"{name} along a random direction"] = {weight: drawn}
    lengths = {name: _along(direction, direction) ** 0.5 for name, direction in found.items()}
    return {name: {w: part / lengths[name] for w, part in parts.items()} for name, parts in found.items()}


def _along(one: dict, other: dict) -> float:
    return sum(float((one[weight] * part).sum()) for weight, part in other.items())


def _whole(total: dict, names: dict) -> dict:
    """A sum by parameter in double precision, zero where the loss does not depend on it."""
    return {
        weight: total[weight].detach().double().cpu()
        if weight in total
        else torch.zeros(weight.shape, dtype=torch.float64)
        for weight in names
    }
