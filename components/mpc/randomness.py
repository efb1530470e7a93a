"""Keystreams: the randomness that hides, expanded by AES-128 in counter mode from a seed of the operating system.

A party and the dealer hold the same key and read the same stream in the same order, so a mask of a million words costs
no traffic. Statistical generators have no place here: their output can be predicted from their output.
Source: NIST SP 800-38A, section 6.5 (CTR).
"""

import math
import os

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

KEY_BYTES = 16

_ZEROS = bytes(1 << 16)


def fresh_key() -> bytes:
    """A new 128-bit key from the operating system."""
    return os.urandom(KEY_BYTES)


class Keystream:
    """The stream of one key; each draw continues where the last ended, and no part is ever read twice."""

    def __init__(self, key: bytes):
        self._encryptor = Cipher(algorithms.AES128(key), modes.CTR(bytes(16))).encryptor()

    def draw(self, shape: tuple[int, ...], dtype: np.dtype = np.uint64) -> np.ndarray:
        """Uniform values of an unsigned dtype."""
        drawn = np.empty(math.prod(shape), dtype=dtype)
        octets = drawn.view(np.uint8)
        # In pieces that stay in the cache.
        for start in range(0, len(octets), len(_ZEROS)):
            piece = octets[start : start + len(_ZEROS)]
            self._encryptor.update_into(_ZEROS[: len(piece)] if len(piece) < len(_ZEROS) else _ZEROS, piece)
        return drawn.reshape(shape)

    def permutation(self, size: int) -> np.ndarray:
        """A uniform permutation of 0..size-1 (int32), by sorting words: of 64 bits, so that ties do not matter.

        Two equal words among 2^20 have probability 2^-25 and would move the distribution by less than that.
        """
        return np.argsort(self.draw((size,)), kind="stable").astype(np.int32)

    def __reduce__(self):
        raise TypeError("a keystream is never copied or stored: its words must be used once")
