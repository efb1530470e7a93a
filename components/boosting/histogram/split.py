"""What the planner tells every owner, step by step: small documents, JSON-ready with `asdict`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Split:
    """Node `node` divided by `feature` into nodes `left` and `right`.

    Numeric features send the bins up to `cut` left (-1: none), categorical ones the categories `right_categories`
    right; rows that miss the value go where `default_left` says.
    """

    node: int
    left: int
    right: int
    feature: int
    default_left: bool
    cut: int = -1
    right_categories: tuple[int, ...] | None = None

    def goes_left(self, bins: int) -> np.ndarray:
        """(bins + 1,) uint8: whether a row in each bin goes left, last a row without a value."""
        table = np.zeros(bins + 1, dtype=np.uint8)
        if self.right_categories is None:
            table[: self.cut + 1] = 1
        else:
            table[:] = 1
            table[list(self.right_categories)] = 0
        table[bins] = bool(self.default_left)
        return table


@dataclass(frozen=True)
class TreeStart:
    """Tree `number` (round by round, output by output) may use the features `features` (positions, increasing)."""

    number: int
    features: tuple[int, ...]


@dataclass(frozen=True)
class Level:
    """Divide nodes by `splits`, then sum over the rows of the nodes `wanted`; where none is, the tree is finished.

    `leaves`: node → value of a finished tree.
    """

    splits: tuple[Split, ...]
    wanted: tuple[int, ...] = ()
    leaves: Mapping[int, float] = field(default_factory=dict)
