"""Training on owners' rows in one process: the whole protocol on one page, with plain sums where a federation has sums
under masks.

Every line that says `summed` is one message from each owner and one answer to all; nothing else passes between them.
Source: Chen and Guestrin, KDD 2016, algorithms 1 and 3.
"""

from collections.abc import Callable, Sequence

import numpy as np
import xgboost

from components.boosting.histogram.booster import document_of
from components.boosting.histogram.objective import intercept
from components.boosting.histogram.planner import Planner
from components.boosting.histogram.rows import Rows
from components.boosting.histogram.terms import Terms
from components.boosting.model import from_document
from components.boosting.pooled import Progress
from components.errors import InvalidInput


def train(
    terms: Terms, owners: Sequence[Rows], *, publish_sums: bool = True, progress: Progress | None = None
) -> xgboost.Booster:
    """Train an ordinary model on the rows of all owners; the same for any division of the rows where all are drawn.

    With early stopping the model has the rounds up to the best one.

    Raises
    ------
    InvalidInput
        No rows, more rows than declared, early stopping without validation rows, or a gradient that outgrows the terms.
    """
    parameters = terms.parameters

    def summed(ask: Callable[[Rows], np.ndarray]) -> np.ndarray:
        total = ask(owners[0])
        for owner in owners[1:]:
            total += ask(owner)
        return total

    rows, held_out, *labels = summed(Rows.label_sums).tolist()
    stopping = parameters.early_stopping_rounds
    if rows == 0:
        raise InvalidInput("no owner has rows to train on; give at least one owner rows")
    if stopping and held_out == 0:
        raise InvalidInput(
            f"early_stopping_rounds is {stopping} but no owner has validation rows to stop by; "
            "hold some out, or leave early_stopping_rounds empty"
        )
    terms.require_rows(rows + held_out)
    scores, margins = intercept(terms, np.array(labels), rows)
    for owner in owners:
        owner.start(margins)

    planner, trees = Planner(terms), []
    best, best_round = np.inf, -1
    for done in range(parameters.rounds):
        for output in range(terms.outputs):
            start = planner.begin(done * terms.outputs + output)
            level = planner.receive(summed(lambda owner, start=start: owner.begin(start)))
            while level.wanted:
                level = planner.receive(summed(lambda owner, level=level: owner.descend(level)))
            for owner in owners:
                owner.finish(level)
            trees.append(planner.tree)
        loss = float("nan")
        if stopping:
            loss = int(summed(Rows.loss)[0]) / terms.loss_scale / held_out
            if loss < best:
                best, best_round = loss, done
        if progress:
            progress(done + 1, parameters.rounds, loss)
        if stopping and done - best_round >= stopping:
            break
    kept = (best_round + 1) * terms.outputs if stopping else len(trees)
    return from_document(document_of(terms, scores, trees[:kept], publish_sums=publish_sums))
