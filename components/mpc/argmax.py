"""The largest of shared numbers, as a shared one-hot vector or a shared number; ties go to the lowest index.

A tournament: in groups of k all pairs are compared at once, i wins if it beats every other of its group (one product of
k - 1 bits), and the winner's value x_0 + Σ_{i>0} w_i (x_i - x_0) goes on. Afterwards the place of the champion is
multiplied down: an entry is marked if it won in its group at every stage. All rows and groups share the same rounds.

k = 4 makes two comparisons for each entry eliminated (k = 2 one, k = 8 four) and takes five rounds a stage. As soon as
all pairs of k = 8 or 16 are few enough that rounds cost more than comparisons, groups grow.
Source: tournaments as in Deforth et al., PoPETs 2022(4); all pairs of a group at once: this project's.
"""

import math
from itertools import combinations

import numpy as np

from components.mpc.bits import conjunction_of
from components.mpc.compare import negative_within
from components.mpc.ring import BITS
from components.mpc.select import select
from components.mpc.shared import Shared, SharedBits

FEW = 4096
"""Comparisons that cost about as much as a round between machines of one network."""


def first_maximum(values: Shared, *, site: str = "argmax", bits: int = BITS) -> SharedBits:
    """One-hot bits (nodes, m) of the largest of each row of `values` (nodes, m), the first of equal ones.

    Differences of two values of a row, in words, must lie within ±2^(bits-1): fewer bits, fewer digits to compare.
    """
    size = values.shape[1]
    if size == 1:
        return ~SharedBits(values.engine, np.zeros(values.shape, dtype=np.uint8))
    _, stages = _tournament(values, bits, site, last=False)
    # Of each entry, whether it won at stage s, and whether its group's winner did at stage s + 1, …
    marks = []
    for stage in range(len(stages)):
        wins, width = stages[stage], math.prod(group.shape[2] for group in stages[:stage])
        flat = wins.words.reshape(len(wins), -1)
        marks.append(SharedBits(values.engine, np.repeat(flat, width, axis=1)[:, :size]))
    return conjunction_of(marks, site=f"{site}.mark")


def maximum(values: Shared, *, site: str = "maximum", bits: int = BITS) -> Shared:
    """The largest of each row of (nodes, m), (nodes,)."""
    return _tournament(values, bits, site, last=True)[0][:, 0] if values.shape[1] > 1 else values[:, 0]


def _tournament(values: Shared, bits: int, site: str, *, last: bool) -> tuple[Shared | None, list[SharedBits]]:
    """The largest of each row, (nodes, 1), if `last`; and for each stage who won its group, (nodes, groups, k)."""
    stages = []
    while values.shape[1] > 1:
        arity = _arity(*values.shape)
        grouped = _grouped(values, arity)
        wins = _winners(grouped, bits, site)
        if grouped.shape[1] == 1 and not last:
            return None, [*stages, wins]
        first = grouped[:, :, :1]
        ahead = Shared(values.engine, grouped.words[:, :, 1:] - first.words, values.fraction)
        values = first[:, :, 0] + select(wins[:, :, 1:], ahead, site=f"{site}.select").sum(axis=2)
        stages.append(wins)
    return values, stages


def _arity(nodes: int, size: int) -> int:
    """Entries of a group: as many as keep the comparisons of the stage few, four at least, or all there are."""
    for arity in (size, 16, 8):
        if arity <= 24 and nodes * -(-size // arity) * math.comb(arity, 2) <= FEW:
            return min(arity, size)
    return min(4, size)


def _grouped(values: Shared, arity: int) -> Shared:
    """(nodes, groups, arity); the last group is filled up with its own first entry, which no later copy can beat."""
    nodes, size = values.shape
    groups = -(-size // arity)
    words = values.words
    if groups * arity > size:
        copies = np.repeat(words[:, [(groups - 1) * arity]], groups * arity - size, axis=1)
        words = np.concatenate([words, copies], axis=1)
    return Shared(values.engine, words.reshape(nodes, groups, arity), values.fraction)


def _winners(grouped: Shared, bits: int, site: str) -> SharedBits:
    """Who beats everyone else of its group, one-hot, (nodes, groups, k)."""
    engine, arity = grouped.engine, grouped.shape[2]
    pairs = list(combinations(range(arity), 2))
    lower, higher = (list(side) for side in zip(*pairs, strict=True))
    words = np.moveaxis(grouped.words, 2, 0)
    beaten = negative_within(
        Shared(engine, words[lower] - words[higher], grouped.fraction), bits, site=f"{site}.compare"
    )
    # First [x_i >= x_j] of every pair, then [x_j > x_i]: row i of `won` says where i against each other is.
    either = np.concatenate([(~beaten).words, beaten.words])
    place = {pair: at for at, pair in enumerate(pairs)} | {pair[::-1]: at + len(pairs) for at, pair in enumerate(pairs)}
    won = np.array([[place[i, j] for j in range(arity) if j != i] for i in range(arity - 1)])
    every = conjunction_of([SharedBits(engine, either[column]) for column in won.T], site=f"{site}.win")
    # Someone always wins, so the last bit is what the others leave.
    last = np.bitwise_xor.reduce(every.words, axis=0) ^ np.uint8(engine.party == 0)
    return SharedBits(engine, np.ascontiguousarray(np.moveaxis(np.concatenate([every.words, last[None]]), 0, 2)))
