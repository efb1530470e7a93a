"""Planted secrets come out of a model that learnt them by heart, and not out of one that never saw them."""

import pytest
import torch

from components.data.texts.align import words_of
from components.data.texts.corpus import Labels
from components.data.texts.split import split_by_user
from components.language.audits.canaries import (
    DIGITS,
    PREFIX,
    PinCodes,
    coin_bound,
    coin_canaries,
    exposures,
    extraction,
    pin_codes,
    read,
    with_canaries,
)
from components.language.audits.likelihood import losses_of
from components.language.encode import encode
from components.language.learn import LearningParameters, learn
from components.language.model import BiLSTMParameters, TransformerParameters, new_model
from components.language.vocabulary import WordVocabulary
from components.privacy import SecureRandomness
from components.privacy.audit import UNSEEN

torch.set_num_threads(1)
WORDS = WordVocabulary(tuple(sorted({*DIGITS, *PREFIX.split(), "book", "flight", "weather"})), endings=300)
KINDS = {
    "bilstm": BiLSTMParameters(embedding=24, hidden=12, dropout=0.0),
    "bilstm by letters": BiLSTMParameters(embedding=24, hidden=12, dropout=0.0, characters=True),
    "transformer": TransformerParameters(width=24, layers=1, heads=2, inner=32, dropout=0.0),
}
HEART = LearningParameters(epochs=30, batch=16, rate=2e-2)


def learnt(kind: str, corpus, labels: Labels, seed: int = 0):
    model = new_model(KINDS[kind], labels, seed=seed, vocabulary=WORDS)
    learn(model, encode(corpus, WORDS, labels), HEART, None, seed=seed)
    return model


@pytest.fixture(scope="module")
def pins(labels):
    return pin_codes(labels, repeats=(0, 20), each=3, digits=3, seed=0)


def test_codes_are_distinct_sentences_with_their_slot(labels, pins, corpus):
    assert len(set(pins.codes)) == 6
    assert pins.repeats == (0, 0, 0, 20, 20, 20)
    planted = with_canaries(corpus, pins)
    added = planted.utterances[len(corpus) :]
    assert len(added) == 60
    assert len({one.user for one in added}) == 3
    for one in added:
        assert one.intent in labels.intents
        assert {word.split()[0] for _, word in one.frame} <= set(DIGITS)
    assert len(pins.every()) == 1000
    for code in pins.codes:
        assert pins.every()[pins.place(code)] == pins.utterance(code)
    assert all(words_of(one.text) for one in added)


def test_no_user_of_the_corpus_is_a_canary(corpus, labels, pins):
    split_by_user(with_canaries(corpus, pins), labels=labels, salt="x", shares=(0.6, 0.2, 0.2))


@pytest.mark.parametrize("kind", ["bilstm", pytest.param("transformer", marks=pytest.mark.slow)])
def test_what_is_learnt_by_heart_stands_out(kind, corpus, labels, pins):
    """Among other codes of another intent, so that the model must tell them apart."""
    drawn = pin_codes(labels, repeats=(1,), each=100, digits=3, seed=1).codes
    codes = tuple(code for code in drawn if code not in pins.codes)
    other = next(intent for intent in labels.intents if intent != pins.intent)
    model = learnt(kind, with_canaries(corpus, pins, PinCodes(codes, (1,) * len(codes), other, None)), labels)
    bits = exposures(model, pins)
    assert bits[3:].mean() > 2 * UNSEEN
    assert bits[3:].mean() > bits[:3].mean()
    found = extraction(model, pins, seed=0, restarts=4, steps=40)
    every = -losses_of(model, read(model, pins.every()))
    assert found.log_likelihood == pytest.approx(every[pins.place(found.words)], abs=1e-3)
    # Of a thousand codes one of the ten likeliest.
    assert (every > found.log_likelihood + 1e-3).sum() < 10


def test_a_model_that_never_saw_them_prefers_none(corpus, labels):
    many = pin_codes(labels, repeats=(0,), each=60, digits=3, seed=2)
    model = learnt("bilstm", corpus, labels)
    assert exposures(model, many).mean() == pytest.approx(UNSEEN, abs=0.8)


def test_no_extraction_where_digits_have_no_words_of_their_own(labels, pins):
    model = new_model(KINDS["bilstm"], labels, seed=0, vocabulary=WordVocabulary(("my", "pin"), endings=1))
    assert extraction(model, pins, seed=0) is None


def test_coins_are_betrayed_by_plain_training_and_bound_epsilon(corpus, labels):
    coins = coin_canaries(labels, 120, SecureRandomness(), seed=3)
    assert 25 < coins.put_in.sum() < 95
    model = learnt("bilstm", with_canaries(corpus, coins), labels)
    found = coin_bound(model, coins, delta=1e-5, confidence=0.95)
    assert 1 < found.least <= found.most < 5
    assert 60 <= found.guesses <= 120
    blind = new_model(KINDS["bilstm"], labels, seed=5, vocabulary=WORDS)
    blind_one = coin_bound(blind, coins, delta=1e-5, confidence=0.999)
    assert blind_one.least < 1 < blind_one.most


def test_users_toss_one_coin_for_all_they_say(corpus, labels):
    coins = coin_canaries(labels, 80, SecureRandomness(), seed=4, each=3)
    planted = coins.planted()
    assert len(planted) == 3 * coins.put_in.sum()
    assert len({one.user for one in planted}) == coins.put_in.sum()
    assert len({one.text for one in planted}) == len(planted)
    assert len({one.row_id for one in planted}) == len(planted)
    model = learnt("bilstm", with_canaries(corpus, coins), labels)
    found = coin_bound(model, coins, delta=1e-5, confidence=0.95)
    assert 1 < found.least <= found.most
