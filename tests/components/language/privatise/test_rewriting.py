import numpy as np
import pytest

from components.data.texts.align import MOST_WORDS, words_of
from components.data.texts.corpus import Corpus, Utterance
from components.errors import InvalidInput
from components.language.privatise import rewriting
from components.language.privatise.latent_noise import LatentNoise
from components.language.privatise.rewriting import rewrite, train_rewriter
from components.privacy.randomness import SeededRandomness


@pytest.fixture(scope="module")
def rewriter(corpus):
    return train_rewriter(corpus, seed=1, latent=8, hidden=24, epochs=60, batch=12, rate=1e-2)


def rewritten(rewriter, corpus, epsilon, seed=1):
    return rewrite(rewriter, corpus, LatentNoise(epsilon, 8), SeededRandomness(seed))


def kept(corpus, other):
    return np.mean([a.text == b.text for a, b in zip(corpus.utterances, other.utterances, strict=True)])


def test_almost_without_noise_texts_come_back(rewriter, corpus):
    assert kept(corpus, rewritten(rewriter, corpus, 1e7)) > 0.9


def test_more_noise_keeps_fewer_texts(rewriter, corpus):
    shares = [kept(corpus, rewritten(rewriter, corpus, epsilon)) for epsilon in (1e7, 15, 1)]
    assert shares[0] > shares[1] > shares[2]
    assert shares[2] < 0.5


def test_intents_groups_and_rows_stay_and_slots_go(rewriter, corpus):
    for one, other in zip(corpus.utterances, rewritten(rewriter, corpus, 1.0).utterances, strict=True):
        assert (one.row_id, one.intent, one.group, one.user) == (other.row_id, other.intent, other.group, other.user)
        assert other.slots == ()
        assert other.text


def test_an_utterance_that_never_ends_is_cut_where_texts_are(rewriter, monkeypatch):
    monkeypatch.setattr(rewriting, "_END", 1)  # an id that is never written
    said = Corpus((Utterance("1", " ".join(["good morning"] * 60), "hello"),))
    written = rewritten(rewriter, said, 1e7).utterances[0].text.split()
    assert len(written) == MOST_WORDS == len(words_of(said.utterances[0].text))


def test_only_public_words_are_written_whatever_is_read(rewriter):
    secret = Corpus((Utterance("1", "my pin code is 4711 zyx", "hello"),))
    for seed in range(5):
        words = rewritten(rewriter, secret, 3.0, seed).utterances[0].text.split()
        assert set(words) <= set(rewriter.vocabulary.words)


def test_the_text_depends_on_nothing_but_the_noised_vector(rewriter, corpus):
    """Two utterances of different length, made one vector, are written the same: no length leaks past the noise."""
    few = corpus.take(np.array([0, 2]))
    rewriter_ = rewriter
    encode = rewriter_.encode
    try:
        rewriter_.encode = lambda ids, lengths: encode(ids, lengths) * 0 + 0.1
        one, other = rewritten(rewriter_, few, 1e7).utterances
    finally:
        del rewriter_.encode
    assert one.text == other.text


def test_noise_for_another_rewriter_is_refused(rewriter, corpus):
    for noise in (LatentNoise(1.0, 9), LatentNoise(1.0, 8, bound=2.0)):
        with pytest.raises(InvalidInput, match="8"):
            rewrite(rewriter, corpus, noise, SeededRandomness(1))


def test_the_seed_decides(corpus):
    one, same = (train_rewriter(corpus, seed=5, latent=4, hidden=8, epochs=1) for _ in range(2))
    assert all((one.state_dict()[name] == weight).all() for name, weight in same.state_dict().items())
