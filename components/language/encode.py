"""A corpus as arrays: token ids end to end, a tag at each word's first token, an intent for each utterance.

Nothing is padded until a batch is asked for, and rows of any choice make a batch (the sampler of private training draws
its own). An encoder's features take the place of the ids once they are computed; the rest stays.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from components.data.texts.align import tags_of, words_of
from components.data.texts.corpus import Corpus, Labels
from components.language.vocabulary import Vocabulary

IGNORED = -100
"""The tag of what is not a word's first token: nothing is learnt from it and nothing said about it."""


@dataclass(frozen=True)
class Batch:
    """`inputs` (B, T) int64 ids or (B, T, D) float32 features; `mask` (B, T) true where a token is; the truth: `tags`
    (B, T) int64 with `IGNORED`, `intents` (B,) int64; `rows` (B,) which utterances they are."""

    inputs: torch.Tensor
    mask: torch.Tensor
    tags: torch.Tensor
    intents: torch.Tensor
    rows: np.ndarray


@dataclass(frozen=True)
class Encoded:
    """n utterances of N tokens in all.

    `inputs` (N,) int32 ids or (N, D) features; `tags` (N,) int32 with `IGNORED`; utterance i has tokens
    [offsets[i], offsets[i + 1]); `intents` (n,) int32.
    """

    inputs: np.ndarray
    tags: np.ndarray
    offsets: np.ndarray
    intents: np.ndarray

    def __len__(self) -> int:
        return len(self.intents)

    @cached_property
    def lengths(self) -> np.ndarray:
        """(n,) tokens of each utterance."""
        return np.diff(self.offsets)

    def batch(self, rows: np.ndarray) -> Batch:
        """The utterances at `rows` (B,), which may be none, padded to the longest of them."""
        rows = np.asarray(rows, dtype=np.int64)
        lengths = self.lengths[rows]
        places = np.arange(lengths.max(initial=1))
        mask = places < lengths[:, None]
        at = np.where(mask, self.offsets[rows][:, None] + places, 0)
        inputs, tags = self.inputs[at], np.where(mask, self.tags[at], IGNORED)
        inputs[~mask] = 0
        whole = inputs.ndim == 2
        return Batch(
            torch.from_numpy(inputs.astype(np.int64 if whole else np.float32)),
            torch.from_numpy(mask),
            torch.from_numpy(tags.astype(np.int64)),
            torch.from_numpy(self.intents[rows].astype(np.int64)),
            rows,
        )

    def take(self, rows: np.ndarray) -> "Encoded":
        """The utterances at `rows` (indices), in that order."""
        lengths = self.lengths[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        at = np.arange(offsets[-1]) + np.repeat(self.offsets[rows] - offsets[:-1], lengths)
        return Encoded(self.inputs[at], self.tags[at], offsets, self.intents[rows])

    def by_length(self, size: int) -> list[np.ndarray]:
        """Rows in batches of `size` that need little padding, every row once."""
        order = np.argsort(self.lengths, kind="stable")
        return [order[start : start + size] for start in range(0, len(order), size)]


def encode(corpus: Corpus, vocabulary: Vocabulary, labels: Labels) -> Encoded:
    """Ids and truth of every utterance.

    An intent or slot that is none of the labels becomes -1 or O: that a corpus keeps to its labels is checked where it
    is split; texts without truth may be encoded too.
    """
    tag_ids = {tag: position for position, tag in enumerate(labels.tags)}
    intent_ids = {intent: position for position, intent in enumerate(labels.intents)}
    ids, tags, offsets = [], [], [0]
    for utterance in corpus.utterances:
        words = words_of(utterance.text)
        pieces, firsts = vocabulary.encode([utterance.text[start:end] for start, end in words])
        here = [IGNORED] * len(pieces)
        for first, tag in zip(firsts, tags_of(utterance, words), strict=True):
            here[first] = tag_ids.get(tag, 0)
        ids += pieces
        tags += here
        offsets.append(len(ids))
    intents = [intent_ids.get(utterance.intent, -1) for utterance in corpus.utterances]
    return Encoded(
        np.array(ids, dtype=np.int32),
        np.array(tags, dtype=np.int32),
        np.array(offsets, dtype=np.int64),
        np.array(intents, dtype=np.int32),
    )
