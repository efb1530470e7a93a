"""Secret-shared values: what a party holds of a number that nobody sees.

[x] = (x_0, …, x_{N-1}) with x = Σ x_i modulo 2^64: any N - 1 shares are independent of x. Additions and products with
public numbers act on each share alone. The types refuse whatever would let a share out by accident: printing,
comparing, branching, iterating, conversion to an array, pickling. Only the protocols of this package read `words`.
"""

from typing import TYPE_CHECKING, Self

import numpy as np

from components.mpc.fixed_point import encode
from components.mpc.ring import require_words, word

if TYPE_CHECKING:
    from components.mpc.engine import Engine


class _Hidden:
    """What both kinds of sharing refuse."""

    __slots__ = ("engine", "words")
    __hash__ = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'x'.join(map(str, self.shape)) or 'scalar'}>"

    def _refuse(self, *_, **__):
        raise TypeError("a secret-shared value can be neither seen, compared, branched on nor stored; use a protocol")

    __str__ = __repr__
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __bool__ = __int__ = __float__ = __index__ = __iter__ = __array__ = __reduce__ = __reduce_ex__ = _refuse
    __format__ = lambda self, _: repr(self)  # noqa: E731

    def __len__(self) -> int:
        return len(self.words)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.words.shape

    @property
    def size(self) -> int:
        return self.words.size


class Shared(_Hidden):
    """An array of additively shared fixed-point numbers: this party's `words` and the public `fraction` bits."""

    __slots__ = ("fraction",)

    def __init__(self, engine: "Engine", words: np.ndarray, fraction: int):
        self.engine, self.words, self.fraction = engine, require_words(words), fraction

    def _like(self, words: np.ndarray) -> Self:
        return Shared(self.engine, words, self.fraction)

    def __add__(self, other: "Shared | float | np.ndarray") -> "Shared":
        if isinstance(other, Shared):
            if other.fraction != self.fraction:
                raise TypeError(f"adding numbers of {self.fraction} and {other.fraction} fraction bits")
            return self._like(self.words + other.words)
        # A public number is added once, by the first party.
        public = encode(other, self.fraction)
        if self.engine.party == 0:
            return self._like(self.words + public)
        return self._like(np.broadcast_to(self.words, np.broadcast_shapes(self.shape, public.shape)))

    __radd__ = __add__

    def __neg__(self) -> "Shared":
        return self._like(np.uint64(0) - self.words)

    def __sub__(self, other: "Shared | float | np.ndarray") -> "Shared":
        if isinstance(other, Shared):
            return self + -other
        return self + -np.asarray(other, dtype=np.float64)

    def __rsub__(self, other: "float | np.ndarray") -> "Shared":
        return -self + other

    def times(self, factor: int | np.ndarray) -> "Shared":
        """Product with public integers (int64 or uint64), exact; the fraction bits stay."""
        factors = word(factor) if isinstance(factor, int) else np.asarray(factor).astype(np.int64).view(np.uint64)
        return self._like(self.words * factors)

    def rescaled(self, fraction: int) -> "Shared":
        """The same words read with another number of fraction bits: a product with a public power of two."""
        return Shared(self.engine, self.words, fraction)

    def widened(self, fraction: int) -> "Shared":
        """The same numbers with more fraction bits."""
        return Shared(self.engine, self.words << np.uint64(fraction - self.fraction), fraction)

    def __getitem__(self, key) -> "Shared":
        return self._like(np.atleast_1d(self.words[key]) if np.ndim(self.words[key]) == 0 else self.words[key])

    def reshape(self, *shape) -> "Shared":
        return self._like(self.words.reshape(*shape))

    def sum(self, axis: int) -> "Shared":
        return self._like(self.words.sum(axis=axis, dtype=np.uint64))

    def cumsum(self, axis: int) -> "Shared":
        return self._like(np.cumsum(self.words, axis=axis, dtype=np.uint64))


def concatenate(parts: "list[Shared]", axis: int = 0) -> Shared:
    """Parts of one fraction, joined along an axis."""
    first = parts[0]
    if {part.fraction for part in parts} != {first.fraction}:
        raise TypeError("joining numbers of different fraction bits")
    return Shared(first.engine, np.concatenate([part.words for part in parts], axis=axis), first.fraction)


class SharedBits(_Hidden):
    """An array of bits shared by exclusive or, one a byte: b = b_0 ^ … ^ b_{N-1}."""

    __slots__ = ()

    def __init__(self, engine: "Engine", words: np.ndarray):
        if words.dtype != np.uint8:
            raise TypeError(f"shared bits are uint8, these are {words.dtype}")
        self.engine, self.words = engine, words

    def __xor__(self, other: "SharedBits") -> "SharedBits":
        return SharedBits(self.engine, self.words ^ other.words)

    def __invert__(self) -> "SharedBits":
        return SharedBits(self.engine, self.words ^ np.uint8(self.engine.party == 0))

    def __getitem__(self, key) -> "SharedBits":
        return SharedBits(self.engine, self.words[key])

    def reshape(self, *shape) -> "SharedBits":
        return SharedBits(self.engine, self.words.reshape(*shape))


def concatenate_bits(parts: "list[SharedBits]", axis: int = 0) -> SharedBits:
    """Parts joined along an axis."""
    return SharedBits(parts[0].engine, np.concatenate([part.words for part in parts], axis=axis))
