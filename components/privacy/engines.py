"""Ways to the clipped sum of a batch, behind one call: `engine.clipped_sum(model, losses, rows, clipping, randomness)`.

`BookKeeping` is the one to use. `OneByOne` runs a backward pass for each unit; it is slow, works on any model, and is
what the others are held against. `MicroBatches` clips the mean gradient of a random group: fast on anything, but one
utterance can turn its whole group's gradient around, so its sensitivity is twice the bound. opacus's hooks are in
`opacus_engine`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import Parameter

from components.errors import InvalidInput
from components.privacy.bookkeeping import bookkeeping
from components.privacy.clipping import Clipping, weights_of
from components.privacy.randomness import Randomness
from components.privacy.units import Rows

Losses = Callable[[nn.Module, Tensor], Tensor]
"""From a model and rows (n,), int64, of the data to the loss (n,) of each."""


@dataclass(frozen=True)
class ClippedSum:
    """The sum of clipped gradients by parameter, and the norms (units,) before clipping."""

    total: dict[Parameter, Tensor]
    norms: Tensor


def loss_of_units(model: nn.Module, losses: Losses, rows: Rows) -> Tensor:
    """The losses of all units, each the mean of its rows, added up: its gradient is the sum of theirs."""
    flat = torch.from_numpy(rows.rows.reshape(-1))
    given = losses(model, flat)
    if given.shape != flat.shape:
        raise InvalidInput(
            f"losses have shape {tuple(given.shape)} for {len(flat)} rows; private training needs one number a row, so "
            "reduce over words but not over the batch"
        )
    return (given * torch.from_numpy(rows.shares.reshape(-1)).to(given)).sum()


@dataclass(frozen=True)
class BookKeeping:
    """Exact clipping of every unit's gradient in one backward pass, of at most `most_at_once` rows for memory's sake.

    With `lengths` (n,) of all rows, units of like length share a pass, which saves padding and changes nothing else.
    """

    most_at_once: int = 256
    lengths: np.ndarray | None = None
    sensitivity = 1.0

    def terms(self, expected: float) -> float:
        """How many clipped gradients are expected in a sum."""
        return expected

    def clipped_sum(self, model: nn.Module, losses: Losses, rows: Rows, clipping: Clipping, _) -> ClippedSum:
        if self.lengths is not None:
            rows = rows.sorted_by(self.lengths)
        total: dict[Parameter, Tensor] = {}
        norms = []
        for part in rows.parts(self.most_at_once):
            units, most = part.rows.shape
            with bookkeeping(model, units * most, unit=most) as tape:
                loss_of_units(model, losses, part).backward()
            norms.append(tape.norms())
            add_to(total, tape.weighted_sum(weights_of(clipping, norms[-1])))
        return ClippedSum(total, torch.cat(norms) if norms else torch.zeros(0, dtype=torch.float64))


@dataclass(frozen=True)
class OneByOne:
    """Exact clipping, a backward pass for each unit."""

    sensitivity = 1.0

    def terms(self, expected: float) -> float:
        return expected

    def clipped_sum(self, model: nn.Module, losses: Losses, rows: Rows, clipping: Clipping, _) -> ClippedSum:
        return _clipped_one_by_one(model, losses, rows.parts(1), clipping, mean=False)


@dataclass(frozen=True)
class MicroBatches:
    """Clipping of the mean gradients of `groups` random groups, with the sensitivity that has.

    Every unit picks its group on its own: with one unit less, the other groups stay as they are. In its own group the
    clipped gradient can go from any vector of length C to any other, 2 C away.
    """

    groups: int
    sensitivity = 2.0

    def terms(self, expected: float) -> float:
        return self.groups

    def clipped_sum(
        self, model: nn.Module, losses: Losses, rows: Rows, clipping: Clipping, randomness: Randomness
    ) -> ClippedSum:
        group = (randomness.ranks((len(rows),)) % np.uint64(self.groups)).astype(np.int64)
        parts = [rows.chosen(group == number) for number in range(self.groups)]
        return _clipped_one_by_one(model, losses, [part for part in parts if len(part)], clipping, mean=True)


def _clipped_one_by_one(
    model: nn.Module, losses: Losses, parts: list[Rows], clipping: Clipping, *, mean: bool
) -> ClippedSum:
    """A backward pass for each part, whose gradient is clipped whole."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    total: dict[Parameter, Tensor] = {}
    norms = torch.zeros(len(parts), dtype=torch.float64)
    for place, part in enumerate(parts):
        loss = loss_of_units(model, losses, part) / (len(part) if mean else 1)
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        found = {p: g for p, g in zip(parameters, gradients, strict=True) if g is not None}
        norms[place] = sum(float(gradient.double().square().sum()) for gradient in found.values()) ** 0.5
        factor = float(weights_of(clipping, norms[place : place + 1])[0])
        add_to(total, {parameter: gradient * factor for parameter, gradient in found.items()})
    return ClippedSum(total, norms)


def add_to(total: dict[Parameter, Tensor], other: dict[Parameter, Tensor]) -> None:
    """Add gradients in place."""
    for parameter, gradient in other.items():
        total[parameter] = total[parameter].add_(gradient) if parameter in total else gradient
