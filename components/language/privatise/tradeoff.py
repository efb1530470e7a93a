"""Utility against privacy: what a model learns from texts at several epsilons, as points of a plot."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from components.data.texts.align import words_of
from components.data.texts.corpus import Corpus
from components.language.metrics import TextMetrics


@dataclass(frozen=True)
class TradeoffPoint:
    """At `epsilon` (infinite: the texts as they are): the share of utterances and of their words that came out as they
    were, and the figures of a model that learnt from what came out."""

    epsilon: float
    utterances_kept: float
    words_kept: float
    utility: TextMetrics


def tradeoff(
    corpus: Corpus,
    privatise: Callable[[Corpus, float], Corpus],
    learn: Callable[[Corpus], TextMetrics],
    epsilons: Sequence[float],
) -> tuple[TradeoffPoint, ...]:
    """A point for each epsilon, and a last one without privacy.

    Parameters
    ----------
    privatise
        A corpus and an epsilon to a corpus, row-aligned.
    learn
        Trains on a corpus and judges on real, held-out texts.
    """
    changed = [(epsilon, privatise(corpus, epsilon)) for epsilon in epsilons]
    return tuple(
        TradeoffPoint(epsilon, *_kept(corpus, other), learn(other))
        for epsilon, other in [*changed, (float("inf"), corpus)]
    )


def _kept(corpus: Corpus, other: Corpus) -> tuple[float, float]:
    same = kept = words = 0
    for one, another in zip(corpus.utterances, other.utterances, strict=True):
        before, after = _words(one.text), _words(another.text)
        same += before == after
        words += len(before)
        kept += len(before) - len(_without(before, after))
    return same / len(corpus), kept / words


def _without(words: list[str], others: list[str]) -> list[str]:
    """`words` less one of each that is among `others`."""
    left = list(others)
    return [word for word in words if word not in left or left.remove(word)]


def _words(text: str) -> list[str]:
    return [text[start:end].lower() for start, end in words_of(text)]
