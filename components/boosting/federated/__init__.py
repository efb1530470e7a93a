"""Federated boosting: an aggregator grows XGBoost's own trees from sums over owners, and no row leaves its owner.

The histograms of `components.boosting.histogram` are whole numbers, so a sum of them under the masks of
`components.federated` is the same however rows are divided. With the same cut points and all rows drawn (`subsample` 1)
the model is, bit for bit, the one that engine grows on all rows in one place, and XGBoost's to the last digits. Where
rows are drawn each owner draws its own. What is learnt beyond the model stands in `LEAKAGE`.

**Units of work.** The search for cut points, the sum of labels and every round with all its trees and its loss are one
batch of sums each, all of the same owners. The aggregator gives a batch up before it would open a sum of others; owners
sign one set of survivors a batch (`federated.member`) and go from unit to unit, never back (`owner`); and with whom a
unit is opened is kept before it is (`progress`), so that a run that was stopped repeats it with the same owners or not
at all.

`agreement` is what all must have alike, `owner` and `train` the two ends, `start` and `edges` how a training begins,
`noise` what may be added to sums so that they, too, say little of anybody, `spending` what an owner notes of it.
"""

from components.boosting.federated.agreement import Agreement
from components.boosting.federated.noise import SumNoise
from components.boosting.federated.owner import RowsOfOwner
from components.boosting.federated.progress import Progress, Round, kept_in, progress_of, read_progress
from components.boosting.federated.train import train

LEAKAGE = (
    "the aggregator learns the sums of gradients and hessians of all owners together in every bin of every node that "
    "it asks for, and from them the trees, gains and weights among them; with a regression label hessians are counts "
    "of rows",
    "owners learn the splits and leaf values of all trees while they grow, and the model",
    "the aggregator learns how many training and selection rows each owner has, and of a regression label each owner's "
    "least and largest value, rounded to two digits",
    "where a feature's cut points are not public, the aggregator learns how many rows of all owners together lie in "
    "each cell of each round's grid; that there are ten rows a bin it alone sees to",
    "the aggregator learns the sum of the labels and of the losses on selection rows, over all owners",
    "who takes part in which round is known to all, and when an owner leaves or comes back between two rounds the "
    "aggregator has sums with and without it, which differ by what that owner gives and by what the trees between them "
    "changed: with a regression label, whose hessians never change, by its exact counts, and where those trees changed "
    "little, by nearly its own sums",
    "an aggregator that lies can bring that about, with trees that change nothing, for any owner it may do without",
    "a training that is repeated with one owner fewer, or another seed or number of bins, gives sums that can be "
    "subtracted from those before",
    "the analyst receives scores, labels and groups of held-out rows under pseudonyms, to judge the model by; who also "
    "knows these persons can tell who is who, and an analyst who lies can have any model scored, and so read features "
    "of these rows",
    "who schedules the run sees each owner's columns, number of rows and persons, and the newest time in its training "
    "rows",
    "an aggregator and all owners but one can together subtract what they know and have that one's sums; the threshold "
    "says how many owners may side with it before single sums can be had",
)

LEAKAGE_OF_SELECTION = (
    "the aggregator learns sums of changing groups of owners, and from many rounds can solve for single owners' own: "
    "with a regression label for their exact counts in every bin, otherwise nearly; noise on sums is the remedy",
)

LEAKAGE_OF_NOISE = (
    "sums have noise: all of them together, each asked for once, keep epsilon {epsilon:g} and delta {delta:g} for each "
    "person, of whom {rows} training rows at most count, if they lie with one owner; owners' numbers of rows, a "
    "regression label's range and what the analyst receives are no part of that",
)

LEAKAGE_OF_A_CROWD = (
    "a rehearsal: all rows lie in one store and one process, which hides nothing from whoever runs it; what follows is "
    "of the same training between machines, with masks",
)


def leakage_of(agreement: Agreement, *, crowd: bool = False) -> tuple[str, ...]:
    """What someone learns beyond the model in a training by this agreement."""
    return (
        *(LEAKAGE_OF_A_CROWD if crowd else ()),
        *LEAKAGE,
        *(LEAKAGE_OF_SELECTION if agreement.selection else ()),
        *(one.format(**agreement.noise.model_dump()) for one in (LEAKAGE_OF_NOISE if agreement.noise else ())),
    )


__all__ = [
    "LEAKAGE",
    "Agreement",
    "Progress",
    "Round",
    "RowsOfOwner",
    "SumNoise",
    "kept_in",
    "leakage_of",
    "progress_of",
    "read_progress",
    "train",
]
