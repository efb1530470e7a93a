"""Words as the letters they are written with: a word's embedding is the mean of those of its groups of three letters.

A word that has no weights of its own is less of a place to keep somebody's secret in, which makes this a defence
against extraction (beside dropout and early stopping, and none that promises anything). Groups of letters as in
Bojanowski et al., TACL 2017; which there are follows from the vocabulary, so it is public and is not stored.
"""

import zlib

import torch
from torch import nn

from components.language.vocabulary import WordVocabulary

GROUPS = 4096
"""Groups of letters that are told apart; others share a place."""
_MOST = 16


class Spelling(nn.Module):
    """An embedding of `vocabulary` by letters; only the table of groups is learnt."""

    def __init__(self, vocabulary: WordVocabulary, width: int):
        super().__init__()
        groups = torch.zeros(len(vocabulary), _MOST, dtype=torch.int64)
        for word, named in enumerate(_groups(vocabulary), start=1):
            groups[word, : len(named)] = torch.tensor(named)
        self.register_buffer("groups", groups, persistent=False)
        self.letters = nn.Embedding(1 + GROUPS, width, padding_idx=0)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(…) ids to (…, d)."""
        groups = self.groups[tokens]
        return self.letters(groups).sum(dim=-2) / (groups > 0).sum(dim=-1, keepdim=True).clamp(min=1)

    @property
    def weight(self) -> torch.Tensor:
        """(V, d) embeddings of all ids."""
        return self(torch.arange(len(self.groups), device=self.groups.device))


def _groups(vocabulary: WordVocabulary) -> list[list[int]]:
    """The groups of every id but padding; an ending, of which many words have the same, is one of its own."""
    endings = [[_place(f"ending {number}")] for number in range(vocabulary.endings)]
    framed = (f"<{word}>" for word in vocabulary.words)
    return endings + [[_place(word[at : at + 3]) for at in range(len(word) - 2)][:_MOST] for word in framed]


def _place(text: str) -> int:
    return 1 + zlib.crc32(text.encode()) % GROUPS
