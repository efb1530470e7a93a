from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from components.data.texts.align import tags_of, words_of
from components.data.texts.corpus import Corpus, Labels, Slot, Utterance
from components.errors import InvalidInput
from components.language.encode import IGNORED, encode
from components.language.vocabulary import (
    MOST_PIECES_OF_A_WORD,
    WordVocabulary,
    encoder_pieces,
    public_words,
    tokenizer_file,
)

LABELS = Labels(("go", "stay"), ("city",), public=True)
ITS_OWN = Tokenizer.from_file(str(tokenizer_file()))
ITS_OWN.no_padding()
TEXTS = st.lists(st.text("abcéÅß漢1!'🙂", min_size=1, max_size=18), min_size=1, max_size=6).map(" ".join)


@settings(max_examples=80)
@given(TEXTS, st.data())
def test_every_word_keeps_its_tag_at_its_first_piece(text, data):
    spans = words_of(text)
    first = data.draw(st.integers(0, len(spans) - 1))
    after = data.draw(st.integers(first + 1, len(spans)))
    utterance = Utterance("1", text, "go", (Slot("city", spans[first][0], spans[after - 1][1]),))
    for vocabulary in (encoder_pieces(), WordVocabulary(("abc",))):
        encoded = encode(Corpus((utterance,)), vocabulary, LABELS)
        kept = encoded.tags[encoded.tags != IGNORED]
        assert [LABELS.tags[tag] for tag in kept] == tags_of(utterance, spans)
        assert (encoded.inputs > 0).all()
        assert (encoded.inputs < len(vocabulary)).all()


@settings(max_examples=80)
@given(TEXTS)
def test_pieces_are_those_of_the_tokenizer_on_whole_text(text):
    """Splitting into words first changes no piece, but that long words are cut and words of no piece are unknown."""
    words = [text[start:end] for start, end in words_of(text)]
    ids, firsts = encoder_pieces().encode(words)
    expected = []
    for word in words:
        pieces = ITS_OWN.encode(word, add_special_tokens=False).ids
        expected.append(pieces[:MOST_PIECES_OF_A_WORD] or [ITS_OWN.token_to_id("[UNK]")])
    assert ids == [101, *(piece for pieces in expected for piece in pieces), 102]
    assert [ids[first] for first in firsts] == [pieces[0] for pieces in expected]


def test_the_longest_utterance_fits_the_encoder():
    ids, _ = encoder_pieces().encode(["pneumonoultramicroscopicsilicovolcanoconiosis"] * 120)
    assert len(ids) <= 512


def test_batches_hold_what_was_said_in_any_order(corpus, labels, vocabulary):
    encoded = encode(corpus, vocabulary, labels)
    rows = np.array([5, 2, 2, 47])
    batch = encoded.batch(rows)
    assert batch.inputs.shape == batch.mask.shape == batch.tags.shape
    for place, row in enumerate(rows):
        length = encoded.lengths[row]
        span = slice(encoded.offsets[row], encoded.offsets[row + 1])
        assert batch.mask[place].sum() == length
        assert batch.inputs[place, :length].tolist() == encoded.inputs[span].tolist()
        assert batch.tags[place, :length].tolist() == encoded.tags[span].tolist()
        assert (batch.tags[place, length:] == IGNORED).all()
        assert (batch.inputs[place, length:] == 0).all()
        assert labels.intents[batch.intents[place]] == corpus.utterances[row].intent


def test_an_empty_batch_is_a_batch(corpus, labels, vocabulary):
    batch = encode(corpus, vocabulary, labels).batch(np.array([], dtype=int))
    assert batch.inputs.shape[0] == batch.intents.shape[0] == 0


def test_batches_by_length_are_every_row_once(corpus, labels, vocabulary):
    encoded = encode(corpus, vocabulary, labels)
    batches = encoded.by_length(7)
    assert sorted(np.concatenate(batches)) == list(range(48))
    assert (np.diff(encoded.lengths[np.concatenate(batches)]) >= 0).all()


def test_features_take_the_place_of_ids(corpus, labels, vocabulary):
    encoded = encode(corpus, vocabulary, labels)
    features = np.arange(len(encoded.inputs) * 3, dtype=np.float16).reshape(-1, 3)
    batch = replace(encoded, inputs=features).batch(np.array([1, 0]))
    assert batch.inputs.dtype.is_floating_point
    assert batch.inputs[1, 0].tolist() == [0, 1, 2]


def test_words_that_are_not_listed_share_ids_by_ending():
    vocabulary = WordVocabulary(("rome", "00"), endings=50)
    (rome, digits, running, jogging, other), _ = vocabulary.encode(["Rome", "42", "running", "jogging", "zebra"])
    assert (rome, digits) == (51, 52)
    assert running == jogging != other
    assert all(0 < word <= 50 for word in (running, other))


def test_frequent_words_are_folded_and_shared_among_languages():
    vocabulary = public_words(("en", "pt-BR"), size=2000)
    assert len(vocabulary.words) == 2000
    assert {"the", "não"} <= set(vocabulary.words)
    assert all(word == word.lower() for word in vocabulary.words)
    assert vocabulary == public_words(("en", "pt-BR"), size=2000)


@pytest.mark.parametrize(("wrong", "named"), [({"languages": ("en", "tlh")}, "'tlh'"), ({"size": 0}, "size is 0")])
def test_mistakes_about_words(wrong, named):
    with pytest.raises(InvalidInput, match=named):
        public_words(**wrong)
