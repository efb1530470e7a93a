"""Products of shared vectors with a matrix that one party knows: x M for shared x, and M of small integers.

In every split of a table the features of a block of rows belong to somebody, so the indicator matrix of the block needs
no sharing. Let i be the owner and j any other party.

*Once a matrix.* A is uniform, known to i and the dealer. The owner sends E = M - A to all others: one round, and E is
uniform for them as A is.

*A product.* Each j draws a fresh uniform r_j; the dealer, who knows r = Σ_j r_j, deals shares of z = r A. Since
r M = r E + r A, the parties hold shares of r M: z_j + r_j E, and z_i for the owner. Each j sends the owner
d_j = x_j - r_j, one round for any number of products and owners; the owner computes (x_i + Σ_j d_j) M = (x - r) M on
its own and adds it to its share, which gives

    (x_i + Σ_j d_j) M + z_i  +  Σ_j (r_j E + z_j)  =  (x - r) M + r E + r A  =  x M.

Only the owner receives something online, d_j, masked by r_j that is used once. E may serve any number of products.
Nothing is rounded: fraction bits stay those of x.

Cost for x of (v, n) and M of (n, m): one round; v n words online from each party but the owner; v m words dealt; v n m
products at each of N - 1 parties and at the dealer. The plain product is the owner's alone.
Source: Beaver, CRYPTO 1991, with a factor known to one party (as in Mohassel, Zhang, S&P 2017, section IV-E, where the
mask of a fixed matrix is likewise used again).
"""

from collections.abc import Sequence

import numpy as np
from numba import njit

from components.mpc.engine import Engine
from components.mpc.ring import matmul
from components.mpc.shared import Shared

Shape = tuple[int, ...]


class OwnedMatrix:
    """Small integers (n, m), or blocks of them (k, n, m), in plain at their owner and masked everywhere else.

    `pad` is A at the dealer and E at the other parties.
    """

    def __init__(self, engine: Engine, owner: int, matrix: np.ndarray | None, shape: Shape, *, site: str | None):
        self.owner, self.shape, self.matrix = owner, tuple(shape), None
        self.pad = engine.private(owner, self.shape)
        if engine.party == owner:
            if np.shape(matrix) != self.shape:
                raise ValueError(f"a matrix of shape {np.shape(matrix)} owned as {self.shape}")
            self.matrix = np.ascontiguousarray(matrix)
            _subtract_from(self.matrix.reshape(-1), self.pad.reshape(-1))
        if site is not None:
            publish(engine, [self], site)


def own_matrices(
    engine: Engine, described: Sequence[tuple[int, np.ndarray | None, Shape]], *, site: str
) -> list[OwnedMatrix]:
    """Several matrices (owner, matrix or None elsewhere, shape), made known in one round."""
    matrices = [OwnedMatrix(engine, *description, site=None) for description in described]
    publish(engine, matrices, site)
    return matrices


def publish(engine: Engine, matrices: Sequence[OwnedMatrix], site: str) -> None:
    """Tell the others E of matrices that were made with `site=None`. One round."""
    if engine.deals:
        return
    terms = [(matrix.owner, matrix.pad, matrix.shape) for matrix in matrices]
    for matrix, difference in zip(matrices, from_owners(engine, site, terms), strict=True):
        matrix.pad = difference


def apply_all(engine: Engine, products: Sequence[tuple[OwnedMatrix, Shared]], *, site: str) -> list[Shared]:
    """x M for each (M, x): x of (v, n), or (k, v, n) for blocks, gives (v, m) or (k, v, m). One round together."""
    masked = [random_product(engine, matrix, x.shape[-2]) for matrix, x in products]
    if engine.deals:
        return [Shared(engine, share, x.fraction) for (_, share), (_, x) in zip(masked, products, strict=True)]
    hidden = [
        (matrix.owner, x.words if mask is None else x.words - mask)
        for (mask, _), (matrix, x) in zip(masked, products, strict=True)
    ]
    shares = []
    for total, (_, share), (matrix, x) in zip(to_owners(engine, site, hidden), masked, products, strict=True):
        words = share if total is None else share + matmul(total, matrix.matrix)
        shares.append(Shared(engine, words, x.fraction))
    return shares


def random_product(engine: Engine, matrix: OwnedMatrix, vectors: int) -> tuple[np.ndarray | None, np.ndarray]:
    """Fresh masks r (vectors, n) and shares of r M (vectors, m); a leading axis for blocks.

    A party gets its r_j, the owner None, the dealer their sum. Nothing is sent.
    """
    *blocks, inner, outer = matrix.shape
    mask = engine.uniform_except(matrix.owner, (*blocks, vectors, inner))
    share = engine.dealt(lambda: matmul(mask, matrix.pad), (*blocks, vectors, outer))
    if engine.deals or engine.party == matrix.owner:
        return mask, share
    return mask, share + matmul(mask, matrix.pad)


def to_owners(engine: Engine, site: str, terms: Sequence[tuple[int, np.ndarray]]) -> list[np.ndarray | None]:
    """The sums over all parties of each (owner, words), at its owner; None elsewhere. One round.

    The words of everybody but the owner must be masked.
    """
    mine = [words for owner, words in terms if owner == engine.party]
    outgoing = {
        peer: np.concatenate([words.reshape(-1) for owner, words in terms if owner == peer])
        for peer in sorted({owner for owner, _ in terms} - {engine.party})
    }
    size = sum(words.size for words in mine)
    received = engine.send(site, outgoing, dict.fromkeys(engine.peers, (size,)) if mine else {})
    totals, start = [], 0
    for owner, words in terms:
        if owner != engine.party:
            totals.append(None)
            continue
        stop = start + words.size
        totals.append(sum((theirs[start:stop].reshape(words.shape) for theirs in received.values()), start=words))
        start = stop
    return totals


def from_owners(
    engine: Engine, site: str, terms: Sequence[tuple[int, np.ndarray | None, Shape]]
) -> list[np.ndarray | None]:
    """Each owner's words (owner, words or None elsewhere, shape) at all other parties; None at the owner. One round.

    The words must say nothing to the others.
    """
    mine = [words.reshape(-1) for owner, words, _ in terms if owner == engine.party]
    sizes = [int(np.prod(shape, dtype=np.int64)) for _, _, shape in terms]
    outgoing = {}
    if mine:
        message = mine[0] if len(mine) == 1 else np.concatenate(mine)
        outgoing = dict.fromkeys(engine.peers, message)
    owners = [owner for owner, _, _ in terms]
    incoming = {
        peer: (sum(size for owner, size in zip(owners, sizes, strict=True) if owner == peer),)
        for peer in sorted(set(owners) - {engine.party})
    }
    received = engine.send(site, outgoing, incoming)
    starts = dict.fromkeys(owners, 0)
    values = []
    for (owner, _, shape), size in zip(terms, sizes, strict=True):
        start = starts[owner]
        starts[owner] = start + size
        values.append(None if owner == engine.party else received[owner][start : start + size].reshape(shape))
    return values


@njit(cache=True, nogil=True)
def _subtract_from(matrix, pad):
    for k in range(len(pad)):
        pad[k] = np.uint64(matrix[k]) - pad[k]
