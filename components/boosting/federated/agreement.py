"""What owners and aggregator agree on before anything is summed, and the documents that pass between them.

The agreement is in every hello, so an owner with another schema, split or setting takes no part. Cut points, label
range and the number of rows come later, from sums or from what owners announce, and make the `Terms` of the training.
"""

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
from pydantic import BaseModel, ConfigDict

from components.boosting.histogram import Cuts, Level, Split, Terms, TreeStart, public_cuts
from components.boosting.parameters import MAX_BIN, BoostingParameters, objective_of
from components.data.schema import Schema
from components.errors import InvalidInput
from components.federated.selection import Selection

ROWS_A_BIN = 10
"""Training rows of all owners together that a bin must have on average, where cut points are found in them."""


class Agreement(BaseModel):
    """Public and the same for all: the schema (JSON text, whose order counts), how persons are split, how to train.

    `selection` says which owners take part in a round, where not all do.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_text: str
    salt: str
    shares: tuple[float, float, float]
    parameters: BoostingParameters
    selection: Selection | None = None

    @property
    def schema_(self) -> Schema:
        return Schema.model_validate_json(self.schema_text)

    @property
    def max_bin(self) -> int:
        return self.parameters.max_bin or MAX_BIN

    def searched(self) -> list[str]:
        """Numeric features without public edges, whose cut points are found in the owners' values together."""
        features = self.schema_.features.items()
        return [name for name, feature in features if feature.kind == "numeric" and feature.edges is None]

    @property
    def rows_needed(self) -> int:
        """Training rows, of all owners that count, below which cut points would be everybody's values."""
        return ROWS_A_BIN * self.max_bin if self.searched() else 1

    def require_many_rows(self, rows: int) -> None:
        """Raise `InvalidInput` where there are fewer than `rows_needed`."""
        if rows < self.rows_needed:
            raise InvalidInput(
                f"max_bin is {self.max_bin}, and all owners have {rows} training rows together; cut points found in "
                f"them would say much of single rows, ask for at most {rows // ROWS_A_BIN} bins (max_bin), or give "
                "features public edges in the schema"
            )

    def public_edges(self) -> dict[str, list[float]]:
        """Edges that the schema gives."""
        return {name: list(one.edges) for name, one in self.schema_.features.items() if one.edges is not None}

    def terms(self, document: Mapping) -> Terms:
        """The terms of `terms_document`."""
        label, schema = self.schema_.label, self.schema_
        settings = objective_of(label)
        low, high = document["label_range"]
        return Terms(
            cuts=self.cuts(document["edges"]),
            objective=settings["objective"],
            parameters=self.parameters,
            rows=int(document["rows"]),
            outputs=len(schema.classes) if label.kind == "multiclass" else 1,
            label_range=(float(low), float(high)),
        )

    def cuts(self, edges: Mapping[str, list[float]]) -> Cuts:
        """Cuts of all features, given the inner edges of numeric ones."""
        return public_cuts(self.schema_, edges)


def terms_document(edges: Mapping[str, np.ndarray | list], rows: int, label_range: tuple[float, float]) -> dict:
    """What makes an agreement into terms, JSON-ready: float32 edges are written in full."""
    return {
        "edges": {name: [float(edge) for edge in points] for name, points in edges.items()},
        "rows": rows,
        "label_range": list(label_range),
    }


def start_document(start: TreeStart) -> dict:
    """A tree's start, JSON-ready."""
    return {"number": start.number, "features": list(start.features)}


def read_start(document: Mapping, terms: Terms) -> TreeStart:
    """The start of a document; raises `InvalidInput` where it is none of these terms."""
    number, features = document.get("number"), document.get("features")
    if not _whole(number) or not isinstance(features, list) or not features or not all(map(_whole, features)):
        raise InvalidInput("the aggregator began a tree in a way that nobody knows; install one version everywhere")
    if sorted(set(features)) != features or features[-1] >= len(terms.cuts):
        raise InvalidInput("the aggregator began a tree with features that are not of the agreed terms")
    return TreeStart(number, tuple(features))


def level_document(level: Level) -> dict:
    """A level, JSON-ready."""
    return {
        "splits": [asdict(split) for split in level.splits],
        "wanted": list(level.wanted),
        "leaves": [[node, value] for node, value in level.leaves.items()],
    }


def read_level(document: Mapping, nodes: int) -> Level:
    """The level of a document for a tree that has `nodes` nodes before it.

    Raises
    ------
    InvalidInput
        It names nodes that cannot be; splits themselves are checked where they are used.
    """
    try:
        splits = tuple(map(read_split, document["splits"]))
        wanted, leaves = tuple(document["wanted"]), {int(node): float(value) for node, value in document["leaves"]}
    except (KeyError, TypeError, ValueError):
        raise InvalidInput("the aggregator sent a level that nobody can read; install one version everywhere") from None
    known = nodes + 2 * len(splits)
    if not set(wanted) <= set(range(nodes, known)) or len(set(wanted)) < len(wanted):
        raise InvalidInput("the aggregator sent a level with nodes that are not of this tree")
    if not all(0 <= node < known and np.isfinite(value) for node, value in leaves.items()):
        raise InvalidInput("the aggregator sent leaves that are not of this tree")
    return Level(splits, wanted, leaves)


def read_split(document: Mapping) -> Split:
    """The split of a document."""
    categories = document["right_categories"]
    return Split(**{**document, "right_categories": None if categories is None else tuple(categories)})


def _whole(value) -> bool:
    return type(value) is int and value >= 0
