"""What owners and aggregator agree on before anything is summed, and the documents that pass between them.

The agreement is in every hello, so an owner with another schema, split or setting takes no part. Cut points, label
range and the number of rows come later, from sums or from what owners announce, and make the `Terms` of the training.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
from pydantic import BaseModel, ConfigDict

from components.boosting.federated.noise import NoiseOfTraining, SumNoise, hidden_below, noise_of
from components.boosting.histogram import Cuts, Level, Split, Terms, TreeStart, public_cuts
from components.boosting.parameters import MAX_BIN, BoostingParameters, objective_of
from components.data.schema import Schema
from components.errors import InvalidInput
from components.federated import Content, ProtocolViolation
from components.federated.batch import MOST_MESSAGES
from components.federated.channel import LARGEST
from components.federated.frame import canonical, digest
from components.federated.selection import Selection

ROWS_A_BIN = 10
"""Training rows of all owners together that a bin must have on average, where cut points are found in them."""

MOST_ROWS = 2**32
"""Rows that an owner can have: it numbers them with 32 bits."""

_OVERHEAD = 1 << 16
"""Octets of an answer beside its numbers, at most."""


class Agreement(BaseModel):
    """Public and the same for all: the schema (JSON text, whose order counts), how persons are split, how to train.

    `selection` says which owners take part in a round, where not all do; `noise` what noise on the sums is to promise,
    of which `contributors` owners' parts are counted on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_text: str
    salt: str
    shares: tuple[float, float, float]
    parameters: BoostingParameters
    selection: Selection | None = None
    noise: SumNoise | None = None
    contributors: int = 1

    @property
    def schema_(self) -> Schema:
        return Schema.model_validate_json(self.schema_text)

    def seed_of(self, owner: str) -> int:
        """Of an owner's draws of rows: another for each, and the same in every run with the same seed."""
        return int.from_bytes(hashlib.sha256(f"{self.parameters.seed} {owner}".encode()).digest()[:4], "little")

    @property
    def max_bin(self) -> int:
        return self.parameters.max_bin or MAX_BIN

    def searched(self) -> list[str]:
        """Numeric features without public edges, whose cut points are found in the owners' values together."""
        features = self.schema_.features.items()
        return [name for name, feature in features if feature.kind == "numeric" and feature.edges is None]

    @property
    def outputs(self) -> int:
        """Trees a round."""
        label = self.schema_.label
        return len(label.classes) if label.kind == "multiclass" else 1

    @cached_property
    def noise_plan(self) -> NoiseOfTraining | None:
        """How much noise that takes."""
        if self.noise is None:
            return None
        features, searched = len(self.schema_.features), len(self.searched())
        return noise_of(
            self.noise,
            self.parameters,
            features=features,
            searched=searched,
            outputs=self.outputs,
            is_regression=self.schema_.label.kind == "regression",
            contributors=self.contributors,
        )

    def require_possible(self) -> None:
        """Raise `InvalidInput` where histograms or a round's sums are more than can be sent, or nothing could stop."""
        stopping = self.parameters.early_stopping_rounds
        if stopping and self.selection:
            raise InvalidInput(
                f"early_stopping_rounds is {stopping}, but each round asks other owners (select), and losses on other "
                "owners' rows cannot be compared; leave early_stopping_rounds empty"
            )
        depth, kinds = self.parameters.max_depth, self.schema_.features.values()
        bins = [len(one.categories or ()) or (len(one.edges) + 1 if one.edges else self.max_bin) for one in kinds]
        octets = 16 * (sum(bins) + len(bins))
        deepest = next(d for d in range(depth, 0, -1) if d == 1 or 2 ** max(0, d - 2) * octets + _OVERHEAD <= LARGEST)
        if deepest < depth:
            raise InvalidInput(
                f"max_depth is {depth}, where histograms of the deepest level may have "
                f"{(octets << (depth - 2)) / 2**20:,.0f} MiB and {LARGEST >> 20} can be sent; ask for max_depth "
                f"{deepest}, or for fewer bins"
            )
        if self.outputs * depth + 1 > MOST_MESSAGES:
            raise InvalidInput(
                f"{self.outputs} classes and max_depth {depth} make {self.outputs * depth + 1} sums a round where "
                f"{MOST_MESSAGES} can be; ask for less depth"
            )

    @property
    def rows_needed(self) -> int:
        """Training rows, of all owners that count, below which cut points would be everybody's values."""
        return ROWS_A_BIN * self.max_bin if self.searched() else 1

    def require_many_rows(self, rows: int, owners: int) -> None:
        """Raise `InvalidInput` where there are fewer than `rows_needed`, or bins of so few that noise hides them."""
        if rows < self.rows_needed:
            raise InvalidInput(
                f"max_bin is {self.max_bin}, and all owners have {rows} training rows together; cut points found in "
                f"them would say much of single rows, ask for at most {rows // ROWS_A_BIN} bins (max_bin), or give "
                "features public edges in the schema"
            )
        if self.noise_plan and self.searched():
            least = hidden_below(self.noise_plan.deviation("count") * math.sqrt(owners))
            if rows < least * self.max_bin:
                counted = f"{rows} training rows together, {self.noise.rows} a person counted at most"
                raise InvalidInput(
                    f"max_bin is {self.max_bin}, and under the noise bins of fewer than {least:,.0f} rows cannot be "
                    f"told from empty ones, where all owners have {counted}; ask for at most {int(rows / least)} bins "
                    "(max_bin), or give features public edges in the schema"
                )

    def public_edges(self) -> dict[str, list[float]]:
        """Edges that the schema gives."""
        return {name: list(one.edges) for name, one in self.schema_.features.items() if one.edges is not None}

    def terms(self, document: Mapping) -> Terms:
        """The terms of `terms_document`."""
        settings = objective_of(self.schema_.label)
        low, high = document["label_range"]
        return Terms(
            cuts=self.cuts(document["edges"]),
            objective=settings["objective"],
            parameters=self.parameters,
            rows=int(document["rows"]),
            outputs=self.outputs,
            label_range=(float(low), float(high)),
            bits=self.noise_plan.bits if self.noise_plan else None,
        )

    def cuts(self, edges: Mapping[str, list[float]]) -> Cuts:
        """Cuts of all features, given the inner edges of numeric ones."""
        return public_cuts(self.schema_, edges)


def check_description(is_regression: bool):
    """A check of what an owner says of itself: its rows and, of a regression label, their range."""

    def check(name: str, content: Content) -> None:
        said = dict(content.document)
        span = said.pop("label_range", None)
        counts = set(said) == {"rows", "held_out"} and all(_whole(one) and one <= MOST_ROWS for one in said.values())
        if content.array is not None or not counts or not (span is None or (is_regression and _span(span))):
            raise ProtocolViolation(name, "describes rows that cannot be")

    return check


def check_prepared(name: str, content: Content) -> None:
    """Refuse an answer to `prepare` that does not say how many trees its owner knows."""
    if content.array is not None or set(content.document) != {"trees"} or not _whole(content.document["trees"]):
        raise ProtocolViolation(name, "says nothing of the trees it knows")


def check_empty(name: str, content: Content) -> None:
    """Refuse an answer where there is nothing to say."""
    if content.array is not None or content.document:
        raise ProtocolViolation(name, "answered what was no question")


def terms_document(edges: Mapping[str, np.ndarray | list], rows: int, label_range: tuple[float, float]) -> dict:
    """What makes an agreement into terms, JSON-ready: float32 edges are written in full."""
    return {
        "edges": {name: [float(edge) for edge in points] for name, points in edges.items()},
        "rows": rows,
        "label_range": list(label_range),
    }


def state_of(terms: Mapping, margins: Sequence[float] = ()) -> str:
    """Where a training stands before its first tree: what an owner compares before it gives anything to a sum.

    Owners that were told different things (other edges, other trees) have different rows in a node of one name, and
    their sum could be one owner's own.
    """
    return digest("terms", canonical(dict(terms)), canonical(list(margins))).hex()


def state_after(state: str, splits: Sequence[Split], leaves: Mapping[int, float]) -> str:
    """Where it stands one tree later."""
    return digest("tree", state, canonical(level_document(Level(tuple(splits), (), leaves)))).hex()


def start_document(start: TreeStart, state: str) -> dict:
    """A tree's start, JSON-ready."""
    return {"number": start.number, "features": list(start.features), "state": state}


def read_start(document: Mapping, terms: Terms) -> TreeStart:
    """The start of a document; raises `InvalidInput` where it is none of these terms."""
    number, features = document.get("number"), document.get("features")
    if not _whole(number) or not isinstance(features, list) or not features or not all(map(_whole, features)):
        raise InvalidInput("the aggregator began a tree in a way that nobody knows; install one version everywhere")
    most = max(1, int(terms.parameters.colsample_bytree * len(terms.cuts)))
    if sorted(set(features)) != features or features[-1] >= len(terms.cuts) or len(features) > most:
        raise InvalidInput("the aggregator began a tree with features that are not of the agreed terms")
    return TreeStart(number, tuple(features))


def level_document(level: Level) -> dict:
    """A level, JSON-ready."""
    return {
        "splits": [vars(split) for split in level.splits],
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


def _span(value) -> bool:
    numbers = isinstance(value, list) and len(value) == 2 and all(type(one) in (int, float) for one in value)
    return numbers and -1e30 < value[0] < value[1] < 1e30
