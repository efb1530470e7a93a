"""Continuing the champion for some rounds: the cheapest update.

The champion's trees stay as they are and new trees correct its residuals, so that behaviour changes only where the rows
ask for it. Errors the champion learned stay in the sum, and the model grows with every update. Give it old rows and new
ones: on new rows alone the added trees fit those as if there were no others (docs/candidates.md).
"""

import xgboost

from components.boosting.model import require_updatable, up_to_best
from components.boosting.parameters import BoostingParameters
from components.boosting.pooled import Progress, fit
from components.data.table import Table


def warm_start(
    champion: xgboost.Booster,
    table: Table,
    parameters: BoostingParameters,
    *,
    rounds: int,
    validation: Table | None = None,
    progress: Progress | None = None,
) -> xgboost.Booster:
    """The champion and at most `rounds` more rounds fitted to `table`; the champion itself is left unchanged.

    Raises
    ------
    InvalidInput
        The champion has other features or another label, or is of a kind that cannot be continued.
    """
    require_updatable(champion, table)
    more = parameters.model_copy(update={"rounds": rounds})
    return fit(table, more, validation=validation, start=up_to_best(champion), progress=progress)
