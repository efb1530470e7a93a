"""Private training: model, optimiser and losses, wrapped so that each step is a sampled, clipped, noised one of a plan.

    noisy = sum_n clip(g_n) + N(0, (sigma sensitivity)^2 I),   gradient = noisy / (expected number of terms)

(Abadi et al. 2016). What a step needs to be private is not left to the loop around it: the wrapper samples, refuses a
step beyond its plan, and is told by the plan what was spent. Before the first step the engine is compared with one
backward pass a unit on a few units, since a model that mixes examples in a way no rule foresees would void the
guarantee silently. Masks of dropout come from the same secret keystream as noise and sampling (`masks`).
"""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import nn
from torch.optim import Optimizer

from components.errors import InvalidInput
from components.privacy.bookkeeping.recording import recordable
from components.privacy.clipping import Automatic, Clipping
from components.privacy.engines import BookKeeping, Losses
from components.privacy.masks import masked_in_secret
from components.privacy.noise import with_noise
from components.privacy.plan import Plan
from components.privacy.randomness import Randomness, SecureRandomness
from components.privacy.spent import PrivacySpent, privacy_spent
from components.privacy.units import Rows, Units
from components.privacy.verify import verify_engine


class PrivateTraining:
    """Training of `model` by `optimizer` on `losses`, which spends what `plan` says and no more.

    Parameters
    ----------
    losses
        From the model and rows (n,) of the data to the loss (n,) of each row; padding must not count in it.
    units
        Who is protected: `Utterances` or `Users`.
    taken
        Steps already taken, where an interrupted training goes on; `clipping` is then as it was.

    Raises
    ------
    InvalidInput
        The optimiser changes parameters that get no noise, or a layer of the model cannot be trained privately.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        losses: Losses,
        *,
        units: Units,
        plan: Plan,
        clipping: Clipping | None = None,
        engine=None,
        randomness: Randomness | None = None,
        taken: int = 0,
    ):
        self.model, self.plan, self.taken = model, plan, taken
        self.clipping = clipping or Automatic()
        self._optimizer, self._losses, self._units = optimizer, losses, units
        self._engine = engine or BookKeeping()
        self._randomness = randomness or SecureRandomness()
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._verified, self._drawn = False, None
        if isinstance(self._engine, BookKeeping):
            recordable(model)
        _require_same_parameters(self._parameters, optimizer)
        if units.name != plan.unit:
            raise InvalidInput(
                f"the plan protects one {plan.unit}, but {units.name}s are sampled; plan for {units.name}s"
            )

    @property
    def spent(self) -> PrivacySpent:
        """What the steps taken so far spend; without end where the randomness can be repeated."""
        spent = privacy_spent(self.plan.first(self.taken), delta=self.plan.delta, unit=self.plan.unit)
        return spent if self._randomness.private else replace(spent, epsilon=float("inf"))

    def epoch(self) -> Iterator[Rows]:
        """Poisson samples of the units for the steps up to the end of the current epoch, empty ones among them.

        Raises
        ------
        InvalidInput
            The plan is used up, or the sample before was left out, which is another way of sampling.
        """
        steps = len(self.plan.noise) * self.plan.steps_an_epoch
        if self.taken >= steps:
            raise InvalidInput(f"the plan has {steps} steps, all of which were taken; make a new plan and pay for it")
        for _ in range(self.plan.steps_an_epoch - self.taken % self.plan.steps_an_epoch):
            if self._drawn is not None:
                raise InvalidInput("a sample was left out; every sample needs its step, or the account does not hold")
            self._drawn = self._units.sample(self.plan.rate, self._randomness)
            yield self._drawn

    def step(self, rows: Rows) -> None:
        """One step of the optimiser on the last sample of `epoch`; its loss is not told, since it is not private.

        Raises
        ------
        InvalidInput
            `rows` is something else, losses are not by row, or the model mixes examples.
        FloatingPointError
            A gradient is not finite.
        """
        if rows is not self._drawn:
            raise InvalidInput("a private step takes the last sample of `epoch`, once; draw another")
        if not self._verified and len(rows):
            verify_engine(self._engine, self.model, self._losses, rows, self._randomness)
            self._verified = True
        noise = self.plan.noise[self.taken // self.plan.steps_an_epoch]
        gradient_noise = self.clipping.gradient_noise(noise)
        with masked_in_secret(self._randomness):
            summed = self._engine.clipped_sum(self.model, self._losses, rows, self.clipping, self._randomness)
        # Counted before anything is released: a step that fails halfway is paid for.
        self.taken += 1
        self._drawn = None
        noisy = with_noise(
            summed.total,
            self._parameters,
            noise_multiplier=gradient_noise,
            sensitivity=self.clipping.sensitivity * self._engine.sensitivity,
            randomness=self._randomness,
        )
        terms = self._engine.terms(self.plan.rate * self._units.count)
        for parameter, gradient in noisy.items():
            parameter.grad = gradient.div_(terms)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self.clipping = self.clipping.updated(
            summed.norms, terms=terms, scale=self._engine.sensitivity, randomness=self._randomness
        )


def _require_same_parameters(parameters: list[torch.nn.Parameter], optimizer: Optimizer) -> None:
    ours = {id(parameter) for parameter in parameters}
    theirs = {
        id(parameter) for group in optimizer.param_groups for parameter in group["params"] if parameter.requires_grad
    }
    if theirs - ours:
        raise InvalidInput(
            f"the optimiser changes {len(theirs - ours)} parameters that are not the model's; give it the "
            "trainable ones of the model"
        )
