"""Cut points of features whose edges are not public, found together as `federated.quantiles` says.

One masked sum a round carries the counts of all such features. What the aggregator learns of the values is how many
rows of all owners together lie in each cell of each round's grid. All rounds are of the same owners: when one of them
is lost the search ends with the grid that all have counted in, for counts without it would show its own.
"""

import math
from collections.abc import Callable, Mapping

import numpy as np

from components.boosting.federated.agreement import Agreement
from components.boosting.federated.noise import above_noise
from components.federated import Content, SecureBatch, TooFewMembers
from components.federated.quantiles import MOST_ROUNDS, edges, first_grid, refined, too_heavy


def find_edges(
    batch: SecureBatch, agreement: Agreement, *, counted: Callable[[int, int], None] = lambda done, most: None
) -> tuple[Mapping[str, np.ndarray], bool]:
    """Inner edges (at most max_bin - 1,), float32, of every numeric feature without public ones; whether all was done.

    `counted` is called after each round with the rounds done and the most there can be.

    Raises
    ------
    TooFewMembers
        Fewer owners than the threshold, or others than must be, are there for the first round.
    """
    names, max_bin = agreement.searched(), agreement.max_bin
    grids, found, whole = [first_grid() for _ in names], {}, True
    for number in range(MOST_ROUNDS):
        sizes = [len(grid.boundaries) for grid in grids]
        asked = Content({"features": names, "sizes": sizes}, np.concatenate([grid.boundaries for grid in grids]))
        try:
            one = batch.sum("count", asked, message=number, length=sum(sizes) - len(sizes))
        except TooFewMembers:
            if not found:
                raise
            whole = False
            break
        total = one.total.view(np.int64)
        if agreement.noise_plan:
            total = above_noise(total, agreement.noise_plan.deviation("count") * math.sqrt(len(one.survivors)))
        counts = np.split(total, np.cumsum([grid.cells for grid in grids])[:-1])
        found = {name: edges(grid, one, max_bin) for name, grid, one in zip(names, grids, counts, strict=True)}
        counted(number + 1, MOST_ROUNDS)
        is_open = [too_heavy(grid, one, max_bin).any() for grid, one in zip(grids, counts, strict=True)]
        if not any(is_open):
            break
        grids = [
            refined(grid, one, max_bin) if divide else grid
            for grid, one, divide in zip(grids, counts, is_open, strict=True)
        ]
    return found, whole
