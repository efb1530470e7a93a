"""Where the champion is right on rows it never saw, for rows it was trained on too.

A model is right on its own training rows more often than it deserves, so a mask taken there would hold the new model to
memorised labels. Rows the champion knows are judged instead by models of like settings that did not train on them.
"""

import numpy as np
import xgboost

from components.boosting.parameters import BoostingParameters
from components.boosting.pooled import predict, train_pooled
from components.data.predictions import predictions_of
from components.data.table import Table
from components.errors import InvalidInput


def held_out_correctness(
    champion: xgboost.Booster,
    parameters: BoostingParameters,
    table: Table,
    *,
    seen: np.ndarray,
    folds: int = 5,
    seed: int = 0,
) -> np.ndarray:
    """(n,) bool: the champion's decision is right, judged on held-out terms.

    Rows outside `seen` (n,) bool ask the champion itself. Seen rows are dealt to `folds` by person, and each fold is
    judged by a model of `parameters` trained on the other folds for no more rounds than the champion has.

    Raises
    ------
    InvalidInput
        Fewer than two folds, or fewer persons among the seen rows than folds.
    """
    scores = np.array(predict(champion, table))
    if seen.any():
        rounds = min(parameters.rounds, champion.num_boosted_rounds())
        settings = parameters.model_copy(update={"rounds": rounds, "early_stopping_rounds": None})
        scores[seen] = _out_of_fold(table.take(seen), settings, folds, seed)
    return predictions_of(table, scores).right


def _out_of_fold(table: Table, parameters: BoostingParameters, folds: int, seed: int) -> np.ndarray:
    fold = folds_by_person(table.person, folds=folds, seed=seed)
    parts = [predict(train_pooled(table.take(fold != k), parameters), table.take(fold == k)) for k in range(folds)]
    scores = np.empty((len(table), *parts[0].shape[1:]), dtype=np.float32)
    for k, part in enumerate(parts):
        scores[fold == k] = part
    return scores


def folds_by_person(person: np.ndarray, *, folds: int, seed: int) -> np.ndarray:
    """(n,) fold of each row; all rows of a person share one, and folds hold equally many persons to within one."""
    persons, position = np.unique(person, return_inverse=True)
    if not 2 <= folds <= len(persons):
        raise InvalidInput(f"folds is {folds}; with {len(persons)} persons it must lie between 2 and {len(persons)}")
    return (np.random.default_rng(seed).permutation(len(persons)) % folds)[position]
