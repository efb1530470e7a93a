"""nn.Embedding, recorded. Positions given once for all examples, (1, S), are looked up for each of them."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from components.errors import InvalidInput
from components.privacy.bookkeeping.rows import Rows
from components.privacy.bookkeeping.tape import Tape


class _Embedding(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tokens: Tensor, table: Tensor, padding: int | None, tape: Tape):
        ctx.save_for_backward(tokens, table)
        ctx.padding, ctx.tape = padding, tape
        return functional.embedding(tokens, table)

    @staticmethod
    def backward(ctx, gradient: Tensor):
        tokens, table = ctx.saved_tensors
        if ctx.padding is not None:
            gradient = gradient * (tokens != ctx.padding).unsqueeze(-1)
        examples = len(tokens)
        ctx.tape.note(Rows(table, tokens.reshape(examples, -1), gradient.reshape(examples, -1, table.shape[1])))
        return None, None, None, None


def recorded(layer: nn.Embedding, name: str, tape: Tape) -> Callable:
    """The forward pass of `layer`, recorded; (examples, …) or (1, …) tokens → (examples, …, d)."""
    for option in ("max_norm", "scale_grad_by_freq", "sparse"):
        if getattr(layer, option):
            raise InvalidInput(f"layer '{name}' has {option}={getattr(layer, option)}, which has no rule; leave it out")

    def forward(tokens: Tensor) -> Tensor:
        if tokens.dim() > 1 and len(tokens) == 1:
            tokens = tokens.expand(tape.examples, *tokens.shape[1:])
        if len(tokens) != tape.examples:
            raise InvalidInput(
                f"layer '{name}' was given tokens of shape {tuple(tokens.shape)} in a batch of {tape.examples}; give "
                "each example its own, or all the same as (1, positions)"
            )
        return _Embedding.apply(tokens, layer.weight, layer.padding_idx, tape)

    return forward
