"""What a client sends in mode `order`, column by column, and where the proxy puts thresholds: one code for both.

A numeric feature has two columns, so that a missing value is no different from a value: in `low` it ranks below all
values, in `high` above all. A node that sends missing values left compares in `low`, another in `high`; both only ask
whether token < threshold. A categorical feature has one column, whose tokens are keyed random words: equality is all
that a set of categories needs. Columns are named by pseudonyms, HMAC(key, feature, role), and sent in their order.
Does not withstand: over many queries a server finds which two columns belong together, and then who lacks a value.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from components.encryption.grid import Grid
from components.encryption.keys import tag
from components.encryption.order_preserving import (
    Cascade,
    RankTable,
    distinct_words,
    float_ranks,
    random_token,
    rank_table,
)

PSEUDONYM_BYTES = 16


@dataclass(frozen=True)
class OrderColumns:
    """Columns under a user's keys; without edges in `grid` (m = 0) numbers are ranked as float32."""

    features: tuple[str, ...]
    categorical: np.ndarray
    grid: Grid = field(repr=False)
    names_key: bytes = field(repr=False)
    order_key: bytes = field(repr=False)

    @cached_property
    def _tags(self) -> list[tuple[int, str, bytes]]:
        """(feature, role, 32 bytes) of every column, in the order they are sent in."""
        roles = [("category",) if one else ("low", "high") for one in self.categorical]
        columns = [
            (place, role, tag(self.names_key, name, role))
            for place, name in enumerate(self.features)
            for role in roles[place]
        ]
        return sorted(columns, key=lambda column: column[2][:PSEUDONYM_BYTES])

    @cached_property
    def pseudonyms(self) -> list[bytes]:
        return [octets[:PSEUDONYM_BYTES] for _, _, octets in self._tags]

    @property
    def count(self) -> int:
        return len(self._tags)

    @cached_property
    def places(self) -> dict[tuple[int, str], int]:
        """(feature, role) → its column as sent."""
        return {(feature, role): place for place, (feature, role, _) in enumerate(self._tags)}

    def _of_role(self, *roles: str) -> np.ndarray:
        return np.array([place for place, (_, role, _) in enumerate(self._tags) if role in roles], dtype=np.int64)

    @cached_property
    def numeric(self) -> np.ndarray:
        """The columns of numeric features, as sent."""
        return self._of_role("low", "high")

    @cached_property
    def categories(self) -> np.ndarray:
        """The columns of categorical features, as sent."""
        return self._of_role("category")

    @cached_property
    def _feature(self) -> np.ndarray:
        return np.array([feature for feature, _, _ in self._tags], dtype=np.int64)

    @cached_property
    def _is_low(self) -> np.ndarray:
        return np.array([role == "low" for _, role, _ in self._tags])

    @cached_property
    def _backwards(self) -> np.ndarray:
        """Whether a column's ranks are counted from above: a bit of the tag that is not published."""
        return np.array([bool(octets[PSEUDONYM_BYTES] & 1) for _, _, octets in self._tags])

    @cached_property
    def _domain(self) -> RankTable | Cascade:
        edges = self.grid.edges.shape[1]
        if not edges:
            return Cascade(self.order_key, self.pseudonyms)
        # Ranks 0..m of values, and one for missing.
        return rank_table(self.order_key, self.pseudonyms, edges + 2)

    @cached_property
    def category_tokens(self) -> np.ndarray:
        """(columns of categories, codes + 2) uint64: of each code, of any other, and of missing."""
        count = self.grid.codes + 2
        drawn = [distinct_words(self.order_key, self.pseudonyms[place], count) for place in self.categories]
        return np.array(drawn, dtype=np.uint64).reshape(len(self.categories), count)

    def _ranks(self, values: np.ndarray) -> np.ndarray:
        """(n, F) ranks of values alone, of no meaning for NaN."""
        return self.grid.ranks(values) if self.grid.edges.shape[1] else float_ranks(values)

    def _in_column(self, columns: np.ndarray, ranks: np.ndarray, missing: np.ndarray | bool) -> np.ndarray:
        """Ranks of values as they are in a column, before it is turned."""
        low, last = self._is_low[columns], self._domain.size - 1
        # Among float32 the lowest and highest ranks are those of NaN, so that missing has its place already.
        shifted = ranks + (low if isinstance(self._domain, RankTable) else 0)
        return np.where(missing, np.where(low, 0, last), shifted)

    def encrypt(self, rows: np.ndarray) -> np.ndarray:
        """(n, columns) uint64 tokens of float32 `rows` (n, F); fresh ones at every call, but for categories."""
        tokens = np.empty((len(rows), self.count), dtype=np.uint64)
        if self.numeric.size:
            features = self._feature[self.numeric]
            ranks = self._in_column(self.numeric, self._ranks(rows)[:, features], np.isnan(rows)[:, features])
            turned = np.where(self._backwards[self.numeric], self._domain.size - 1 - ranks, ranks)
            tokens[:, self.numeric] = random_token(*self._domain.intervals(self.numeric, turned))
        if self.categories.size:
            codes = self.grid.categories(rows)[:, self._feature[self.categories]]
            tokens[:, self.categories] = self.category_tokens[np.arange(len(self.categories)), codes]
        return tokens

    def is_backwards(self, column: int) -> bool:
        """Whether tokens of a numeric column decrease with the value."""
        return bool(self._backwards[column])

    def ranks_of(self, columns: np.ndarray, features: np.ndarray, values: np.ndarray) -> np.ndarray:
        """(k,) ranks of float32 `values` (k,) of features in their columns, before they are turned."""
        rows = np.zeros((len(columns), len(self.features)), dtype=np.float32)
        rows[np.arange(len(columns)), features] = values
        return self._in_column(columns, self._ranks(rows)[np.arange(len(columns)), features], False)

    def category_row(self, feature: int) -> int:
        """The row of a categorical feature in `category_tokens`."""
        return int(np.flatnonzero(self.categories == self.places[feature, "category"])[0])

    def thresholds(
        self, features: np.ndarray, values: np.ndarray, default_left: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Column, token and turn of numeric nodes (each (k,)).

        A row whose token is below a node's goes left; where `turn`, right.
        """
        columns = np.array(
            [
                self.places[feature, "low" if left else "high"]
                for feature, left in zip(features.tolist(), default_left, strict=True)
            ],
            dtype=np.int64,
        )
        if not len(columns):
            return columns, np.empty(0, dtype=np.uint64), np.empty(0, dtype=bool)
        ranks = self.ranks_of(columns, features, values)
        turn = self._backwards[columns]
        tokens, _ = self._domain.intervals(columns, np.where(turn, self._domain.size - ranks, ranks))
        return columns, tokens, turn
