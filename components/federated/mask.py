"""Masks: words of Z_2^64 that look uniform to whoever lacks a 32-byte key, and cancel when added and subtracted.

AES-256 in counter mode from a counter of zero; safe, since a key is derived for one mask and never used again. The
stream is added in pieces that stay in the cache, so that a mask costs little more than AES itself.
Source: NIST SP 800-38A, section 6.5 (CTR); Bonawitz et al. 2017, section 4.
"""

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

KEY_BYTES = 32
WORD = np.dtype("<u8")

_PIECE = 1 << 17
_ZEROS = bytes(_PIECE)


def add_mask(vector: np.ndarray, key: bytes) -> None:
    """vector + PRG(key) mod 2^64, in place; `vector` is one-dimensional and contiguous."""
    _apply(np.add, vector, key)


def subtract_mask(vector: np.ndarray, key: bytes) -> None:
    """vector - PRG(key) mod 2^64, in place."""
    _apply(np.subtract, vector, key)


def _apply(operation: np.ufunc, vector: np.ndarray, key: bytes) -> None:
    encryptor = Cipher(algorithms.AES256(key), modes.CTR(bytes(16))).encryptor()
    stream = np.empty(_PIECE, dtype=np.uint8)
    words = stream.view(WORD)
    for start in range(0, len(vector), len(words)):
        piece = vector[start : start + len(words)]
        encryptor.update_into(_ZEROS[: piece.nbytes] if piece.nbytes < _PIECE else _ZEROS, stream)
        operation(piece, words[: len(piece)], out=piece)
