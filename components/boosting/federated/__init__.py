"""Federated boosting: an aggregator grows XGBoost's own trees from sums over owners, and no row leaves its owner.

The histograms of `components.boosting.histogram` are whole numbers, so a sum of them under the masks of
`components.federated` is the very sum that XGBoost would have made of all rows in one place: with the same cut points
the model is the same, bit for bit, however rows are divided. What is learnt beyond the model stands in `LEAKAGE`.

`agreement` is what all must have alike, `owner` and `train` the two ends, `edges` how cut points are found.
"""

from components.boosting.federated.agreement import Agreement
from components.boosting.federated.owner import RowsOfOwner
from components.boosting.federated.train import Progress, Round, model_of, read_progress, to_document, train

LEAKAGE = (
    "the aggregator learns the sums of gradients and hessians of all owners together in every bin of every node that "
    "it asks for, and from them the trees, gains and weights among them",
    "owners learn the splits and leaf values of all trees while they grow, and the model",
    "the aggregator learns how many training and selection rows each owner has, and of a regression label each owner's "
    "least and largest value, rounded to two digits",
    "where a feature's cut points are not public, the aggregator learns how many rows of all owners together lie in "
    "each cell of each round's grid",
    "the aggregator learns the sum of the labels and of the losses on selection rows, over all owners",
    "who takes part in which round is known to all, and when somebody is lost or comes back the aggregator has sums "
    "with and without that owner, one tree apart",
    "the analyst receives scores, labels and groups of held-out rows under pseudonyms, to judge the model by; who also "
    "knows these persons can tell who is who",
    "who schedules the run sees each owner's columns, number of rows and persons, and the newest time in its training "
    "rows",
    "an aggregator and all owners but one can together subtract what they know and have that one's sums; the threshold "
    "says how many owners may side with it before single sums can be had",
)

__all__ = [
    "LEAKAGE",
    "Agreement",
    "Progress",
    "Round",
    "RowsOfOwner",
    "model_of",
    "read_progress",
    "to_document",
    "train",
]
