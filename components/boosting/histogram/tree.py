"""A tree while it grows and when it is grown; nodes are numbered as XGBoost numbers them, level by level."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from components.boosting.histogram.split import Split

NO_PARENT = 2**31 - 1


@dataclass
class Tree:
    """Nodes of a tree, one entry each: children (-1 at leaves), sums in steps of the terms' scales, weight and value.

    `splits`, `gains`: node → how it was divided.
    """

    left: list[int] = field(default_factory=lambda: [-1])
    right: list[int] = field(default_factory=lambda: [-1])
    parents: list[int] = field(default_factory=lambda: [NO_PARENT])
    sums: list[tuple[int, int]] = field(default_factory=lambda: [(0, 0)])
    weights: list[float] = field(default_factory=lambda: [0.0])
    values: list[float] = field(default_factory=lambda: [0.0])
    splits: dict[int, Split] = field(default_factory=dict)
    gains: dict[int, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.left)

    @classmethod
    def of(cls, splits: Iterable[Split], leaves: Mapping[int, float]) -> Self:
        """The tree of splits, in their order, and leaf values: without sums and gains, which not everybody knows."""
        tree = cls()
        for split in splits:
            tree.divide(split, 0.0, (0, 0), (0, 0))
        for node, value in leaves.items():
            tree.values[node] = value
        return tree

    def divide(self, split: Split, gain: float, left: tuple[int, int], right: tuple[int, int]) -> None:
        """Add the two children of a split, with their sums."""
        node = split.node
        self.left[node], self.right[node] = split.left, split.right
        self.splits[node], self.gains[node] = split, gain
        self.left += [-1, -1]
        self.right += [-1, -1]
        self.parents += [node, node]
        self.sums += [left, right]
        self.weights += [0.0, 0.0]
        self.values += [0.0, 0.0]

    def leaves(self) -> dict[int, float]:
        """Leaf → value: eta times the weight."""
        return {node: self.values[node] for node, left in enumerate(self.left) if left < 0}
