"""A party's view of a training: what it holds itself, and its side of what the others hold.

Everything here is made once. An owner's bins, test columns and cut points enter as matrices that only it knows; the
other parties keep masks of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from components.boosting.secret_shared.agreement import Agreement, Block
from components.boosting.secret_shared.splits import Splits, block_columns, column_values
from components.mpc.engine import Engine
from components.mpc.owned_bins import Mode, OwnedBins, cheaper_mode, own_bins
from components.mpc.owned_matrix import OwnedMatrix, own_matrices
from components.mpc.shared import Shared


@dataclass(frozen=True)
class Holding:
    """What one owner brings, in the order of the agreement's blocks; empty for who holds nothing."""

    bins: Mapping[int, np.ndarray] = field(default_factory=dict)
    """Block → (rows, features) uint16, `widest` where missing."""
    labels: Mapping[int, np.ndarray] = field(default_factory=dict)
    """Label block → (rows,): 0 or 1, the class index, or the number."""
    cuts: Mapping[int, np.ndarray] = field(default_factory=dict)
    """Feature → (bins - 1,) float32: values below cut k lie in bins up to k."""


class Rows:
    """The test columns of some rows: those trained on, or those to predict."""

    def __init__(self, engine: Engine, agreement: Agreement, holding: Holding):
        self.engine, self.agreement = engine, agreement
        self.block_columns = [block_columns(agreement, block) for block in agreement.blocks]
        self.columns = own_matrices(
            engine,
            [
                (
                    block.owner,
                    column_values(agreement, block, holding.bins[number]) if engine.party == block.owner else None,
                    (len(columns), block.rows),
                )
                for number, (block, columns) in enumerate(zip(agreement.blocks, self.block_columns, strict=True))
            ],
            site="rows",
        )


class View(Rows):
    """Rows to train on: their histograms and cut points too."""

    def __init__(self, engine: Engine, agreement: Agreement, holding: Holding):
        super().__init__(engine, agreement, holding)
        self.bins: list[OwnedBins] = own_bins(
            engine,
            [
                (block.owner, holding.bins.get(number), *self._shape(block))
                for number, block in enumerate(agreement.blocks)
            ],
            site="bins",
        )
        self._cut_owners = cut_owners(agreement)
        self.cuts: list[OwnedMatrix] = own_matrices(
            engine,
            [
                (owner, self._patterns(holding, features) if engine.party == owner else None, (self._size(features), 1))
                for owner, features in self._cut_owners.items()
            ],
            site="cuts",
        )

    def cut_products(self, splits: Splits, chosen: Shared) -> list[tuple[OwnedMatrix, Shared]]:
        """Products of a one-hot choice (nodes, C + 1) with the owners' cuts, whose sum is the chosen cut's pattern."""
        widest = self.agreement.widest
        table = np.zeros((chosen.shape[0], len(self.agreement.features) * widest), dtype=np.uint64)
        numeric = np.array([feature.kind == "numeric" for feature in self.agreement.features])[splits.feature]
        bins = np.array([feature.bins for feature in self.agreement.features])[splits.feature]
        inner = np.flatnonzero(numeric & (splits.threshold >= 0) & (splits.threshold < bins - 1))
        places = splits.feature[inner] * widest + splits.threshold[inner]
        # Both default directions of a cut share a place.
        np.add.at(table.T, places, chosen.words[:, inner].T)
        table = table.reshape(len(chosen), -1, widest)
        return [
            (matrix, chosen._like(table[:, features].reshape(len(chosen), -1)))
            for matrix, features in zip(self.cuts, self._cut_owners.values(), strict=True)
        ]

    def _shape(self, block: Block) -> tuple[int, int, int, Mode]:
        return block.rows, len(block.features), self.agreement.slots, histogram_mode(self.agreement, block)

    def _size(self, features: list[int]) -> int:
        return len(features) * self.agreement.widest

    def _patterns(self, holding: Holding, features: list[int]) -> np.ndarray:
        patterns = np.zeros((len(features), self.agreement.widest), dtype=np.uint64)
        for row, feature in enumerate(features):
            if feature in holding.cuts:
                cuts = np.ascontiguousarray(holding.cuts[feature], dtype=np.float32)
                patterns[row, : len(cuts)] = cuts.view(np.uint32)
        return patterns.reshape(-1, 1)


def histogram_mode(agreement: Agreement, block: Block) -> Mode:
    """How a block's histograms are summed, which its public size decides."""
    return cheaper_mode(block.rows, len(block.features), agreement.slots)


def histogram_modes(agreement: Agreement) -> dict[str, Mode]:
    """Block, by its owner and rows → how its histograms are summed."""
    return {
        f"{agreement.parties[block.owner]}, rows {block.start} to {block.stop}": histogram_mode(agreement, block)
        for block in agreement.blocks
    }


def cut_owners(agreement: Agreement) -> dict[int, list[int]]:
    """Owner → the features whose cuts it gives: those of which it holds the first rows."""
    owners: dict[int, list[int]] = {}
    for block in agreement.blocks:
        if block.start == 0:
            owners.setdefault(block.owner, []).extend(block.features)
    return owners
