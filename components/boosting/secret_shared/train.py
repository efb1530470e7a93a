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
    "every owner and the dealer: the agreement: the schema with its categories, who holds which columns, the number of "
    "rows of each part and owner, the number of bins of each feature and whether an owner's values are missing "
    "anywhere, the group levels of each owner, the parameters; for regression the range of each owner's labels to two "
    "digits",
    "owners of different columns: which rows they have in common, and how many each has (private set intersection); of "
    "three or more, also how many rows any of the others share, but not which",
    "all owners: of each numeric feature whose rows lie with several, whether one of these has ten training values or "
    "more a bin; if so, for each k the k/max_bin quantile of the values of all who have, a value that somebody holds, "
    "and on which side of it the cut lies: ranks ten rows apart or more, of which a person may have several, and where "
    "quantiles coincide, how common a value is, to 1/max_bin; each matching with another max_bin, or of other rows, "
    "adds to this",
    "an owner of the same columns: from those quantiles and its own values, about how many rows of the others lie "
    "below each; of two owners that is the other's distribution in max_bin steps, on average of ten rows or more, and "
    "each perhaps of fewer, down to one",
    "owners apart and who reads their Prefect server: how many rows and persons each owner has and the newest time in "
    "its training rows, what it adds to the agreement (rows of each part, numbers of cuts, missing values, group "
    "levels, label range), and of each program its seconds, processor time, peak memory and bytes at each owner",
    "the dealer: how fast each owner takes what it is sent, and when it has taken all of it",
    "the analyst: the model, with its gradient and hessian sums",
    "the analyst: labels, groups and margins of held-out rows under pseudonyms, to judge the model by; an analyst who "
    "holds columns of the same persons knows who each row is, and so learns these of named persons, and with the model "
    "something of their other features",
    "who listens on the wire: who sends how much to whom, which is the same for every table of the same shape, and how "
    "long parties compute in between",
    "who pools what it sees: all owners but one, nothing more of the one left, as long as all follow the protocol; an "
    "owner and the dealer, everything; owners on one machine under one user are kept apart by nothing",
)
"""Who: what they learn, in mode `secret_shared`; docs/secret_shared.md has the same list."""

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
