"""Keystreams against AES block by block; and that no part of one is ever read twice."""

import copy
import pickle

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from components.mpc.randomness import KEY_BYTES, Keystream, fresh_key
from components.mpc.simulate import simulate

KEY = bytes(range(KEY_BYTES))


def blocks(key: bytes, count: int) -> bytes:
    """AES of 0, 1, 2, …, each block by itself."""
    cipher = Cipher(algorithms.AES128(key), modes.ECB()).encryptor()
    return b"".join(cipher.update(number.to_bytes(16, "big")) for number in range(count))


@given(st.lists(st.tuples(st.integers(0, 200), st.sampled_from([np.uint8, np.uint16, np.uint64])), max_size=8))
def test_draws_follow_one_another_in_the_stream(draws):
    stream = Keystream(KEY)
    drawn = b"".join(stream.draw((count,), kind).tobytes() for count, kind in draws)
    assert drawn == blocks(KEY, len(drawn) // 16 + 1)[: len(drawn)]


def test_draws_longer_than_the_cache_are_whole():
    words = Keystream(KEY).draw((3, 5000))
    assert words.tobytes() == blocks(KEY, words.nbytes // 16)


def test_a_stream_cannot_be_read_twice():
    stream = Keystream(fresh_key())
    for again in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="never copied"):
            again(stream)


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_permutations_are_permutations(size):
    stream = Keystream(KEY)
    first, second = stream.permutation(size), stream.permutation(size)
    assert sorted(first) == list(range(size))
    assert size < 1000 or not np.array_equal(first, second)


def test_every_correlation_is_drawn_once():
    """Of thousands of words that masks are made of, to parties and dealer, none comes twice."""

    def program(engine):
        return [engine.uniform((500,)) for _ in range(4)]

    parties, _ = simulate(program, 3)
    words = np.concatenate([part for shares in parties for part in shares])
    assert len(np.unique(words)) == len(words) == 6000
