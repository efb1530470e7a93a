"""Predictions on held-out rows, wherever these may be looked at: what `evaluate` chooses and measures by.

Where rows are pooled, models score tables; in a federation every owner scores its own rows. Where owners hold shares,
each model is a weighted sum of models that they hold shares of; rows are scored on shares and the analyst receives
margins, which add up like the models.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import xgboost
from mlflow import MlflowClient

from components.boosting.parameters import objective_of
from components.boosting.pooled import predict
from components.data.predictions import Predictions, predictions_of
from components.data.schema import Label
from components.data.table import Table
from components.errors import InvalidInput
from components.fairness import one_row_per_person
from tasks.champion import Champion
from tasks.evidence import stored_model
from tasks.federation import score_at_owners
from tasks.holdings import divide, pooled_table, schema_of
from tasks.progress import reporter
from tasks.references import Data, Trained
from tasks.settings import Settings
from tasks.together import MAX_BIN, require_scorable, score_held_out, scores_of

CHAMPION, NOISE = "the champion", "other_seed"
"""Names beside the candidates'."""


@dataclass(frozen=True)
class Scored:
    """Model → predictions on the selection and on the gate rows; `majority` is the best constant answer."""

    selection: Mapping[str, Predictions]
    gate: Mapping[str, Predictions]
    majority: float


def scored_rows(
    client: MlflowClient, settings: Settings, data: Data, trained: Trained, champion: Champion | None
) -> Scored:
    """Score every candidate, the champion and the noise floor's model, in the way the training mode allows."""
    if trained["mode"] == "pooled" or "crowd" in data:
        return _on_tables(client, data, trained, champion)
    if trained["mode"] == "federated":
        return _at_owners(client, settings, data, trained, champion)
    return _on_shares(settings, data, trained, champion)


def require_shared(settings: Settings, data: Data, champion: Champion | None) -> None:
    """Refuse a champion that these owners cannot score on shares, which no candidate could be compared with.

    Raises
    ------
    InvalidInput
        It was trained in another mode, with other owners or on columns that others held, or its shares are lost.
    """
    if champion is None:
        return
    if not champion.shares:
        raise InvalidInput(
            f"champion version {champion.version} was not trained in mode secret_shared, so owners hold no shares of "
            "it and cannot score it without showing their rows; start anew under another model name (--model)"
        )
    require_scorable(settings, data, [key for key, _ in champion.share_terms])


def constant_answer(labels: np.ndarray, rule: Label) -> float:
    """The best constant answer on (n,) labels: the most frequent class, or the median for regression."""
    if rule.kind == "regression":
        return float(np.median(labels))
    return float(np.bincount(labels).argmax())


def _on_tables(client: MlflowClient, data: Data, trained: Trained, champion: Champion | None) -> Scored:
    table = pooled_table(data)
    part = divide(data)
    selection, gate = (_independent(table.take(rows)) for rows in (part.selection, part.gate))
    stored = trained["candidates"] | ({NOISE: trained["noise"]} if trained["noise"] else {})
    boosters: dict[str, xgboost.Booster] = {name: stored_model(client, one) for name, one in stored.items()}
    if champion:
        boosters[CHAMPION] = champion.booster
    return Scored(
        *(
            {name: predictions_of(rows, predict(one, rows)) for name, one in boosters.items()}
            for rows in (selection, gate)
        ),
        constant_answer(table.take(part.train).labels, data_rule(data)),
    )


def _at_owners(
    client: MlflowClient, settings: Settings, data: Data, trained: Trained, champion: Champion | None
) -> Scored:
    models = {name: stored_model(client, one) for name, one in trained["candidates"].items()}
    held = score_at_owners(
        settings, data, models | ({CHAMPION: champion.booster} if champion else {}), lambda party, event: None
    )
    labels = next(iter(held.predictions.values())).labels[held.selection]
    return Scored(
        {name: one.take(held.selection) for name, one in held.predictions.items()},
        {name: one.take(~held.selection) for name, one in held.predictions.items()},
        constant_answer(labels, data_rule(data)),
    )


def _on_shares(settings: Settings, data: Data, trained: Trained, champion: Champion | None) -> Scored:
    sums = dict(trained["shares"])
    require_shared(settings, data, champion)
    if champion:
        sums[CHAMPION] = champion.share_terms
    keys = list(dict.fromkeys(key for terms in sums.values() for key, _ in terms))
    progress = reporter("scoring")
    held = score_held_out(
        settings,
        data,
        keys,
        trained["record"]["parameters"]["max_bin"] or MAX_BIN,
        lambda party, event: progress(event["model"], event["models"], "on shares") if "model" in event else None,
    )
    objective = objective_of(data_rule(data))["objective"]
    predictions = {
        name: replace(held.rows, scores=scores_of(objective, sum(weight * held.margins[key] for key, weight in terms)))
        for name, terms in sums.items()
    }
    return Scored(
        {name: one.take(held.selection) for name, one in predictions.items()},
        {name: one.take(~held.selection) for name, one in predictions.items()},
        # The training labels are nobody's to see; the selection rows' are known by now.
        constant_answer(held.rows.labels[held.selection], data_rule(data)),
    )


def data_rule(data: Data) -> Label:
    """The label of the data's schema."""
    return schema_of(data).label


def _independent(table: Table) -> Table:
    return table.take(one_row_per_person(table))
