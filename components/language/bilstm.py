"""A bidirectional LSTM over word embeddings, from scratch (Graves and Schmidhuber 2005; Liu and Lane 2016).

Two one-way layers, the second fed each utterance back to front within its length, so that padding is always last and
never reaches a result. One-way `nn.LSTM` is also what private training knows how to unroll.
"""

import torch
from torch import nn

from components.language.heads import Heads


class BiLSTM(nn.Module):
    """An embedding of ids, (…) to (…, `width`), an LSTM in each direction, heads."""

    def __init__(self, embedding: nn.Module, intents: int, tags: int, *, width: int, hidden: int, dropout: float):
        super().__init__()
        self.embedding = embedding
        self.dropout = nn.Dropout(dropout)
        self.forwards = nn.LSTM(width, hidden, batch_first=True)
        self.backwards = nn.LSTM(width, hidden, batch_first=True)
        self.heads = Heads(2 * hidden, intents, tags, dropout=dropout)

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, T) ids and mask to (B, K) intent and (B, T, S) slot logits."""
        return self.read(self.embedding(tokens), mask)

    def read(self, embedded: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """As `forward`, from (B, T, D) embeddings, which need not be those of words."""
        embedded = self.dropout(embedded)
        ahead, _ = self.forwards(embedded)
        back, _ = self.backwards(reversed_within(embedded, mask))
        return self.heads(torch.cat([ahead, reversed_within(back, mask)], dim=2), mask)


def reversed_within(features: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """(B, T, D) with the tokens there are in reverse order, padding still last; its own inverse."""
    places = torch.arange(mask.shape[1], device=mask.device)
    order = torch.where(mask, mask.sum(dim=1, keepdim=True) - 1 - places, places)
    return features.gather(1, order[..., None].expand_as(features))
