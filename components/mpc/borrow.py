"""The sign of a masked number: of c - r for a public word c and a mask r known to the dealer.

The sign of c - r is c_top ^ r_top ^ [c' < r'], where c' and r' are the words without their top bit. For each 4-bit
digit r_d the dealer shares, by exclusive or, the 16-bit table L_d whose bit v is [v < r_d]. At the digit v of c

    lt(v) = bit v of L_d,    eq(v) = [v - 1 < r_d] ^ [v < r_d] = bit v-1 ^ bit v    (for v = 0: 1 ^ bit 0)

are local look-ups, whatever public number was added to c before: one mask serves any number of thresholds. Bit 15 of a
table is always zero, so the top digit's carries r_top. Digits are then joined four at a time, the highest first,

    lt = lt3 ^ eq3 lt2 ^ eq3 eq2 lt1 ^ eq3 eq2 eq1 lt0,    eq = eq3 eq2 eq1 eq0,

all in one round, with dealt products of the masks (see `bits`); sixteen digits take two rounds and open 33 bits. Bits
of 64 elements are kept in one word throughout, so a gate costs a 64th of an instruction.
Source: Damgård et al., TCC 2006 (comparison with a shared mask); tables of a dealer: Ishai et al., TCC 2013.
"""

from functools import cache

import numpy as np
from numba import njit

from components.mpc.engine import Engine
from components.mpc.shared import SharedBits

DIGIT, ARITY, LANES = 4, 4, 64

# Factors of a group of four digits: 0-3 are lt0-lt3, 4-7 are eq0-eq3; lt3 is never multiplied.
_FACTORS = (0, 1, 2, 4, 5, 6, 7)
_PRODUCTS = (
    *((7, 6), (7, 5), (6, 5), (7, 6, 5)),
    *((2, 7), (1, 7), (1, 6), (1, 7, 6)),
    *((tail, *others) for tail in (0, 4) for others in ((7,), (6,), (5,), (7, 6), (7, 5), (6, 5), (7, 6, 5))),
)


def deal_digits(engine: Engine, mask: np.ndarray, bits: int, *, skipped: int = 0) -> np.ndarray:
    """Shares of the digit tables of `mask` (n,), any unsigned type, for numbers of `bits` bits; (digits, n) uint16.

    The `skipped` lowest digits are left out: then c - r counts as nonnegative from -16^skipped on.
    """
    shape = (-(-(bits - 1) // DIGIT) - skipped, len(mask))
    return engine.dealt_bits(lambda: _tables(mask.astype(np.uint64), bits, skipped, shape[0]), shape, np.uint16)


def negative_differences(
    engine: Engine, tables: np.ndarray, opened: np.ndarray | None, thresholds: np.ndarray, bits: int, *, site: str
) -> SharedBits:
    """Bits [c - t - r < 0], (T, n), of public words c (n,) and t (T,), modulo 2^bits; two rounds for 64 bits.

    The dealer, who sees no `opened` word, gives None.
    """
    digits, size = tables.shape
    skipped = -(-(bits - 1) // DIGIT) - digits
    words = len(thresholds) * -(-size // LANES)
    first = np.uint64(0 if engine.party else 0xFFFFFFFFFFFFFFFF)
    lt = np.zeros((digits, words), dtype=np.uint64)
    eq, sign = np.zeros_like(lt), np.zeros(words, dtype=np.uint64)
    if not engine.deals:
        _look_up(tables, opened.astype(np.uint64, copy=False), thresholds, bits, skipped, first != 0, lt, eq, sign)
    while len(lt) > 1:
        lt, eq = _join(engine, lt, eq, first, site)
    if engine.deals:
        return SharedBits(engine, np.zeros((len(thresholds), size), dtype=np.uint8))
    octets = (sign ^ lt[0]).view(np.uint8).reshape(len(thresholds), -1)
    return SharedBits(engine, np.unpackbits(octets, axis=1, bitorder="little", count=size))


def _join(engine: Engine, lt: np.ndarray, eq: np.ndarray, first: np.uint64, site: str) -> tuple[np.ndarray, np.ndarray]:
    """One level of the tree: (digits, words) of lt and eq to a quarter as many. One round."""
    groups, words = -(-len(lt) // ARITY), lt.shape[1]
    state = np.zeros((groups, 2 * ARITY, words), dtype=np.uint64)
    state[:, ARITY:] = first
    for digit in range(len(lt)):
        state[digit // ARITY, digit % ARITY], state[digit // ARITY, ARITY + digit % ARITY] = lt[digit], eq[digit]
    rows, sets, factors = _needed(len(lt))
    masks, products = np.zeros_like(state), np.zeros((groups, len(_PRODUCTS), words), dtype=np.uint64)
    drawn = engine.uniform_bits((len(rows[0]), words), np.uint64)
    masks[rows] = drawn
    dealt = engine.dealt_bits(lambda: _multiply(masks, sets[0], factors), (len(factors), words), np.uint64)
    if engine.deals:
        return lt[:groups], eq[:groups]
    products[sets] = dealt
    opened = np.zeros_like(state)
    opened[:, ARITY:] = np.uint64(0xFFFFFFFFFFFFFFFF)
    (opened[rows],) = engine.open_bits(site, state[rows] ^ drawn)
    joined = np.empty((2, groups, words), dtype=np.uint64)
    _evaluate(state, opened, masks, products, first, joined)
    return joined[0], joined[1]


@cache
def _needed(digits: int) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...], np.ndarray]:
    """What must be opened, as (group, factor), and multiplied, as (group, product) and the product's four factors.

    A digit beyond the top is the constant (0, 1), and no one reads the lowest eq.
    """
    rows = [
        (group, factor)
        for group in range(-(-digits // ARITY))
        for factor in _FACTORS
        if group * ARITY + factor % ARITY < digits and (group, factor) != (0, ARITY)
    ]
    sets = [
        (group, index)
        for group in range(-(-digits // ARITY))
        for index, factors in enumerate(_PRODUCTS)
        if all((group, factor) in rows for factor in factors)
    ]
    factors = [(_PRODUCTS[index] * ARITY)[:ARITY] for _, index in sets]
    return tuple(np.array(rows).T), tuple(np.array(sets).T), np.array(factors)


@njit(cache=True, nogil=True)
def _multiply(masks, groups, factors):
    products = np.empty((len(factors), masks.shape[2]), dtype=np.uint64)
    for index in range(len(factors)):
        own = masks[groups[index]]
        a, b, c, d = factors[index, 0], factors[index, 1], factors[index, 2], factors[index, 3]
        for w in range(masks.shape[2]):
            products[index, w] = own[a, w] & own[b, w] & own[c, w] & own[d, w]
    return products


@njit(cache=True, nogil=True)
def _tables(mask, bits, skipped, digits):
    tables = np.empty((digits, len(mask)), dtype=np.uint16)
    low = (np.uint64(1) << np.uint64(bits - 1)) - np.uint64(1)
    for d in range(digits):
        shift = np.uint64(4 * (d + skipped))
        for i in range(len(mask)):
            digit = ((mask[i] & low) >> shift) & np.uint64(15)
            tables[d, i] = np.uint16((np.uint64(1) << digit) - np.uint64(1))
    for i in range(len(mask)):
        tables[digits - 1, i] |= np.uint16(((mask[i] >> np.uint64(bits - 1)) & np.uint64(1)) << np.uint64(15))
    return tables


@njit(cache=True, nogil=True)
def _look_up(tables, opened, thresholds, bits, skipped, first, lt, eq, sign):
    one, low = np.uint64(1), (np.uint64(1) << np.uint64(bits - 1)) - np.uint64(1)
    digits, size = tables.shape
    blocks = -(-size // 64)
    complement = one if first else np.uint64(0)
    c = np.empty(64, dtype=np.uint64)
    for t in range(len(thresholds)):
        for block in range(blocks):
            start = block * 64
            length = min(64, size - start)
            word = t * blocks + block
            signs = np.uint64(0)
            for i in range(length):
                difference = opened[start + i] - thresholds[t]
                top = (difference >> np.uint64(bits - 1)) & complement
                signs |= (top ^ np.uint64(tables[digits - 1, start + i] >> 15)) << np.uint64(i)
                c[i] = difference & low
            sign[word] = signs
            for d in range(digits):
                shift = np.uint64(4 * (d + skipped))
                less, equal = np.uint64(0), np.uint64(0)
                for i in range(length):
                    table = np.uint64(tables[d, start + i]) & np.uint64(0x7FFF)
                    v = (c[i] >> shift) & np.uint64(15)
                    less |= ((table >> v) & one) << np.uint64(i)
                    equal |= (((table ^ (table << one) ^ complement) >> v) & one) << np.uint64(i)
                lt[d, word] = less
                eq[d, word] = equal


@njit(cache=True, nogil=True)
def _evaluate(state, opened, masks, products, first, joined):
    for g in range(state.shape[0]):
        m, a, p = opened[g], masks[g], products[g]
        for w in range(state.shape[2]):
            m5, m6, m7 = m[5, w], m[6, w], m[7, w]
            # Products of eq3, eq2, eq1 alone, folded one factor after the other: E7 = eq3, E76, E765.
            e7 = (m7 & first) ^ a[7, w]
            s6 = (m7 & a[6, w]) ^ p[0, w]
            s5 = (m7 & a[5, w]) ^ p[1, w]
            s65 = (m7 & p[2, w]) ^ p[3, w]
            e76 = (m6 & e7) ^ s6
            e765 = (m5 & e76) ^ (m6 & s5) ^ s65
            less = state[g, 3, w] ^ (m[2, w] & e7) ^ (m7 & a[2, w]) ^ p[4, w]
            less ^= (m[1, w] & e76) ^ (m6 & ((m7 & a[1, w]) ^ p[5, w])) ^ (m7 & p[6, w]) ^ p[7, w]
            for tail in range(2):
                f, q = 4 * tail, 8 + 7 * tail
                s = (m7 & a[f, w]) ^ p[q, w]
                s6 = (m7 & p[q + 1, w]) ^ p[q + 3, w]
                s5 = (m7 & p[q + 2, w]) ^ p[q + 4, w]
                s65 = (m7 & p[q + 5, w]) ^ p[q + 6, w]
                whole = (m[f, w] & e765) ^ (m5 & ((m6 & s) ^ s6)) ^ (m6 & s5) ^ s65
                if tail == 0:
                    joined[0, g, w] = less ^ whole
                else:
                    joined[1, g, w] = whole
