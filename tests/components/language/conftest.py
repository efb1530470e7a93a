"""A corpus small enough to learn in a second, and models small enough to learn it."""

import pytest
import torch

from components.data.texts.align import words_of
from components.data.texts.corpus import Corpus, Labels, Slot, Utterance
from components.language.model import BiLSTMParameters, TransformerParameters, new_model
from components.language.vocabulary import WordVocabulary

CITIES = ("rome", "new york", "oslo", "san marino")
SENTENCES = {"fly": "book a flight to {} please", "weather": "what is the weather in {}", "hello": "good morning"}

torch.set_num_threads(1)


def said(number: int) -> Utterance:
    intent = tuple(SENTENCES)[number % 3]
    city = CITIES[number % 4]
    text = SENTENCES[intent].format(city)
    start = text.find(city)
    slots = (Slot("city", start, start + len(city)),) if start >= 0 else ()
    return Utterance(f"row {number}", text, intent, slots, ("en", "en-GB")[number % 2], f"user {number % 10}")


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    return Corpus(tuple(said(number) for number in range(48)))


@pytest.fixture(scope="session")
def labels() -> Labels:
    return Labels(("fly", "hello", "weather"), ("city", "day"), public=True)


@pytest.fixture(scope="session")
def vocabulary(corpus) -> WordVocabulary:
    """Made for the tests; the product's are public lists."""
    words = {utterance.text[a:b] for utterance in corpus.utterances for a, b in words_of(utterance.text)}
    return WordVocabulary(tuple(sorted(words - {"oslo"})), endings=20)


SMALL = {
    "bilstm": BiLSTMParameters(embedding=12, hidden=10, dropout=0.0),
    "bilstm by letters": BiLSTMParameters(embedding=12, hidden=10, dropout=0.0, characters=True),
    "transformer": TransformerParameters(width=16, layers=2, heads=2, inner=24, dropout=0.0),
}


@pytest.fixture(params=SMALL)
def small_model(request, labels, vocabulary):
    return new_model(SMALL[request.param], labels, seed=1, vocabulary=vocabulary)
