"""Words exchanged for others near them, so that a text still reads but no word of it is certain (d_X-privacy).

With d the distance of two words' vectors, word w becomes y of a public vocabulary with probability

    P(y | w) = exp(-epsilon d(w, y) / 2) / sum_v exp(-epsilon d(w, v) / 2),

which is the y of least epsilon d(w, y) / 2 minus standard Gumbel noise. By the triangle inequality P(y | w) is at most
exp(epsilon d(w, w')) P(y | w'), for any two words, listed or not. Noise on distances follows the density of words: one
with many neighbours is exchanged often and a lonely one mostly stays, where noise of one size on the vector (Feyisetan
et al. 2020) treats both alike (Xu et al., FLAIRS 2021; untruncated here, so that the bound is exact). Distances are
divided by the median distance to the nearest word, so that epsilon is per typical step.

Its epsilon is of one word and grows with distance; it is not comparable with the epsilon of private training. How many
words there are, the intent and the slots' places are released as they are.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from components.data.texts.align import words_of
from components.data.texts.corpus import Corpus, Slot, Utterance
from components.errors import InvalidInput
from components.language.encode import Encoded
from components.language.frozen import with_features
from components.language.privatise.latent_noise import Randomness
from components.language.transformer import Encoder
from components.language.vocabulary import encoder_pieces

_PIECE = 256
"""Words whose distances to the whole vocabulary are held at a time."""


@dataclass(frozen=True)
class WordNoise:
    """`words` (v,) that a text may become, and their `vectors` (v, d) from a public encoder."""

    words: tuple[str, ...]
    vectors: np.ndarray
    encoder: Encoder

    @cached_property
    def unit(self) -> float:
        """Median distance of a listed word to the nearest other one."""
        nearest = []
        for start in range(0, len(self.words), _PIECE):
            apart = _distances(self.vectors[start : start + _PIECE], self.vectors)
            apart[np.arange(len(apart)), np.arange(start, start + len(apart))] = np.inf
            nearest.append(apart.min(axis=1))
        return float(np.median(np.concatenate(nearest)))

    def distances(self, vectors: np.ndarray) -> np.ndarray:
        """(n, v) from (n, d) vectors to the listed words, in units."""
        return _distances(vectors, self.vectors) / self.unit

    def probabilities(self, vectors: np.ndarray, epsilon: float) -> np.ndarray:
        """(n, v) P(y | w) of words with these (n, d) vectors."""
        logits = -epsilon * self.distances(vectors) / 2
        likely = np.exp(logits - logits.max(axis=1, keepdims=True))
        return likely / likely.sum(axis=1, keepdims=True)

    def exchange(self, words: list[str], epsilon: float, randomness: Randomness) -> list[str]:
        """A word of the vocabulary for each; all are exchanged alike, whether they are listed or not."""
        if epsilon <= 0:
            raise InvalidInput(f"epsilon is {epsilon}; it must be above 0")
        different = sorted(set(words))
        vector_of = dict(zip(different, vectors_of(different, self.encoder), strict=True))
        exchanged = []
        for start in range(0, len(words), _PIECE):
            some = words[start : start + _PIECE]
            totals = self.probabilities(np.stack([vector_of[word] for word in some]), epsilon).cumsum(axis=1)
            draws = (randomness.ranks((len(some),)) >> np.uint64(11)) * 2.0**-53
            at = (totals < (draws * totals[:, -1])[:, None]).sum(axis=1)
            exchanged += [self.words[place] for place in at]
        return exchanged


def word_noise(words: tuple[str, ...], encoder: Encoder) -> WordNoise:
    """Noise over public `words`.

    Raises
    ------
    InvalidInput
        Fewer than two words, or a word twice.
    """
    if len(set(words)) < 2 or len(set(words)) < len(words):
        raise InvalidInput(f"{len(words)} words, {len(set(words))} of them different; list two at least, each once")
    return WordNoise(words, vectors_of(list(words), encoder), encoder)


def vectors_of(words: list[str], encoder: Encoder) -> np.ndarray:
    """(n, d) float64: the encoder's answer to each word alone, the mean of its tokens; any string has one."""
    pieces = encoder_pieces()
    ids = [pieces.encode([word])[0] for word in words]
    lengths = np.array([len(each) for each in ids])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    tokens, none = np.concatenate(ids).astype(np.int32), np.zeros(len(words), dtype=np.int16)
    encoded = Encoded(tokens, np.zeros(len(tokens), dtype=np.int16), offsets, none)
    features = with_features(encoded, encoder).inputs.astype(np.float64)
    return np.add.reduceat(features, offsets[:-1], axis=0) / lengths[:, None]


def exchange_words(noise: WordNoise, corpus: Corpus, epsilon: float, randomness: Randomness) -> Corpus:
    """Every word of every utterance exchanged; slots go with their words."""
    words = [_words(utterance) for utterance in corpus.utterances]
    flat = iter(noise.exchange([word for some in words for word in some], epsilon, randomness))
    changed = [
        _with_words(utterance, [next(flat) for _ in some])
        for utterance, some in zip(corpus.utterances, words, strict=True)
    ]
    return Corpus(tuple(changed), corpus.grouping)


def _words(utterance: Utterance) -> list[str]:
    return [utterance.text[start:end].lower() for start, end in words_of(utterance.text)]


def _with_words(utterance: Utterance, words: list[str]) -> Utterance:
    """The utterance with other words in the places of its own, one space between."""
    starts = np.cumsum([0, *(len(word) + 1 for word in words)]).tolist()
    before = words_of(utterance.text)
    slots = []
    for slot in utterance.slots:
        inside = [place for place, (start, _) in enumerate(before) if slot.start <= start < slot.end]
        slots.append(Slot(slot.name, starts[inside[0]], starts[inside[-1] + 1] - 1))
    return replace(utterance, text=" ".join(words), slots=tuple(slots))


def _distances(these: np.ndarray, those: np.ndarray) -> np.ndarray:
    squares = (these**2).sum(axis=1)[:, None] + (those**2).sum(axis=1) - 2 * these @ those.T
    return np.sqrt(np.maximum(squares, 0))
