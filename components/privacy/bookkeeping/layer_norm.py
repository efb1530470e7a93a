"""nn.LayerNorm, recorded: y_s = g * n_s + c, n_s = (x_s - mean) / deviation; dg = sum_s b_s * n_s, dc = sum_s b_s."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from components.privacy.bookkeeping.shapes import require_examples
from components.privacy.bookkeeping.tape import Tape
from components.privacy.bookkeeping.whole import Whole


class _LayerNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values: Tensor, scale: Tensor, shift: Tensor | None, layer: nn.LayerNorm, tape: Tape):
        result, mean, inverse = torch.native_layer_norm(values, layer.normalized_shape, scale, shift, layer.eps)
        ctx.save_for_backward(values, mean, inverse, scale, shift)
        ctx.shape, ctx.tape = layer.normalized_shape, tape
        return result

    @staticmethod
    def backward(ctx, gradient: Tensor):
        values, mean, inverse, scale, shift = ctx.saved_tensors
        of_values, of_scale, of_shift, *_ = ctx.needs_input_grad
        between = tuple(range(1, values.dim() - len(ctx.shape)))
        if of_scale:
            normalised = (values - mean) * inverse
            ctx.tape.note(Whole(scale, _added(gradient * normalised, between)))
        if of_shift:
            ctx.tape.note(Whole(shift, _added(gradient, between)))
        if not of_values:
            return None, None, None, None, None
        wanted = [True, False, False]
        onward, _, _ = torch.ops.aten.native_layer_norm_backward(
            gradient.contiguous(), values, ctx.shape, mean, inverse, scale, shift, wanted
        )
        return onward, None, None, None, None


def recorded(layer: nn.LayerNorm, name: str, tape: Tape) -> Callable:
    """The forward pass of `layer`, recorded; (examples, …, *normalized_shape) of one shape."""

    def forward(values: Tensor) -> Tensor:
        require_examples(values, name, tape)
        return _LayerNorm.apply(values, layer.weight, layer.bias, layer, tape)

    return forward


def _added(values: Tensor, axes: tuple[int, ...]) -> Tensor:
    return values.sum(axes) if axes else values
