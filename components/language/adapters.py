"""Low-rank adapters (Hu et al. 2022): the frozen encoder bends a little, in few weights, so that noise costs little.

A frozen linear layer W gets a product of two thin ones beside it, W x + (alpha / r) B A x. B begins at zero, so that an
adapted model begins as the frozen one.
"""

import torch
from torch import nn

from components.language.heads import Heads
from components.language.transformer import Encoder


class LowRank(nn.Module):
    """A frozen linear layer and its adapter of rank r."""

    def __init__(self, frozen: nn.Linear, rank: int, alpha: float):
        super().__init__()
        self.frozen, self.scale = frozen, alpha / rank
        self.down = nn.Linear(frozen.in_features, rank, bias=False)
        self.up = nn.Linear(rank, frozen.out_features, bias=False)
        nn.init.normal_(self.down.weight, std=frozen.in_features**-0.5)
        nn.init.zeros_(self.up.weight)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.frozen(features) + self.scale * self.up(self.down(features))


def with_adapters(encoder: Encoder, *, rank: int, alpha: float, layers: int) -> Encoder:
    """The encoder, queries and values of its last `layers` blocks adapted in place; all else stays frozen."""
    for block in encoder.blocks[-layers:]:
        block.query = LowRank(block.query, rank, alpha)
        block.value = LowRank(block.value, rank, alpha)
    return encoder


class AdaptedModel(nn.Module):
    """Heads over the adapted encoder; both are trained."""

    def __init__(self, encoder: Encoder, heads: Heads):
        super().__init__()
        self.encoder, self.heads = encoder, heads

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, T) ids and mask to (B, K) intent and (B, T, S) slot logits."""
        return self.heads(self.encoder(tokens, mask), mask)
