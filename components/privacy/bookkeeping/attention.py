"""nn.MultiheadAttention, recorded: its four projections are linear maps, and between them are no parameters.

Self-attention uses the joint weight (3E, E) once. With other keys and values each third is a use with output gradients
that are zero in the rest, and the three are added as any tied weight is.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from components.errors import InvalidInput
from components.privacy.bookkeeping.linear import affine
from components.privacy.bookkeeping.shapes import require_examples
from components.privacy.bookkeeping.tape import Tape


def recorded(layer: nn.MultiheadAttention, name: str, tape: Tape) -> Callable:
    """The forward pass of `layer`, recorded: the same arguments and results, with examples on the first axis."""
    if layer.in_proj_weight is None or layer.bias_k is not None or layer.add_zero_attn or not layer.batch_first:
        raise InvalidInput(
            f"attention '{name}' needs batch_first=True and none of kdim, vdim, add_bias_kv and add_zero_attn to be "
            "trained privately"
        )

    def forward(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ):
        for values in (query, key, value):
            require_examples(values, name, tape)
        heads = [_split(part, layer.num_heads) for part in _projections(layer, (query, key, value), tape)]
        mask = _mask(key_padding_mask, attn_mask, len(query), layer.num_heads, query.dtype)
        dropout = layer.dropout if layer.training else 0.0
        if need_weights:
            mixed, shares = _attend(*heads, mask, dropout)
            shares = shares.mean(1) if average_attn_weights else shares
        else:
            mixed, shares = functional.scaled_dot_product_attention(*heads, mask, dropout), None
        return layer.out_proj(mixed.transpose(1, 2).flatten(2)), shares

    return forward


def _projections(layer: nn.MultiheadAttention, given: tuple[Tensor, Tensor, Tensor], tape: Tape):
    query, key, value = given
    if query is key and key is value:
        return affine(query, layer.in_proj_weight, layer.in_proj_bias, tape).chunk(3, dim=-1)
    whole = (affine(values, layer.in_proj_weight, layer.in_proj_bias, tape) for values in given)
    return [projected.chunk(3, dim=-1)[third] for third, projected in enumerate(whole)]


def _split(values: Tensor, heads: int) -> Tensor:
    """(B, T, E) → (B, heads, T, E / heads)."""
    return values.unflatten(-1, (heads, -1)).transpose(1, 2)


def _mask(padding: Tensor | None, mask: Tensor | None, examples: int, heads: int, kind: torch.dtype) -> Tensor | None:
    """Both masks as one that is added to the scores: booleans are True where attention may not go."""
    total = None
    if mask is not None:
        total = _added(mask, kind)
        total = total.view(examples, heads, *total.shape[1:]) if total.dim() == 3 else total
    if padding is not None:
        padding = _added(padding, kind)[:, None, None, :]
        total = padding if total is None else total + padding
    return total


def _added(mask: Tensor, kind: torch.dtype) -> Tensor:
    return torch.zeros_like(mask, dtype=kind).masked_fill_(mask, float("-inf")) if mask.dtype == torch.bool else mask


def _attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float) -> tuple[Tensor, Tensor]:
    scores = query @ key.transpose(-2, -1) / query.shape[-1] ** 0.5
    shares = functional.dropout((scores if mask is None else scores + mask).softmax(-1), dropout)
    return shares @ value, shares
