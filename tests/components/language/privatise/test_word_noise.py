from collections import Counter

import numpy as np
import pytest

from components.data.texts.align import misaligned, words_of
from components.errors import InvalidInput
from components.language.frozen import load_encoder
from components.language.privatise.tradeoff import tradeoff
from components.language.privatise.word_noise import exchange_words, vectors_of, word_noise
from components.privacy.randomness import SeededRandomness

WORDS = ("lamp", "light", "kitchen", "bathroom", "on", "off", "turn", "weather", "flight", "rome", "oslo", "the", "?")
PRIVATE = ["lamp", "flight", "xylophonist", "4711", "?"]


@pytest.fixture(scope="module")
def noise():
    return word_noise(WORDS, load_encoder())


@pytest.mark.parametrize("epsilon", [0.3, 2.0, 9.0])
def test_probabilities_keep_the_promise_for_any_two_words(noise, epsilon):
    """ln P(y | w) - ln P(y | w') <= epsilon d(w, w'), over every triple, words out of the vocabulary among them."""
    vectors = vectors_of(PRIVATE, noise.encoder)
    log_p = np.log(noise.probabilities(vectors, epsilon))
    apart = np.linalg.norm(vectors[:, None] - vectors, axis=2) / noise.unit
    ratio = (log_p[:, None] - log_p[None]).max(axis=2)
    assert (ratio <= epsilon * apart + 1e-6).all()
    assert ratio.max() > 0.2 * (epsilon * apart).max() or epsilon > 5


def test_probabilities_are_the_exponential_mechanism_by_hand(noise):
    vectors = vectors_of(["lamp"], noise.encoder)
    raw = np.array([np.linalg.norm(vectors[0] - other) for other in noise.vectors]) / noise.unit
    expected = np.exp(-3.0 * raw / 2)
    np.testing.assert_allclose(noise.probabilities(vectors, 3.0)[0], expected / expected.sum(), rtol=1e-6)


def test_words_are_drawn_with_their_probabilities(noise):
    drawn = Counter(noise.exchange(["lamp"] * 4000, 1.5, SeededRandomness(1)))
    expected = noise.probabilities(vectors_of(["lamp"], noise.encoder), 1.5)[0]
    for word, probability in zip(WORDS, expected, strict=True):
        assert abs(drawn[word] / 4000 - probability) < 5 * np.sqrt(probability / 4000) + 1e-3


def test_a_lonely_word_stays_more_often_than_one_among_neighbours(noise):
    chances = noise.probabilities(noise.vectors, 2.0).diagonal()
    apart = noise.distances(noise.vectors)
    np.fill_diagonal(apart, np.inf)
    nearest = apart.min(axis=1)
    assert chances[nearest.argmax()] > chances[nearest.argmin()]


def test_slots_go_with_their_words(noise, corpus):
    changed = exchange_words(noise, corpus, 1.0, SeededRandomness(2))
    for before, after in zip(corpus.utterances, changed.utterances, strict=True):
        assert len(words_of(before.text)) == len(words_of(after.text))
        assert [slot.name for slot in before.slots] == [slot.name for slot in after.slots]
        assert misaligned(after, words_of(after.text)) is None
        for one, other in zip(before.frame, after.frame, strict=True):
            assert len(words_of(one[1])) == len(words_of(other[1]))
        assert set(after.text.split()) <= set(WORDS)


def test_a_large_epsilon_leaves_listed_words_alone(noise):
    assert noise.exchange(list(WORDS), 500.0, SeededRandomness(1)) == list(WORDS)


def test_tradeoff_has_a_point_for_each_epsilon_and_one_without_privacy(noise, corpus):
    points = tradeoff(
        corpus,
        lambda texts, epsilon: exchange_words(noise, texts, epsilon, SeededRandomness(1)),
        lambda texts: len({utterance.text for utterance in texts.utterances}),
        [0.1, 50.0],
    )
    assert [point.epsilon for point in points] == [0.1, 50.0, float("inf")]
    assert points[0].words_kept < points[1].words_kept < points[2].words_kept == points[2].utterances_kept == 1
    assert points[2].utility == len({utterance.text for utterance in corpus.utterances})


def test_mistakes_are_named(noise):
    with pytest.raises(InvalidInput, match="epsilon is 0"):
        noise.exchange(["a"], 0, SeededRandomness(1))
    with pytest.raises(InvalidInput, match="2 words, 1 of them different"):
        word_noise(("a", "a"), noise.encoder)
