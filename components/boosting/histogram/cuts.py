"""Public bin edges: what owners agree on before any of them looks at its rows, and what a histogram's slots mean.

A numeric value lies in the bin of the first edge above it, values beyond the last edge in the last bin; a category is a
bin of its own. Every feature has one slot more than it has bins, for missing values, so that a node's total is the sum
over the slots of any feature. With the same edges XGBoost's `hist` grows the same trees.
Source: Chen and Guestrin, KDD 2016, section 3.2; XGBoost 3.2, `HistogramCuts::SearchBin`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from components.data.schema import Schema
from components.errors import InvalidInput

if TYPE_CHECKING:
    import xgboost

FARTHEST = np.finfo(np.float32).max


@dataclass(frozen=True)
class Cuts:
    """Edges of F features.

    `edges`: for each feature its strictly increasing float32 upper edges, one a bin; of a categorical feature the codes
    0, 1, …; `lowest`: for each feature a number that no value lies below (the split that separates only missing
    values is written with it).
    """

    names: tuple[str, ...]
    categorical: tuple[bool, ...]
    edges: tuple[np.ndarray, ...]
    lowest: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def bins(self) -> np.ndarray:
        """(F,) number of bins; a missing value's code is the number of bins of its feature."""
        return np.array([len(edges) for edges in self.edges], dtype=np.int64)

    @cached_property
    def widest(self) -> int:
        """Bins of the feature that has most."""
        return int(self.bins.max())

    def starts(self, features: Sequence[int] | np.ndarray) -> np.ndarray:
        """(len(features) + 1,) where the slots of each of these features begin in a histogram of them alone."""
        return np.concatenate([[0], np.cumsum(self.bins[np.asarray(features, dtype=np.int64)] + 1)])

    @property
    def feature_types(self) -> list[str]:
        """XGBoost's feature types."""
        return ["c" if categorical else "q" for categorical in self.categorical]


def public_cuts(schema: Schema, edges: Mapping[str, Sequence[float] | np.ndarray]) -> Cuts:
    """Cuts of a schema: inner edges of numeric features as given, and all that the schema itself says.

    B - 1 edges make B bins, the last of which is without end. Ordinal features are cut between all their categories
    unless edges are given for them.

    Raises
    ------
    InvalidInput
        Edges are missing for a numeric feature, or are not strictly increasing finite numbers, or belong to none.
    """
    if unknown := sorted(set(edges) - {name for name, one in schema.features.items() if one.kind != "categorical"}):
        raise InvalidInput(f"edges are given for '{unknown[0]}', which is no numeric feature of the schema; drop them")
    found, lowest = [], []
    for name, feature in schema.features.items():
        if feature.kind == "categorical":
            if not feature.categories:
                raise InvalidInput(f"feature '{name}' has no categories in the schema; list them, they are public")
            found.append(np.arange(len(feature.categories), dtype=np.float32))
            lowest.append(0.0)
            continue
        inner = edges.get(name, np.arange(1, len(feature.categories)) if feature.categories else None)
        if inner is None:
            raise InvalidInput(f"feature '{name}' has no edges; give its public bin edges")
        inner = np.asarray(inner, dtype=np.float32)
        if inner.ndim != 1 or not np.isfinite(inner).all() or (np.diff(inner) <= 0).any() or FARTHEST in inner:
            raise InvalidInput(f"the edges of feature '{name}' are not strictly increasing finite numbers; sort them")
        found.append(np.append(inner, FARTHEST))
        lowest.append(-float(FARTHEST))
    kinds = tuple(feature.kind == "categorical" for feature in schema.features.values())
    return Cuts(tuple(schema.features), kinds, tuple(found), tuple(lowest))


def cuts_of(matrix: "xgboost.QuantileDMatrix") -> Cuts:
    """The cuts XGBoost found for a matrix."""
    ends, values = matrix.get_quantile_cut()
    count = len(ends) - 1
    names = tuple(matrix.feature_names or (f"f{number}" for number in range(count)))
    categorical = tuple(kind == "c" for kind in matrix.feature_types or ["q"] * count)
    parts = [values[ends[number] : ends[number + 1]].astype(np.float32) for number in range(count)]
    # A numeric feature's first number is not an edge but lies below all values.
    edges = tuple(part if kind else part[1:] for part, kind in zip(parts, categorical, strict=True))
    return Cuts(names, categorical, edges, tuple(float(part[0]) for part in parts))
