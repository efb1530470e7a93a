"""Members are told from strangers where a model learnt by heart, and not where it learnt nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from components.data.texts.corpus import Corpus, Utterance
from components.language.audits.membership import attacks, pool_of
from components.language.encode import encode
from components.language.learn import LearningParameters, learn
from components.language.model import BiLSTMParameters, new_model
from components.language.vocabulary import WordVocabulary

torch.set_num_threads(1)
RNG = np.random.default_rng(0)
WORDS = WordVocabulary(tuple(a + b for a in "abcdefgh" for b in "abcdefgh")[:60], endings=2)


def noise(count: int, name: str, labels) -> Corpus:
    """Random words under random intents: only memory helps."""
    texts = RNG.integers(60, size=(count, 6))
    intents = RNG.integers(len(labels.intents), size=count)
    return Corpus(
        tuple(
            Utterance(f"{name} {row}", " ".join(WORDS.words[word] for word in text), labels.intents[intent])
            for row, (text, intent) in enumerate(zip(texts, intents, strict=True))
        )
    )


def pooled(*corpora: Corpus, whole_users: bool = False, references: int = 2, most: int = 200, seed: int = 0):
    return pool_of(*corpora, whole_users=whole_users, references=references, most=most, seed=seed)


def spoken(corpus: Corpus, each: int) -> Corpus:
    """The same, `each` utterances a user."""
    name = corpus.utterances[0].row_id.split()[0]
    return Corpus(tuple(replace(one, user=f"{name} {row // each}") for row, one in enumerate(corpus.utterances)))


def test_every_utterance_of_a_pool_is_known_to_half_of_the_references(labels):
    parts = [noise(count, name, labels) for count, name in ((500, "a"), (300, "b"), (50, "c"))]
    pool = pooled(*parts, references=4)
    assert len(pool.members) == len(pool.strangers) == 200
    assert len(set(pool.members.rows.tolist())) == 200
    assert (pool.halves.sum(axis=0) == 2).all()
    assert pooled(parts[0], parts[1].take(np.arange(30)), parts[2], references=3).halves.shape == (3, 60)


def test_a_reference_learns_the_rest_and_its_half(labels):
    train, other, third = (noise(count, name, labels) for count, name in ((40, "train"), (30, "other"), (5, "third")))
    pool = pooled(train, other, third, most=20, seed=1)
    for reference in range(2):
        names = set(pool.corpus(reference, train, other).row_ids.tolist())
        inside = np.split(pool.halves[reference], 2)
        expected = set(np.delete(train.row_ids, pool.members.rows[~inside[0]]).tolist())
        expected |= set(other.row_ids[pool.strangers.rows[inside[1]]].tolist())
        assert names == expected


def test_nobody_is_attacked_by_a_sentence_that_others_said_too(labels):
    train, other, third = (noise(count, name, labels) for count, name in ((40, "train"), (30, "other"), (20, "third")))
    said = train.utterances
    train = Corpus((*said, replace(said[0], row_id="again", text=f"  {said[0].text.upper()} ")))
    copied = [replace(other.utterances[row], text=said[row].text) for row in (3, 4)]
    other = Corpus((*(one for row, one in enumerate(other.utterances) if row not in (3, 4)), *copied))
    third = Corpus((*third.utterances[1:], replace(third.utterances[0], text=said[7].text)))
    pool = pooled(train, other, third)
    assert not {0, 3, 4, 7, 40} & set(pool.members.rows.tolist())
    assert not {28, 29} & set(pool.strangers.rows.tolist())
    assert 19 not in pool.population
    assert len(pool.members) == 28


def test_users_are_held_out_whole_and_attacked_by_what_they_alone_said(labels):
    train, other, third = (
        spoken(noise(count, name, labels), 4) for count, name in ((80, "train"), (60, "other"), (8, "third"))
    )
    said = train.utterances
    train = Corpus((*said[:5], replace(said[5], text=said[1].text), *said[6:]))
    pool = pooled(train, other, third, whole_users=True, most=12)
    assert len(pool.members) == len(pool.strangers) == 12
    assert set(np.bincount(pool.strangers.unit)) == {4}
    assert not {1, 5} & set(pool.members.rows.tolist())
    assert (pool.members.users[pool.members.unit_of_every] == train.users[pool.members.every]).all()
    for reference in range(2):
        learnt = pool.corpus(reference, train, other)
        for side, corpus, chosen in zip(
            (pool.members, pool.strangers), (train, other), np.split(pool.halves[reference], 2), strict=True
        ):
            for user, inside in zip(side.users, chosen, strict=True):
                assert (learnt.users == user).sum() == (4 if inside else 0)
                assert (corpus.users == user).sum() == 4


def test_a_user_counts_once_however_much_was_said(labels):
    train, other = (spoken(noise(40, name, labels), 4) for name in ("a", "b"))
    pool = pooled(train, other, noise(5, "c", labels), whole_users=True)
    values = np.arange(40.0)
    expected = [values[train.users == user].mean() for user in pool.members.users]
    np.testing.assert_allclose(pool.members.means(values[pool.members.rows]), expected)


def test_where_all_was_said_by_others_too_there_is_nothing_to_attack(labels):
    train = noise(20, "a", labels)
    other = Corpus(tuple(replace(one, row_id=f"b {one.row_id}") for one in train.utterances))
    pool = pooled(train, other, noise(5, "c", labels))
    assert len(pool.members) == 0
    model = new_model(BiLSTMParameters(embedding=4, hidden=4, dropout=0.0), labels, seed=0, vocabulary=WORDS)
    read = [encode(corpus, WORDS, labels) for corpus in (train, other, train)]
    assert attacks(model, [], pool, *read) == {}
    assert len(pool.corpus(0, train, other)) == 20


@pytest.mark.parametrize(("by_heart", "whole_users"), [(True, False), (True, True), (False, False)])
def test_attacks_find_what_was_learnt_by_heart(labels, by_heart, whole_users):
    train, other, population = (
        spoken(noise(count, name, labels), 2) for count, name in ((80, "a"), (80, "b"), (60, "c"))
    )
    pool = pooled(train, other, population, whole_users=whole_users, seed=2)

    def trained(corpus: Corpus, seed: int):
        model = new_model(BiLSTMParameters(embedding=32, hidden=12, dropout=0.0), labels, seed=seed, vocabulary=WORDS)
        if by_heart:
            parameters = LearningParameters(epochs=25, batch=16, rate=3e-2)
            learn(model, encode(corpus, WORDS, labels), parameters, None, seed=seed)
        return model

    references = [trained(pool.corpus(number, train, other), number + 1) for number in range(2)]
    read = [encode(corpus, WORDS, labels) for corpus in (train, other, population)]
    found = attacks(trained(train, 0), references, pool, *read)
    assert set(found) == {"loss", "LiRA", "RMIA"}
    for name, roc in found.items():
        area = roc.area()
        assert (area.value > 0.8) if by_heart else (area.value < 0.72), name
    assert set(attacks(trained(train, 0), [], pool, *read)) == {"loss"}
