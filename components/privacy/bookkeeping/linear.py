"""nn.Linear, recorded: forward and backward as ever, but for the weight's gradient, which is left to the tape."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from components.privacy.bookkeeping.affine import Affine
from components.privacy.bookkeeping.shapes import require_examples
from components.privacy.bookkeeping.tape import Tape


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values: Tensor, weight: Tensor, bias: Tensor | None, tape: Tape):
        ctx.save_for_backward(values, weight, bias)
        ctx.tape = tape
        return functional.linear(values, weight, bias)

    @staticmethod
    def backward(ctx, gradient: Tensor):
        values, weight, bias = ctx.saved_tensors
        # With its history a use would hold this pass, and the pass its tape: a circle that is never collected.
        values = values.detach()
        of_values, of_weight, of_bias, _ = ctx.needs_input_grad
        gradient = gradient.contiguous()
        ctx.tape.note(
            Affine(
                weights=(weight,) if of_weight else (),
                inputs=(positions(values),) if of_weight else (),
                biases=(bias,) if of_bias else (),
                gradient=positions(gradient),
            )
        )
        return gradient @ weight if of_values else None, None, None, None


def affine(values: Tensor, weight: Tensor, bias: Tensor | None, tape: Tape) -> Tensor:
    """`functional.linear` whose weight and bias get no gradient but a use on the tape."""
    frozen = not weight.requires_grad and (bias is None or not bias.requires_grad)
    if frozen:
        return functional.linear(values, weight, bias)
    return _Linear.apply(values, weight, bias, tape)


def recorded(layer: nn.Linear, name: str, tape: Tape) -> Callable:
    """The forward pass of `layer`, recorded; (examples, …, d) → (examples, …, p)."""

    def forward(values: Tensor) -> Tensor:
        require_examples(values, name, tape)
        return affine(values, layer.weight, layer.bias, tape)

    return forward


def positions(values: Tensor) -> Tensor:
    """(examples, …, d) → (examples, S, d)."""
    return values[:, None] if values.dim() == 2 else values.flatten(1, -2)
