"""Histograms: sums of shared vectors over the rows in each bin of each feature, the bins known to one party.

That is x M for the indicator matrix M of (n, F B), and `owned_matrix` could do it at n F B products a vector (mode
"dense"; right for few bins). Mode "permutation" costs n F words instead and shows as little. With owner i, others j:

*Once a block.* A chunk is `cap` places, all of one bin; K = ⌈n / cap⌉ + B chunks hold the rows of every feature
whatever the sizes of its bins, for Σ_b ⌈n_b / cap⌉ ≤ K. For each feature the dealer and the owner draw a uniform
permutation ρ of Q = K cap slots: row k lies in slot ρ(k), further slots are empty. The owner gives each row a place in
a chunk of its bin and the empty slots what is left, and tells the others τ, the chunk of each slot: τ(ρ(k)) = c(k).
Whatever the balanced c, and hence whatever the bins, τ = c ∘ ρ⁻¹ is uniform among the maps with `cap` slots in each
chunk, since ρ is uniform and unknown to them; order within a chunk never shows, as a chunk is only ever summed.
Which chunk is of which bin remains the owner's secret: an `OwnedMatrix` C of (K, B) a feature.
In matrices: M = P_ρ T_τ C, with P known to owner and dealer, T to all parties, C to the owner.

*A product.* As in `owned_matrix`, with a fresh r_j of each j (one for all features), r = Σ_j r_j: the owner is sent
d_j = x_j - r_j, sums x - r over its bins in plain, and what is missing are shares of r M = (r P T) C. The dealer lays r
in the slots (r P, zero where empty) and sends the owner Δ = r P + Σ_j s_j, masked by fresh s_j of the others, a word a
slot. Sums over chunks are local: [r P T] is Δ T at the owner and -s_j T at j. Then comes the product with C. It does
not depend on x, so its masked words travel with d_j: one round for everything.

Nothing is rounded. With v vectors: v (n + F K) words online from each party but the owner; v F (Q + B) words dealt;
v F Q words of keystream at each party but the owner, N - 1 times that at the dealer, and v F K B products at each.
Source: the permutation of Deforth et al., PoPETs 2022(4), section 4, with chunks that keep the sizes of bins secret.
"""

from collections.abc import Sequence
from functools import partial
from typing import Literal

import numpy as np

from components.mpc.chunks import chunk_capacity, fill_chunks, lay, one_hot, sum_by
from components.mpc.engine import Engine
from components.mpc.owned_matrix import OwnedMatrix, from_owners, publish, random_product, to_owners
from components.mpc.ring import WORD
from components.mpc.shared import Shared

Mode = Literal["permutation", "dense"]

PIECE = 1 << 16
"""Words of keystream at once; they stay in the second cache."""


class OwnedBins:
    """The bins (rows, features) of a block, in plain at their owner only.

    Parameters
    ----------
    bins : of (rows, features) uint16, below `bin_count`; None at all but the owner.
    site : name of the two rounds in which the block is made known; None if `own_bins` does it for several.
    """

    def __init__(
        self,
        engine: Engine,
        owner: int,
        bins: np.ndarray | None,
        rows: int,
        features: int,
        bin_count: int,
        *,
        site: str | None,
        mode: Mode = "permutation",
    ):
        self.owner, self.rows, self.features, self.bin_count, self.mode = owner, rows, features, bin_count, mode
        self.bins = None
        if engine.party == owner:
            if bins.shape != (rows, features) or (bins.size and bins.max() >= bin_count):
                highest = bins.max(initial=0)
                raise ValueError(f"bins {bins.shape} up to {highest} owned as {rows, features} below {bin_count}")
            self.bins = np.ascontiguousarray(bins.T, dtype=np.uint16)
        if mode == "dense":
            indicators = None if self.bins is None else one_hot(bins, bin_count).reshape(rows, -1)
            self.matrix = OwnedMatrix(engine, owner, indicators, (rows, features * bin_count), site=None)
        else:
            self.capacity = chunk_capacity(rows)
            self.chunks = -(-rows // self.capacity) + bin_count
            self.slots = self.chunks * self.capacity
            self._permute(engine)
        if site is not None:
            _publish(engine, [self], site)

    def _permute(self, engine: Engine) -> None:
        features, chunks, slots = self.features, self.chunks, self.slots
        if self.bins is not None:
            self.chunk_of_slot = np.empty((features, slots), dtype=np.uint32)
            self.bin_of_chunk = np.empty((features, chunks), dtype=np.uint32)
        if engine.deals:
            self.row_of_slot = np.full((features, slots), self.rows, dtype=np.uint32)
        for feature in range(features):
            permutation = engine.private_permutation(self.owner, slots)
            if engine.deals:
                self.row_of_slot[feature, permutation[: self.rows]] = np.arange(self.rows, dtype=np.uint32)
            elif self.bins is not None:
                chunk_of_place, self.bin_of_chunk[feature] = fill_chunks(
                    self.bins[feature], self.bin_count, self.capacity, chunks
                )
                self.chunk_of_slot[feature, permutation] = chunk_of_place
        indicators = None if self.bins is None else one_hot(self.bin_of_chunk, self.bin_count)
        self.matrix = OwnedMatrix(engine, self.owner, indicators, (features, chunks, self.bin_count), site=None)

    def _map_term(self) -> tuple[int, np.ndarray | None, tuple[int, ...]]:
        # What the others are told of the slots, as `from_owners` wants it.
        words = None
        if self.bins is not None:
            octets = self.chunk_of_slot.astype(self._map_dtype()).reshape(-1).view(np.uint8)
            words = np.zeros(self._map_words() * WORD.itemsize, dtype=np.uint8)
            words[: len(octets)] = octets
            words = words.view(WORD)
        return self.owner, words, (self._map_words(),)

    def _learn_map(self, words: np.ndarray | None) -> None:
        if words is not None:
            maps = words.view(self._map_dtype())[: self.features * self.slots]
            self.chunk_of_slot = maps.reshape(self.features, self.slots).astype(np.uint32)
        # From here on chunks are counted through all features, so that the slots are one long list.
        self.chunk_of_slot += (np.arange(self.features, dtype=np.uint32) * np.uint32(self.chunks))[:, None]

    def _map_dtype(self):
        return np.uint16 if self.chunks <= 1 << 16 else np.uint32

    def _map_words(self) -> int:
        return -(-self.features * self.slots * np.dtype(self._map_dtype()).itemsize // WORD.itemsize)


def own_bins(
    engine: Engine,
    described: Sequence[tuple[int, np.ndarray | None, int, int, int, Mode]],
    *,
    site: str,
) -> list[OwnedBins]:
    """Several blocks (owner, bins or None elsewhere, rows, features, bin_count, mode), made known together.

    One round for the masked matrices and one, `site`.map, for the maps τ: the only words of this protocol that are not
    uniform on all of the ring.
    """
    blocks = [OwnedBins(engine, *description, mode=mode, site=None) for *description, mode in described]
    _publish(engine, blocks, site)
    return blocks


def histograms(engine: Engine, products: Sequence[tuple[OwnedBins, Shared]], *, site: str) -> list[Shared]:
    """Sums of each vector over the rows in each bin: x of (v, rows) gives (v, features, bin_count). One round."""
    prepared = [
        (_dense_masks if block.mode == "dense" else _permuted_masks)(engine, block, x.shape[0]) for block, x in products
    ]
    if engine.deals:
        return [engine.zeros((x.shape[0], block.features, block.bin_count), x.fraction) for block, x in products]
    terms = []
    for (mask, hidden, _), (block, x) in zip(prepared, products, strict=True):
        by_row = np.ascontiguousarray(x.words.T)
        terms.append((block.owner, by_row if mask is None else by_row - mask))
        if hidden is not None:
            terms.append((block.owner, hidden))
    totals = iter(to_owners(engine, site, terms))
    results = []
    for (_, hidden, share), (block, x) in zip(prepared, products, strict=True):
        by_row = next(totals)
        sums = None if hidden is None else next(totals)
        if by_row is not None:
            share = share + _plain_histogram(block, by_row, sums)
        results.append(Shared(engine, np.ascontiguousarray(np.moveaxis(share, -1, 0)), x.fraction))
    return results


def cheaper_mode(rows: int, features: int, bin_count: int) -> Mode:
    """The mode of fewer CPU seconds, all parties and the dealer together, among those of reasonable memory."""
    indicators = rows * features * bin_count * WORD.itemsize
    return "dense" if bin_count <= DENSE_BINS and indicators <= DENSE_BYTES else "permutation"


DENSE_BINS = 16
"""Up to here n F B products cost less than n F words of keystream, twice over."""

DENSE_BYTES = 1 << 30
"""The masked indicators a party and the dealer keep in mode "dense"."""


def _dense_masks(engine: Engine, block: OwnedBins, vectors: int):
    mask, share = random_product(engine, block.matrix, vectors)
    share = share.reshape(vectors, block.features, block.bin_count)
    return None if mask is None else mask.T, None, np.moveaxis(share, 0, -1)


def _permuted_masks(engine: Engine, block: OwnedBins, vectors: int):
    # r (rows, v), the sums of [r P] over chunks masked for the owner, and shares of r M (features, bins, v).
    owner, chunks = block.owner, block.chunks
    mask = engine.uniform_except(owner, (block.rows, vectors))
    # Empty slots count as one more row, of mask zero.
    laid = np.concatenate([mask, np.zeros((1, vectors), dtype=WORD)]).reshape(-1) if engine.deals else None
    sums = np.zeros(block.features * chunks * vectors, dtype=WORD)
    places = (block.row_of_slot if engine.deals else block.chunk_of_slot).reshape(-1)
    step = max(1, PIECE // vectors)
    for start in range(0, len(places), step):
        piece = places[start : start + step]
        fresh = engine.uniform_except(owner, (len(piece) * vectors,))
        delta = engine.dealt_to(owner, partial(lay, fresh, laid, piece, vectors), (len(piece) * vectors,))
        if not engine.deals:
            sum_by(piece, fresh if delta is None else delta, sums, vectors)
    chunk_mask, share = random_product(engine, block.matrix, vectors)
    share = np.moveaxis(share, 1, -1)
    if engine.deals:
        return mask, None, share
    hidden = np.moveaxis(sums.reshape(block.features, chunks, vectors), -1, 1)
    if engine.party != owner:
        hidden = np.uint64(0) - hidden - chunk_mask
    return mask, hidden, share


def _plain_histogram(block: OwnedBins, by_row: np.ndarray, sums: np.ndarray | None) -> np.ndarray:
    # The owner's own work: (rows, v), and sums over chunks (features, v, chunks), to (features, bins, v).
    vectors = by_row.shape[1]
    totals = np.zeros((block.features, block.bin_count + 1, vectors), dtype=WORD)
    for feature in range(block.features):
        total = totals[feature].reshape(-1)
        sum_by(block.bins[feature], by_row.reshape(-1), total, vectors)
        if sums is not None:
            sum_by(block.bin_of_chunk[feature], np.ascontiguousarray(sums[feature].T).reshape(-1), total, vectors)
    return totals[:, :-1]


def _publish(engine: Engine, blocks: Sequence[OwnedBins], site: str) -> None:
    if engine.deals:
        return
    publish(engine, [block.matrix for block in blocks], f"{site}.matrix")
    permuted = [block for block in blocks if block.mode == "permutation"]
    if permuted:
        maps = from_owners(engine, f"{site}.map", [block._map_term() for block in permuted])
        for block, words in zip(permuted, maps, strict=True):
            block._learn_map(words)
