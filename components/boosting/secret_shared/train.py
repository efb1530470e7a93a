"""Secret-shared boosting, from the owners' bins to a model that only the analyst can open.

Each round computes gradients on shares, grows one tree for each output, and adds what every row gains to its margin.
Rows and features are drawn by a public seed. Between rounds a party's state is its shares of the margins and of the
trees so far, which `keep` may store on the owner's own disk: training goes on from there if a party dies.

What anyone learns is declared in `LEAKAGE`; nothing is opened before the model is, to the analyst alone.
Source: Deforth et al., PoPETs 2022(4).
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from components.boosting.secret_shared.agreement import Agreement
from components.boosting.secret_shared.grow import Grown, grow
from components.boosting.secret_shared.objective import base_margins, shared_labels, statistics
from components.boosting.secret_shared.splits import candidate_splits
from components.boosting.secret_shared.view import Holding, View
from components.mpc.engine import Engine
from components.mpc.randomness import KEY_BYTES, Keystream
from components.mpc.shared import Shared

LEAKAGE = (
    "all parties and the dealer know the agreement: the schema with its categories, who holds which columns, the "
    "number of rows of each part and owner, the number of bins of each feature and whether an owner's values are "
    "missing anywhere, the group levels each owner has, the training parameters; for regression the range of each "
    "owner's labels to two digits",
    "owners whose columns are of the same persons learn which rows they have in common, and how many each has; with "
    "three or more, also how many rows any of the others share, but not which",
    "all owners learn, of each numeric feature whose rows lie with several, whether it has ten values or more a bin "
    "among the training rows of all; if so, its k/max_bin quantile for each k, and whether the cut lies below or "
    "above: values that somebody holds, ten ranks or more apart, repeats included, which say how common a value is, to "
    "one part in max_bin; each matching with another max_bin, or of other rows, adds to this",
    "owners on machines of their own are told of one another how many rows and persons each has, and the newest time "
    "in its training rows, and so is whoever reads the Prefect server that they are asked through",
    "the dealer sees how fast each owner takes what it is sent, and when it has taken all of it",
    "the analyst, and nobody else, receives the model with its gradient and hessian sums",
    "the analyst receives labels, groups and margins of held-out rows under pseudonyms, to judge the model by; an "
    "analyst who holds columns of the same persons knows who each row is, and so learns these of named persons, and "
    "with the model something of their other features",
    "all of it holds against owners who follow the protocol, even if all but one pool what they see, as long as none "
    "of them colludes with the dealer, and as long as each runs under a user of its own: on one machine, under one "
    "user, nothing keeps them apart",
)
"""One sentence for each thing someone learns in mode `secret_shared`."""

Report = Callable[[int, int], None]
"""Called with the round and the level just done."""


@dataclass
class SharedModel:
    """A party's shares of a model: `base` (outputs, 1) and the trees of every round."""

    base: Shared
    rounds: list[Grown] = field(default_factory=list)


@dataclass(frozen=True)
class State:
    """What a party keeps between rounds."""

    model: SharedModel
    margins: Shared
    """(outputs, n)"""


def train(
    engine: Engine,
    agreement: Agreement,
    holding: Holding,
    *,
    start: State | None = None,
    report: Report = lambda tree, level: None,
    keep: Callable[[int, State], None] = lambda done, state: None,
) -> SharedModel:
    """Train on what the parties hold; `start` is this party's state after the last finished round of an earlier try."""
    agreement.require_fits()
    view = View(engine, agreement, holding)
    labels = shared_labels(engine, agreement, holding)
    if start is None:
        base = base_margins(agreement, labels)
        start = State(SharedModel(base), base + engine.zeros((agreement.outputs, agreement.rows)))
    model, margins = start.model, start.margins
    for number in range(len(model.rounds), agreement.parameters.rounds):
        rows, features = drawn(agreement, number)
        derivatives = statistics(agreement, margins, labels).times(rows)
        splits = candidate_splits(agreement, features)
        grown = grow(agreement, view, splits, derivatives, lambda level, number=number: report(number, level))
        margins = margins + grown.added
        model.rounds.append(grown)
        keep(number + 1, State(model, margins))
    return model


def drawn(agreement: Agreement, number: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows (n,) 0/1 and the features (positions) of a round: a public draw from the agreed seed.

    From a keystream of a public key, for all parties must draw the same and NumPy's generators may change with it.
    """
    parameters = agreement.parameters
    stream = Keystream(parameters.seed.to_bytes(KEY_BYTES // 2) + number.to_bytes(KEY_BYTES // 2))
    kept = stream.draw((agreement.rows,)) >> np.uint64(11)
    rows = (kept < parameters.subsample * 2.0**53).astype(np.int64)
    count = max(1, round(parameters.colsample_bytree * len(agreement.features)))
    return rows, np.sort(stream.permutation(len(agreement.features))[:count])
