"""What a model answers, and answers as `Predictions`, so that the gates judge texts as they judge rows of a table.

Intents are a class with scores; a frame (intent and every slot) is right or wrong, and its predictions say just that.
Flips, group error by language and all else follow from either without a line of their own.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from components.data.predictions import Predictions
from components.data.schema import BinaryLabel, MulticlassLabel
from components.data.texts.align import slots_of, tags_of, words_of
from components.data.texts.corpus import Corpus, Labels, Slot
from components.language.decode import decode
from components.language.encode import IGNORED, Encoded, encode
from components.language.metrics import TextMetrics, slots_right, text_metrics
from components.language.model import LanguageModel

_BATCH = 256


@dataclass(frozen=True)
class Answers:
    """Row-aligned with a corpus: `scores` (n, K) float32 probabilities of the intents, `tags` of each word."""

    labels: Labels
    scores: np.ndarray
    tags: tuple[tuple[str, ...], ...]

    @cached_property
    def intents(self) -> tuple[str, ...]:
        """(n,) the most probable."""
        return tuple(self.labels.intents[best] for best in self.scores.argmax(axis=1))

    def slots(self, corpus: Corpus) -> tuple[tuple[Slot, ...], ...]:
        """(n,) as spans of characters."""
        pairs = zip(corpus.utterances, self.tags, strict=True)
        return tuple(slots_of(tags, words_of(utterance.text)) for utterance, tags in pairs)


def answer(model: LanguageModel, corpus: Corpus, *, encoded: Encoded | None = None) -> Answers:
    """The model's answers on every utterance; `encoded` where it, or its features, are at hand."""
    encoded = encode(corpus, model.vocabulary, model.labels) if encoded is None else encoded
    scores = np.empty((len(encoded), len(model.labels.intents)), dtype=np.float32)
    tags: list[tuple[str, ...]] = [()] * len(encoded)
    names = np.array(model.labels.tags, dtype=object)
    model.network.eval()
    with torch.no_grad():
        for rows in encoded.by_length(_BATCH):
            batch = encoded.batch(rows)
            intent_logits, slot_logits = model.network(batch.inputs, batch.mask)
            scores[rows] = intent_logits.softmax(dim=1).numpy()
            words = (batch.tags != IGNORED).numpy()
            counts = words.sum(axis=1)
            # Words first, in their order, and what is between them after.
            order = np.argsort(~words, axis=1, kind="stable")[:, : counts.max(initial=0)]
            best = decode(np.take_along_axis(slot_logits.numpy(), order[:, :, None], axis=1), counts)
            for row, here, count in zip(rows, best, counts, strict=True):
                tags[row] = tuple(names[here[:count]])
    return Answers(model.labels, scores, tuple(tags))


def true_tags(corpus: Corpus) -> tuple[tuple[str, ...], ...]:
    """The tags of every utterance, from its slots."""
    return tuple(tuple(tags_of(utterance, words_of(utterance.text))) for utterance in corpus.utterances)


def metrics_of(answers: Answers, corpus: Corpus) -> TextMetrics:
    """All figures of `answers` to `corpus`."""
    return text_metrics(_intents_right(answers, corpus), true_tags(corpus), answers.tags)


def intent_predictions(answers: Answers, corpus: Corpus) -> Predictions:
    """Intents as classes, the corpus's group as the group.

    Of two intents the second is the positive class, as for a table.
    """
    known = {intent: position for position, intent in enumerate(answers.labels.intents)}
    labels = np.array([known[utterance.intent] for utterance in corpus.utterances], dtype=np.int32)
    names = answers.labels.intents
    if len(names) == 2:
        rule, scores = BinaryLabel(column="intent", positive=names[1]), answers.scores[:, 1]
    else:
        rule, scores = MulticlassLabel(column="intent", kind="multiclass", classes=names), answers.scores
    return Predictions(rule, corpus.row_ids, labels, corpus.groups, scores)


def frame_predictions(answers: Answers, corpus: Corpus) -> Predictions:
    """Every frame should be right: labels are 1, and a score is 1 where intent and slots are all right, else 0."""
    right = _intents_right(answers, corpus) & slots_right(true_tags(corpus), answers.tags)
    rule = BinaryLabel(column="frame", positive="exact")
    labels = np.ones(len(corpus), dtype=np.int32)
    return Predictions(rule, corpus.row_ids, labels, corpus.groups, right.astype(np.float32))


def _intents_right(answers: Answers, corpus: Corpus) -> np.ndarray:
    truth = [utterance.intent for utterance in corpus.utterances]
    return np.array([told == true for told, true in zip(answers.intents, truth, strict=True)], dtype=bool)
