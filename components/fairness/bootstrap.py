"""Intervals of means over rows that are not independent: the bootstrap over persons.

Whole persons are reweighted, never single rows: recordings or visits of one person err together, and resampling rows
calls fair systems unfair. Weights are exponential (the Bayesian bootstrap, Rubin, Annals of Statistics 9, 1981): every
person keeps some weight in every replicate, so no group, however small, drops out of one.
"""

import numpy as np
from scipy.sparse import csr_array

_PERSONS_AT_ONCE = 4096


def bootstrap_means(
    values: np.ndarray,
    members: csr_array,
    *,
    persons: np.ndarray | None = None,
    confidence: float = 0.95,
    replicates: int = 2000,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Two-sided percentile interval of the mean of `values` in each cell.

    Parameters
    ----------
    values
        (n,) float, one per row.
    members
        (n, C) sparse 0/1: which cells a row belongs to.
    persons
        (n,) anything that names the person of a row; None when every row is a person of its own.

    Returns
    -------
    Lower and upper bounds (C,); NaN for a cell with fewer than two persons, about whom nothing can be resampled.
    """
    rows = len(values)
    code = np.arange(rows) if persons is None else np.unique(persons, return_inverse=True)[1]
    people = int(code.max()) + 1 if rows else 0
    person_of_row = csr_array((np.ones(rows), (code, np.arange(rows))), shape=(people, rows))
    sizes = (person_of_row @ members).tocsr()
    sums = (person_of_row @ members.multiply(np.asarray(values, float)[:, None]).tocsr()).tocsr()

    rng = np.random.default_rng(seed)
    total, weight = (np.zeros((members.shape[1], replicates), dtype=np.float64) for _ in range(2))
    for start in range(0, people, _PERSONS_AT_ONCE):
        block = slice(start, min(start + _PERSONS_AT_ONCE, people))
        drawn = rng.standard_exponential((block.stop - block.start, replicates), dtype=np.float32)
        total += sums[block].T @ drawn
        weight += sizes[block].T @ drawn
    resampleable = np.asarray((sizes > 0).sum(axis=0)).ravel() >= 2
    means = np.divide(total, weight, out=np.full_like(total, np.nan), where=resampleable[:, None])
    tail = (1 - confidence) / 2
    lower, upper = np.quantile(means, [tail, 1 - tail], axis=1)
    return lower, upper
