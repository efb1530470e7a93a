"""Shared bits: their products, and their way into the ring.

*Conjunction*, for any number of factors (1 round for up to four; 1 bit a factor online). With dealt masks a_i shared by
exclusive or and shares of all their products a_U, U a set of factors, open m_i = b_i ^ a_i. Then the product of all
b_i = m_i ^ a_i is Σ_U a_U Π_{i not in U} m_i, linear in what is shared; two factors are Beaver's triple.

*Arithmetic* (1 round, 1 bit online; 8 bytes offline). With a dealt random bit ρ shared both ways open v = b ^ ρ; then
b = v + (1 - 2v) ρ.

What is opened is masked by fresh uniform bits, eight packed to an octet; the padding of the last octet is masked too.
Source: Beaver, CRYPTO 1991; more factors: Couteau, EUROCRYPT 2019; conversion: Damgård et al., TCC 2006.
"""

from collections.abc import Sequence

import numpy as np
from numba import njit

from components.mpc.engine import Engine
from components.mpc.shared import Shared, SharedBits

FACTORS = 4
"""Most factors multiplied in one round; their masks have 2^FACTORS - FACTORS - 1 products to deal."""


def packed_size(bits: int) -> int:
    """Octets that hold so many bits."""
    return -(-bits // 8)


def pack(bits: np.ndarray) -> np.ndarray:
    """Bits (any shape, 0 or 1) as octets, (packed_size,)."""
    return np.packbits(bits.reshape(-1))


def unpack(octets: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The bits of `pack`, in their shape."""
    return np.unpackbits(octets, count=int(np.prod(shape, dtype=np.int64))).reshape(shape)


def conjunction(a: SharedBits, b: SharedBits, *, site: str = "conjunction") -> SharedBits:
    """Elementwise a & b of shapes that broadcast. One round."""
    return conjunction_of([a, b], site=site)


def conjunction_of(factors: Sequence[SharedBits], *, site: str = "conjunction") -> SharedBits:
    """Elementwise product of shared bits whose shapes broadcast; a round for every power of `FACTORS`."""
    factors = list(factors)
    while len(factors) > 1:
        groups = [factors[start : start + FACTORS] for start in range(0, len(factors), FACTORS)]
        factors = [group[0] for group in groups if len(group) == 1]
        factors = _products([group for group in groups if len(group) > 1], site) + factors
    return factors[0]


def _products(groups: list[list[SharedBits]], site: str) -> list[SharedBits]:
    """The product of each group, all in one round."""
    engine = groups[0][0].engine
    shapes = [np.broadcast_shapes(*(factor.shape for factor in group)) for group in groups]
    masks, tables = [], []
    for group, shape in zip(groups, shapes, strict=True):
        size = packed_size(int(np.prod(shape, dtype=np.int64)))
        mask = engine.uniform_bits((len(group), size))
        products = engine.dealt_bits(lambda mask=mask: _mask_products(mask), (2 ** len(group) - len(group) - 1, size))
        masks.append(mask)
        tables.append(products)
    if engine.deals:
        return [SharedBits(engine, np.zeros(shape, dtype=np.uint8)) for shape in shapes]
    masked = [
        np.stack([pack(np.broadcast_to(factor.words, shape)) for factor in group]) ^ mask
        for group, shape, mask in zip(groups, shapes, masks, strict=True)
    ]
    opened = engine.open_bits(site, *masked)
    return [
        SharedBits(engine, unpack(_product(public, mask, table, engine.party == 0), shape))
        for public, mask, table, shape in zip(opened, masks, tables, shapes, strict=True)
    ]


def _mask_products(mask: np.ndarray) -> np.ndarray:
    """Products over every set of two or more factors, ordered by the set read as a binary number."""
    sets = [chosen for chosen in range(1 << len(mask)) if chosen.bit_count() > 1]
    return np.stack([np.bitwise_and.reduce(mask[[i for i in range(len(mask)) if chosen >> i & 1]]) for chosen in sets])


def _product(opened: np.ndarray, mask: np.ndarray, products: np.ndarray, first: bool) -> np.ndarray:
    """This party's share of Π (m_i ^ a_i), folding one factor after another into the table of mask products."""
    rest = iter(products)
    table = [np.full(mask.shape[1:], 255 if first else 0, dtype=np.uint8)]
    table += [
        mask[chosen.bit_length() - 1] if chosen.bit_count() == 1 else next(rest) for chosen in range(1, 1 << len(mask))
    ]
    for public in opened[::-1]:
        half = len(table) // 2
        table = [(public & without) ^ having for without, having in zip(table[:half], table[half:], strict=True)]
    return table[0]


def arithmetic(bits: SharedBits, *, site: str = "arithmetic") -> Shared:
    """Shared bits as ring elements 0 and 1 of no fraction bits. One round."""
    engine, shape = bits.engine, bits.shape
    mask = engine.uniform_bits((packed_size(bits.size),))
    rho = engine.dealt(lambda: unpack(mask, shape).astype(np.uint64), shape)
    if engine.deals:
        return engine.zeros(shape, 0)
    (opened,) = engine.open_bits(site, pack(bits.words) ^ mask)
    return from_opened(engine, unpack(opened, shape), rho)


def from_opened(engine: Engine, v: np.ndarray, rho: np.ndarray) -> Shared:
    """v + (1 - 2v) ρ, the ring elements of bits b = v ^ ρ."""
    words = _from_opened(v.reshape(-1), np.ascontiguousarray(rho).reshape(-1), engine.party == 0)
    return Shared(engine, words.reshape(v.shape), 0)


@njit(cache=True, nogil=True)
def _from_opened(v, rho, first):
    words = np.empty(len(v), dtype=np.uint64)
    for i in range(len(v)):
        bit = np.uint64(v[i])
        words[i] = (rho[i] ^ (np.uint64(0) - bit)) + bit  # -ρ = (ρ ^ all ones) + 1
        if first:
            words[i] += bit
    return words
