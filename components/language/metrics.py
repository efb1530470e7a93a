"""How good answers are: intent accuracy, slot F1 over whole spans, and frames that are right in everything.

Slot F1 is conlleval's: a span counts when its name and both its borders are right; over all utterances, not a mean of
slots. It collapses long before intents do, so neither is reported without the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from components.data.texts.align import spans_of

Tags = Sequence[Sequence[str]]
"""A tag for each word of each utterance."""


@dataclass(frozen=True)
class SlotCounts:
    """Spans that are right, that were said, and that there are."""

    right: int
    said: int
    there: int

    @property
    def precision(self) -> float:
        """Of what was said; 0 where nothing was."""
        return self.right / self.said if self.said else 0.0

    @property
    def recall(self) -> float:
        return self.right / self.there if self.there else 0.0

    @property
    def f1(self) -> float:
        """2 right / (said + there); 0 where there are no spans at all, as conlleval has it."""
        return 2 * self.right / (self.said + self.there) if self.said + self.there else 0.0


@dataclass(frozen=True)
class TextMetrics:
    """Of `utterances` in all: shares of intents and of whole frames that are right, and F1 of slots."""

    utterances: int
    intent_accuracy: float
    slot_f1: float
    exact_match: float


def slot_counts(truth: Tags, answered: Tags) -> SlotCounts:
    """Spans over all utterances; row-aligned, each utterance with as many tags in both."""
    right = said = there = 0
    for true, told in zip(truth, answered, strict=True):
        true_spans, told_spans = set(spans_of(true)), set(spans_of(told))
        right += len(true_spans & told_spans)
        said += len(told_spans)
        there += len(true_spans)
    return SlotCounts(right, said, there)


def slots_right(truth: Tags, answered: Tags) -> np.ndarray:
    """(n,) bool: every span of the utterance is right, and there is no other."""
    return np.array([spans_of(true) == spans_of(told) for true, told in zip(truth, answered, strict=True)], dtype=bool)


def text_metrics(intents_right: np.ndarray, truth: Tags, answered: Tags) -> TextMetrics:
    """All figures of row-aligned answers; `intents_right` (n,) bool. NaN shares without utterances."""
    n = len(intents_right)
    exact = intents_right & slots_right(truth, answered)
    shares = (float(part.mean()) if n else float("nan") for part in (intents_right, exact))
    accuracy, match = shares
    return TextMetrics(n, accuracy, slot_counts(truth, answered).f1, match)
