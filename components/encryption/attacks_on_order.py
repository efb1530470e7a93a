"""The published attacks on order-preserving encryption, against the artifact of mode `order` and queries to it.

The attacker is the server, and is granted more than it has: which column is which feature, the range or the whole grid
of that feature, and whether a column runs backwards. What it then finds is an upper bound of what it finds without.
Source: Boldyreva, Chenette, O'Neill, CRYPTO 2011 (position in the range); Naveed, Kamara, Wright, CCS 2015 (quantiles);
Durak, DuBuisson, Cash, CCS 2016 (known ranges).
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from components.encryption.forest import Forest
from components.encryption.order_columns import OrderColumns
from components.encryption.order_preserving import float_ranks

CLOSE = 0.001
"""A threshold counts as found when it is met within this share of its feature's range."""


@dataclass(frozen=True)
class Observed:
    """What an attacker is given of k thresholds: their tokens, and the tokens of queries, forwards and in [0, 1)."""

    features: np.ndarray
    """(k,)."""
    values: np.ndarray
    """(k,) the thresholds: the truth."""
    columns: np.ndarray
    turned: np.ndarray
    tokens: np.ndarray
    """(k,)."""
    queries: np.ndarray
    """(n, k) tokens of the queries in the thresholds' columns."""


def numeric_cuts(forest: Forest) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Feature, threshold and default of every different numeric cut, each (k,)."""
    nodes = np.flatnonzero(~np.isnan(forest.threshold))
    cuts = sorted({(int(forest.feature[n]), float(forest.threshold[n]), bool(forest.default_left[n])) for n in nodes})
    features, values, lefts = zip(*cuts, strict=True) if cuts else ((), (), ())
    return np.array(features, dtype=int), np.array(values, dtype=np.float32), np.array(lefts, dtype=bool)


def observe(forest: Forest, columns: OrderColumns, rows: np.ndarray) -> Observed:
    """What a server sees of a model's cuts and of the queries `rows` (n, F), under the keys of `columns`."""
    features, values, lefts = numeric_cuts(forest)
    places, tokens, turned = columns.thresholds(features, values, lefts)
    queries = columns.encrypt(rows)[:, places].astype(np.float64) / 2**64
    tokens = tokens.astype(np.float64) / 2**64
    return Observed(
        features, values, places, turned, np.where(turned, 1 - tokens, tokens), np.where(turned, 1 - queries, queries)
    )


def with_fresh_keys(columns: OrderColumns, seed: bytes) -> OrderColumns:
    """The same columns for another user."""
    return dataclasses.replace(columns, names_key=seed, order_key=seed[::-1])


def found_by_range(users: Sequence[Observed], rows: np.ndarray) -> float:
    """Share of thresholds met by drawing a line from the lowest to the highest query, whose values are known.

    Over values, or over float32's ranks, whichever finds more. With several users' models of the same forest, positions
    on the line are averaged.
    """
    one, positions = users[0], []
    if not len(one.values):
        return 0.0
    low, high = (end(rows, axis=0)[one.features].astype(np.float64) for end in (np.nanmin, np.nanmax))
    for user in users:
        queries = np.where(np.isnan(rows[:, one.features]), np.nan, user.queries)
        first, last = np.nanmin(queries, axis=0), np.nanmax(queries, axis=0)
        positions.append((user.tokens - first) / np.maximum(last - first, 2.0**-60))
    position, close = np.mean(positions, axis=0), CLOSE * (high - low)
    by_value = np.abs(low + position * (high - low) - one.values) <= close
    lowest, highest, below, above = (
        float_ranks(_single(ends)) for ends in (low, high, one.values - close, one.values + close)
    )
    guessed = lowest + position * (highest - lowest)
    return float(max(by_value.mean(), ((below <= guessed) & (guessed <= above)).mean()))


def met_by_line(users: Sequence[OrderColumns], rows: np.ndarray) -> float:
    """Share of places all over the features' ranges that a straight line from end to end names, over all users.

    A place is an edge of the grid, which must be named exactly; without a grid, one of a hundred values of the range of
    `rows`, to be met as closely as a threshold. Unlike thresholds, of which a model may have few, places are always
    many: what is found is the scheme's, and of no keys.
    """
    met = []
    for feature in np.flatnonzero(~users[0].categorical):
        edges = users[0].grid.edges[feature]
        low, high = float(np.nanmin(rows[:, feature])), float(np.nanmax(rows[:, feature]))
        values = edges[~np.isnan(edges)] if edges.size else np.linspace(low, high, 102)
        close = 0.0 if edges.size else CLOSE * (high - low)
        whose, defaults = np.full(len(values), feature), np.ones(len(values), dtype=bool)
        for columns in users if len(np.unique(values)) > 2 else ():
            places, tokens, turned = columns.thresholds(whose, _single(values), defaults)
            below, ranks, above = (columns.ranks_of(places, whose, _single(values + by)) for by in (-close, 0, close))
            at = np.where(turned, -1.0, 1.0) * tokens.astype(np.float64)
            guessed = np.round(ranks[0] + (at - at[0]) / (at[-1] - at[0]) * (ranks[-1] - ranks[0]))
            met.append(((below <= guessed) & (guessed <= above))[1:-1])
    return float(np.concatenate(met).mean()) if met else 0.0


def _single(values: np.ndarray) -> np.ndarray:
    """As float32, and the largest of it for what is larger."""
    largest = np.finfo(np.float32).max
    return np.clip(values, -largest, largest).astype(np.float32)


def line_bound(columns: OrderColumns) -> float:
    """Twice what a line names where the scheme is what it says, which leaves room for few columns.

    Of a table's k edges sqrt(pi / (2 k)), the mean of 1 / sqrt(2 pi k u (1 - u)) over places u; of a range under a
    cascade 0.8 to 1.6 per cent, measured on four models under forty keys each. A straight line names all.
    """
    edges = np.count_nonzero(~np.isnan(columns.grid.edges[~columns.categorical]), axis=1)
    if not edges.any():
        return 0.05
    return float(2 * np.sqrt(np.pi * edges / 2).sum() / edges.sum())


def found_by_grid(users: Sequence[Observed], columns: OrderColumns) -> float:
    """Share of thresholds named exactly by an attacker who knows the grid.

    Of the M words of a column k are seen. Below the i-th, at u, lie i seen and Binomial(M - k, u) unseen words,
    the likeliest number being floor((M - k + 1) u); with several users u is averaged.
    """
    one, size = users[0], columns.grid.edges.shape[1] + 2
    true = columns.ranks_of(one.columns, one.features, one.values)
    found, positions = np.zeros(len(true), dtype=bool), np.mean([user.tokens for user in users], axis=0)
    for column in np.unique(one.columns):
        here = np.flatnonzero(one.columns == column)
        order = here[np.argsort(true[here])]
        # The lower end of a turned interval is the upper end of the one that is meant.
        unseen, turned = size - len(order), np.mean([user.turned[order] for user in users], axis=0)
        found[order] = np.floor((unseen + 1) * positions[order] + np.arange(len(order)) + turned) == true[order]
    return float(found.mean()) if len(found) else 0.0


def found_by_quantiles(columns: OrderColumns, targets: np.ndarray, known: np.ndarray) -> float:
    """Share of query values met within 1 % of their feature's range by matching quantiles with `known` rows."""
    tokens, hits = columns.encrypt(targets), []
    for feature in np.flatnonzero(~columns.categorical):
        place = columns.places[int(feature), "low"]
        here = ~np.isnan(targets[:, feature])
        reference = np.sort(known[~np.isnan(known[:, feature]), feature])
        if not here.any() or not len(reference):
            continue
        ranks = np.argsort(np.argsort(tokens[here, place]))
        ranks = here.sum() - 1 - ranks if columns.is_backwards(place) else ranks
        guessed = reference[((ranks + 0.5) / here.sum() * len(reference)).astype(int)]
        hits.append(
            np.abs(guessed - targets[here, feature].astype(np.float64)) <= 0.01 * np.ptp(reference.astype(np.float64))
        )
    return float(np.concatenate(hits).mean()) if hits else 0.0


def repeated_tokens(columns: OrderColumns, rows: np.ndarray) -> float:
    """Share of values whose token is the same when the same row is asked twice; of numeric features."""
    first, second = columns.encrypt(rows)[:, columns.numeric], columns.encrypt(rows)[:, columns.numeric]
    return float((first == second).mean()) if first.size else 0.0


def ordered_pairs(columns: OrderColumns, rows: np.ndarray) -> float:
    """Share of pairs of different numeric values, one row and the next, whose order the tokens show."""
    tokens, shown = columns.encrypt(rows), []
    for feature in np.flatnonzero(~columns.categorical):
        place = columns.places[int(feature), "low"]
        one, other = rows[:-1, feature], rows[1:, feature]
        differ = (one < other) | (one > other)
        below = (tokens[:-1, place] < tokens[1:, place]) ^ columns.is_backwards(place)
        shown.append((below == (one < other))[differ])
    return float(np.concatenate(shown).mean()) if shown and np.concatenate(shown).size else 0.0
