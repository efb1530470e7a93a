"""Order is kept, intervals do not touch, and the rank of a word is as uncertain as probability says."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from components.encryption.order_preserving import (
    TOP,
    Cascade,
    distinct_words,
    float_ranks,
    fraction_of,
    random_token,
    rank_table,
)

KEY = bytes(range(32))
COLUMNS = [bytes([number]) * 16 for number in range(4)]
FLOATS = st.floats(width=32, allow_nan=False, allow_subnormal=True)


@settings(deadline=None)
@given(st.lists(FLOATS, min_size=2, max_size=50))
def test_ranks_of_floats_compare_as_the_floats_do(values):
    values = np.array(values, dtype=np.float32)
    ranks = float_ranks(values)
    assert ((ranks > 0) & (ranks < 2**32 - 1)).all()
    np.testing.assert_array_equal(values[:, None] < values, ranks[:, None] < ranks)
    np.testing.assert_array_equal(values[:, None] == values, ranks[:, None] == ranks)


def test_intervals_of_a_table_follow_one_another():
    table = rank_table(KEY, COLUMNS, 257)
    assert (np.diff(table.ends.astype(object), axis=1) > 0).all()
    assert (table.ends[:, -1] == TOP).all()
    assert len(np.unique(table.ends[:, :-1])) == 4 * 257


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 2**32 - 2), min_size=1, max_size=20))
def test_intervals_of_a_cascade_follow_one_another(ranks):
    cascade = Cascade(KEY, COLUMNS)
    ranks = np.unique(ranks)
    for column in range(4):
        low, width = cascade.intervals(np.array(column), ranks)
        following, _ = cascade.intervals(np.array(column), ranks + 1)
        assert (width > 1000).all()
        np.testing.assert_array_equal(low + width, following)
        assert (np.diff(low.astype(object)) > 0).all()


def test_columns_and_keys_have_functions_of_their_own():
    ranks = np.arange(0, 2**32, 2**25)
    starts = [
        Cascade(key, COLUMNS).intervals(np.array(column), ranks)[0][1:]
        for key in (KEY, KEY[::-1])
        for column in range(4)
    ]
    assert len(np.unique(starts)) == np.size(starts)


def test_tokens_are_uniform_in_their_interval():
    low, width = np.full(20_000, 2**63, dtype=np.uint64), np.full(20_000, 3 * 2**40 + 17, dtype=np.uint64)
    tokens = random_token(low, width)
    assert ((low <= tokens) & (tokens < low + width)).all()
    assert stats.kstest((tokens - low).astype(float) / float(width[0]), "uniform").pvalue > 1e-9


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1))
def test_fractions_are_exact(width, word):
    found = fraction_of(np.array(width, dtype=np.uint64), np.array(word, dtype=np.uint32))
    assert int(found) == width * word >> 32


def test_words_differ_from_one_another():
    words = distinct_words(KEY, COLUMNS[0], 5000)
    assert len(np.unique(words)) == 5000
    np.testing.assert_array_equal(distinct_words(KEY, COLUMNS[0], 100), words[:100])


def test_the_rank_of_a_word_is_binomial():
    """The claim that bounds the attacker who knows the grid: a word's rank is guessed about as often as it says."""
    size, rank = 257, 128
    words = np.array(
        [rank_table(bytes([k % 256, k // 256]) * 16, COLUMNS[:1], size).ends[0, rank] for k in range(1000)]
    )
    shares = words.astype(float) / 2**64
    assert stats.kstest(shares, stats.beta(rank + 1, size - rank).cdf).pvalue > 1e-9
    hits = np.floor(size * shares) == rank
    expected = 1 / np.sqrt(2 * np.pi * size * 0.25)
    assert abs(hits.mean() - expected) < 5 * np.sqrt(expected / len(hits))
