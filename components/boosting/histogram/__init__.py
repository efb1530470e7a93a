"""Histogram trees over rows that lie apart: owners send sums (`Rows`), of which alone a `Planner` grows trees."""

from components.boosting.histogram.bins import bin_columns, bin_table
from components.boosting.histogram.cuts import Cuts, cuts_of, public_cuts
from components.boosting.histogram.objective import intercept
from components.boosting.histogram.planner import Planner
from components.boosting.histogram.rows import Rows
from components.boosting.histogram.split import Level, Split, TreeStart
from components.boosting.histogram.terms import Terms, hessian_of_rows
from components.boosting.histogram.train import train
from components.boosting.histogram.tree import Tree, to_booster

__all__ = [
    "Cuts",
    "Level",
    "Planner",
    "Rows",
    "Split",
    "Terms",
    "Tree",
    "TreeStart",
    "bin_columns",
    "bin_table",
    "cuts_of",
    "hessian_of_rows",
    "intercept",
    "public_cuts",
    "to_booster",
    "train",
]
