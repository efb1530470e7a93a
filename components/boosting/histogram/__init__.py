"""Histogram trees over rows that lie apart: owners send sums (`Rows`), of which alone a `Planner` grows trees.

Names are fetched when they are asked for: an owner needs nothing of XGBoost, which takes a second to import.
"""

from importlib import import_module

_FROM = {
    "Cuts": "cuts",
    "Level": "split",
    "Planner": "planner",
    "Rows": "rows",
    "Split": "split",
    "Terms": "terms",
    "Tree": "tree",
    "TreeStart": "split",
    "base_margins": "objective",
    "bin_columns": "bins",
    "bin_table": "bins",
    "cuts_of": "cuts",
    "document_of": "booster",
    "intercept": "objective",
    "public_cuts": "cuts",
    "train": "protocol",
}

__all__ = list(_FROM)


def __getattr__(name: str):
    if name not in _FROM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_FROM[name]}"), name)
