"""What every model ends in: an intent from the mean of its tokens, a slot tag from each token and its neighbours.

Linear layers alone, so that exact per-example clipping is cheap and an encoder may be left frozen. Neighbours carry the
context that a frozen token lacks: a border of a span shows in the token beside it, and what the whole utterance is
about tells an artist from an album. A token is projected once for all its neighbours and the results are shifted: one
layer over the window, without a copy of the features.
"""

import torch
from torch import nn
from torch.nn import functional


class Heads(nn.Module):
    """Intent and slot logits from token features.

    Parameters
    ----------
    width
        D, of a token's features.
    intents, tags
        K and S, the numbers of outputs.
    neighbours
        How many tokens on either side a tag is read from, besides its own.
    context
        Whether the mean of all tokens counts for each tag.
    hidden
        Width of a tanh layer before either output; 0 for none.
    """

    def __init__(
        self,
        width: int,
        intents: int,
        tags: int,
        *,
        neighbours: int = 0,
        context: bool = False,
        hidden: int = 0,
        dropout: float = 0.0,
    ):
        super().__init__()
        self.neighbours = neighbours
        window = 2 * neighbours + 1
        self.dropout = nn.Dropout(dropout)
        self.sentence = nn.Linear(width, hidden) if hidden else None
        self.token = nn.Linear(width, window * hidden) if hidden else None
        self.intent = nn.Linear(hidden or width, intents)
        self.slot = nn.Linear(hidden or width, tags if hidden else window * tags)
        self.context = nn.Linear(width, tags, bias=False) if context else None

    def forward(self, features: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, T, D) features and (B, T) mask to (B, K) intent and (B, T, S) slot logits."""
        sentence, tokens = self.dropout(masked_mean(features, mask)), self.dropout(features)
        if self.token is None:
            intents, tags = self.intent(sentence), with_neighbours(self.slot(tokens), mask, self.neighbours)
        else:
            near = with_neighbours(self.token(tokens), mask, self.neighbours)
            intents, tags = self.intent(torch.tanh(self.sentence(sentence))), self.slot(torch.tanh(near))
        return intents, tags if self.context is None else tags + self.context(sentence)[:, None, :]


def masked_mean(features: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """(B, D) mean of the tokens there are; 0 where there are none."""
    return (features * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)


def with_neighbours(projected: torch.Tensor, mask: torch.Tensor, reach: int) -> torch.Tensor:
    """(B, T, S): place t sums the k-th S of the (2 reach + 1) S values of token t + k - reach, for each k."""
    if not reach:
        return projected
    length = projected.shape[1]
    padded = functional.pad(projected * mask[..., None], (0, 0, reach, reach))
    parts = padded.chunk(2 * reach + 1, dim=2)
    return sum(part[:, k : k + length] for k, part in enumerate(parts))
