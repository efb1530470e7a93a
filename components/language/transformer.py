"""A transformer encoder in the form of BERT (Devlin et al. 2019): small from scratch, or MiniLM with its weights.

Attention is written out of linear layers and positions are looked up for every utterance apart, so that private
training has a rule for each layer. The same class serves both uses; `components.language.frozen` brings the weights.
"""

import torch
from torch import nn
from torch.nn import functional

from components.language.heads import Heads


class Block(nn.Module):
    """Attention and two feed-forward layers, each added to what it read and normalised after."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float, epsilon: float):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.output = nn.Linear(width, width)
        self.after_attention = nn.LayerNorm(width, eps=epsilon)
        self.up, self.down = nn.Linear(width, inner), nn.Linear(inner, width)
        self.after_feed_forward = nn.LayerNorm(width, eps=epsilon)
        self.dropout = nn.Dropout(dropout)

    def forward(self, features: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        batch, length, width = features.shape

        def per_head(projected):
            return projected.view(batch, length, self.heads, width // self.heads).transpose(1, 2)

        attended = functional.scaled_dot_product_attention(
            per_head(self.query(features)),
            per_head(self.key(features)),
            per_head(self.value(features)),
            attn_mask=mask[:, None, None, :],
        )
        mixed = self.output(attended.transpose(1, 2).reshape(batch, length, width))
        features = self.after_attention(features + self.dropout(mixed))
        fed = self.down(functional.gelu(self.up(features)))
        return self.after_feed_forward(features + self.dropout(fed))


class Encoder(nn.Module):
    """Token ids to features of each token."""

    def __init__(
        self,
        vocabulary: int,
        *,
        width: int,
        layers: int,
        heads: int,
        inner: int,
        positions: int,
        dropout: float = 0.0,
        epsilon: float = 1e-12,
    ):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(positions, width)
        self.normalise = nn.LayerNorm(width, eps=epsilon)
        self.blocks = nn.ModuleList(Block(width, heads, inner, dropout, epsilon) for _ in range(layers))
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor, layers: tuple[int, ...] = (-1,)) -> torch.Tensor:
        """(B, T, D) features; those of several layers side by side, 0 being the embeddings and -1 the last."""
        return self.read(self.tokens(tokens), mask, layers)

    def read(self, embedded: torch.Tensor, mask: torch.Tensor, layers: tuple[int, ...] = (-1,)) -> torch.Tensor:
        """As `forward`, from (B, T, D) embeddings, which need not be those of words."""
        places = torch.arange(mask.shape[1], device=mask.device).expand_as(mask)
        features = self.dropout(self.normalise(embedded + self.positions(places)))
        # A row of padding alone would attend to nothing and become NaN; its own first place is harmless.
        seen = mask | (places == 0)
        kept = [features]
        last = max(layer % (len(self.blocks) + 1) for layer in layers)
        for block in self.blocks[:last]:
            kept.append(block(kept[-1], seen))
        chosen = [kept[layer % (len(self.blocks) + 1)] for layer in layers]
        return torch.cat(chosen, dim=2) if len(chosen) > 1 else chosen[0]


class Transformer(nn.Module):
    """An encoder from scratch under heads."""

    def __init__(
        self,
        vocabulary: int,
        intents: int,
        tags: int,
        *,
        width: int,
        layers: int,
        heads: int,
        inner: int,
        positions: int,
        dropout: float,
    ):
        super().__init__()
        self.encoder = Encoder(
            vocabulary, width=width, layers=layers, heads=heads, inner=inner, positions=positions, dropout=dropout
        )
        for table in (self.encoder.tokens, self.encoder.positions):
            nn.init.normal_(table.weight, std=0.02)
        self.heads = Heads(width, intents, tags, dropout=dropout)

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, T) ids and mask to (B, K) intent and (B, T, S) slot logits."""
        return self.heads(self.encoder(tokens, mask), mask)
