"""Cut points of features whose edges are not public, found together as `federated.quantiles` says.

One masked sum a round carries the counts of all such features. What the aggregator learns of the values is how many
rows of all owners together lie in each cell of each round's grid.
"""

from collections.abc import Callable, Collection, Mapping

import numpy as np

from components.boosting.federated.agreement import Agreement
from components.federated import Content, Federation, SecureBatch
from components.federated.quantiles import MOST_ROUNDS, edges, first_grid, refined, too_heavy


def find_edges(
    federation: Federation,
    agreement: Agreement,
    batches: Callable[..., SecureBatch] = SecureBatch,
    *,
    roster: Collection[str] | None = None,
    counted: Callable[[int, int], None] = lambda done, most: None,
) -> Mapping[str, np.ndarray]:
    """Inner edges (at most max_bin - 1,), float32, of every numeric feature without public ones.

    The owners of `roster` (all, unless told) count. `counted` is called after each round with the rounds done and the
    most there can be.

    Raises
    ------
    TooFewMembers
        Fewer owners than the threshold are there.
    """
    names, max_bin = agreement.searched(), agreement.max_bin
    if not names:
        return {}
    grids, counts = [first_grid() for _ in names], []
    batch = batches(federation, MOST_ROUNDS, roster)
    for number in range(MOST_ROUNDS):
        sizes = [len(grid.boundaries) for grid in grids]
        asked = Content({"features": names, "sizes": sizes}, np.concatenate([grid.boundaries for grid in grids]))
        cells = sum(sizes) - len(sizes)
        found = batch.sum("count", asked, message=number, length=cells).total.view(np.int64)
        counts = np.split(found, np.cumsum([grid.cells for grid in grids])[:-1])
        counted(number + 1, MOST_ROUNDS)
        open_ones = [too_heavy(grid, one, max_bin).any() for grid, one in zip(grids, counts, strict=True)]
        if not any(open_ones) or number + 1 == MOST_ROUNDS:
            break
        grids = [
            refined(grid, one, max_bin) if is_open else grid
            for grid, one, is_open in zip(grids, counts, open_ones, strict=True)
        ]
    return {name: edges(grid, one, max_bin) for name, grid, one in zip(names, grids, counts, strict=True)}
