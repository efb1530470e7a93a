"""Order-preserving encryption of ranks: a keyed, increasing function from ranks to disjoint intervals of 64-bit words.

A threshold at rank b becomes the lower end T of b's interval; a value of rank r becomes a *fresh random* word q of r's
interval. Then r < b exactly where q < T, and equal values do not repeat. Half of the columns, by key, run backwards.

* `RankTable`, for the M ranks of a grid: the M sorted words of an AES-CTR stream, that is, a random order-preserving
  function (Boldyreva et al., EUROCRYPT 2009). Best for an observer who knows the grid: word u out of 2^64 has
  rank i + Binomial(M - k, u) when k words are seen and it is the i-th of them, so a rank is guessed with probability
  about 1 / sqrt(2 pi M u (1 - u)).
* `Cascade`, for all 2^32 ranks of float32, never written down: 32 halvings of the ranks, each of which cuts the
  interval at a keyed place of its middle third. A random order-preserving function of so many ranks would be nearly a
  straight line and give away half of every value's bits; the cascade bends at every halving, and strays from the line
  by a tenth of the range.

Does not withstand, as nothing that preserves order can: comparison of any two values of a feature; whoever knows the
values' distribution matches quantiles (Naveed, Kamara and Wright, CCS 2015); tokens of many users or epochs for one
average to the ranks. A rotation ends what queries add up to, and hands a server that kept the old artifact one sample
more.
Source: Boldyreva, Chenette, O'Neill, CRYPTO 2011 (what order reveals); Kerschbaum, CCS 2015 (hiding frequencies).
"""

import os
from dataclasses import dataclass, field

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from components.encryption.keys import words

TOP = np.uint64(2**64 - 1)
_LOW = np.uint64(2**32 - 1)
_HALF = np.uint64(32)


@dataclass(frozen=True)
class RankTable:
    """Ranks 0..M-1 of C columns; `ends` (C, M + 1) uint64 increasing: interval r is [ends[r], ends[r + 1])."""

    ends: np.ndarray = field(repr=False)

    @property
    def size(self) -> int:
        return self.ends.shape[1] - 1

    def intervals(self, columns: np.ndarray, ranks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lower end and width (uint64) of the interval of each rank (int64), by broadcasting with `columns`."""
        low = self.ends[columns, ranks]
        return low, self.ends[columns, ranks + 1] - low


def rank_table(key: bytes, columns: list[bytes], size: int) -> RankTable:
    """The table of `size` ranks for columns named by pseudonyms."""
    drawn = np.full((len(columns), size + 1), TOP)
    for place, column in enumerate(columns):
        drawn[place, :-1] = np.sort(distinct_words(key, column, size))
    return RankTable(drawn)


def distinct_words(key: bytes, column: bytes, count: int) -> np.ndarray:
    """The first `count` words of a column's stream that differ from one another and from the highest word."""
    wanted = count
    while len(found := dict.fromkeys([int(TOP), *words(key, column[:12], wanted).tolist()])) <= count:
        wanted += 1
    return np.array(list(found)[1 : count + 1], dtype=np.uint64)


@dataclass(frozen=True)
class Cascade:
    """Ranks 0..2^32-1 of columns named by pseudonyms."""

    key: bytes = field(repr=False)
    columns: list[bytes] = field(repr=False)

    size = 2**32

    def intervals(self, columns: np.ndarray, ranks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lower end and width (uint64) of the interval of each rank (int64), by broadcasting with `columns`."""
        columns, ranks = np.broadcast_arrays(columns, ranks)
        levels = np.arange(32, dtype=np.uint64)
        # A halving is named by column, level and the bits of the rank above it.
        shifts = (np.uint64(32) - levels).reshape(-1, *[1] * ranks.ndim)
        blocks = np.empty((32, *ranks.shape, 2), dtype="<u8")
        blocks[..., 0] = np.array([int.from_bytes(name[:8], "little") for name in self.columns], dtype="<u8")[columns]
        blocks[..., 1] = (ranks.astype(np.uint64) >> shifts) | (levels.reshape(shifts.shape) << _HALF)
        encryptor = Cipher(algorithms.AES(self.key), modes.ECB()).encryptor()
        drawn = np.frombuffer(encryptor.update(blocks.tobytes()), dtype="<u4").reshape(*blocks.shape[:-1], 4)[..., 0]
        rights = ((ranks.astype(np.uint64) >> (shifts - np.uint64(1))) & np.uint64(1)).astype(bool)

        low, width = np.zeros(ranks.shape, dtype=np.uint64), np.full(ranks.shape, TOP)
        for right, word in zip(rights, drawn, strict=True):
            third = width // np.uint64(3)
            cut = third + fraction_of(third, word)
            low, width = np.where(right, low + cut, low), np.where(right, width - cut, cut)
        return low, width


def fraction_of(width: np.ndarray, word: np.ndarray) -> np.ndarray:
    """floor(width * word / 2^32) for 32-bit words, without leaving 64 bits."""
    word = word.astype(np.uint64)
    return (width >> _HALF) * word + (((width & _LOW) * word) >> _HALF)


def random_token(low: np.ndarray, width: np.ndarray) -> np.ndarray:
    """A fresh word of each interval [low, low + width), by the operating system's randomness."""
    drawn = np.frombuffer(os.urandom(4 * low.size), dtype="<u4").reshape(low.shape)
    return low + fraction_of(width, drawn)


def float_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks (int64, 0 < rank < 2^32 - 1) of float32 values without NaN: an increasing map, with -0 = +0."""
    bits = (values + np.float32(0)).view(np.uint32).astype(np.int64)
    return np.where(bits >> 31, 2**32 - 1 - bits, bits + 2**31)
