"""opacus's per-example gradients (hooks or functorch) as an engine, to compare with, or for layers without a rule.

opacus computes gradients on a copy, in which its own layer replaces nn.LSTM; clipping, noise, sampling and account stay
the same as for every engine. Its ghost mode is not offered: in 1.6.0 it ignores padding_idx, fails on tied weights, and
with adaptive clipping goes on clipping at the first bound.
"""

import warnings
from copy import deepcopy
from weakref import WeakKeyDictionary

import torch
from opacus.grad_sample import GradSampleModule
from opacus.validators import ModuleValidator
from torch import Tensor, nn
from torch.nn import Parameter
from torch.nn.modules.dropout import _DropoutNd

from components.errors import InvalidInput
from components.privacy.clipping import Clipping, weights_of
from components.privacy.engines import ClippedSum, Losses, add_to, loss_of_units
from components.privacy.units import Rows


class OpacusGradients:
    """Exact clipping by gradients that are materialised for each row; memory for `most_at_once` of them."""

    sensitivity = 1.0

    def __init__(self, *, functorch: bool = False, most_at_once: int = 64):
        self._functorch, self._most = functorch, most_at_once
        self._copies: WeakKeyDictionary[nn.Module, GradSampleModule] = WeakKeyDictionary()

    def terms(self, expected: float) -> float:
        return expected

    def clipped_sum(self, model: nn.Module, losses: Losses, rows: Rows, clipping: Clipping, _) -> ClippedSum:
        copied = self._copied(model)
        ours = dict(model.named_parameters())
        theirs = {name: parameter for name, parameter in copied._module.named_parameters() if parameter.requires_grad}
        total: dict[Parameter, Tensor] = {}
        norms = []
        for part in rows.parts(self._most):
            with warnings.catch_warnings():
                # That a frozen layer's inputs need no gradient is how it should be.
                warnings.filterwarnings("ignore", "Full backward hook is firing", UserWarning)
                loss_of_units(copied, losses, part).backward()
            with torch.no_grad():
                by_unit = {
                    ours[name]: parameter.grad_sample.unflatten(0, part.rows.shape).sum(1)
                    for name, parameter in theirs.items()
                    if getattr(parameter, "grad_sample", None) is not None
                }
                norms.append(sum(g.double().flatten(1).square().sum(1) for g in by_unit.values()).sqrt())
                weights = weights_of(clipping, norms[-1])
                add_to(total, {p: torch.tensordot(weights.to(g), g, 1) for p, g in by_unit.items()})
            copied.zero_grad(set_to_none=True)
        return ClippedSum(total, torch.cat([torch.zeros(0, dtype=torch.float64), *norms]))

    def _copied(self, model: nn.Module) -> GradSampleModule:
        """The copy of `model`, made once, with its present weights and mode."""
        if model not in self._copies:
            named = list(model.named_parameters(remove_duplicate=False))
            if len(named) != len(dict(model.named_parameters())):
                raise InvalidInput("the model ties weights, which opacus's gradients get wrong; use BookKeeping")
            self._copies[model] = GradSampleModule(
                _converted(deepcopy(model)), loss_reduction="sum", force_functorch=self._functorch
            )
        copied = self._copies[model]
        own, present = dict(copied._module.named_parameters()), dict(model.named_parameters())
        if different := sorted(present.keys() - own.keys()):
            raise InvalidInput(f"opacus has other parameters in place of '{different[0]}'; use BookKeeping")
        with torch.no_grad():
            for name, parameter in present.items():
                own[name].copy_(parameter)
        # Its hooks see nothing in evaluation mode, in which the engine is compared with the truth.
        copied.train()
        for layer in copied.modules():
            if isinstance(layer, _DropoutNd):
                layer.train(model.training)
        return copied


def _converted(model: nn.Module) -> nn.Module:
    """opacus's own layers in place of those it cannot treat."""
    for name, layer in list(model.named_modules()):
        if name and type(layer) in ModuleValidator.FIXERS:
            parent, _, last = name.rpartition(".")
            setattr(
                model.get_submodule(parent),
                last,
                ModuleValidator.FIXERS[type(layer)](layer).to(next(layer.parameters())),
            )
    return model
