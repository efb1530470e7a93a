"""The opened model: what the analyst, and only the analyst, receives.

Opened are the chosen candidate and cut of every node, the gradient and hessian sums that XGBoost's format holds (SHAP
needs them), the leaf values and the base margin: the model, and nothing that is not in its file (`booster`).
"""

from dataclasses import dataclass

import numpy as np

from components.boosting.secret_shared.agreement import Agreement
from components.boosting.secret_shared.train import SharedModel
from components.mpc.engine import Engine
from components.mpc.shared import Shared, concatenate

OPENED = ("splits", "cuts", "sums", "leaves", "base")
"""The names under which `reveal` counts what is opened, each once a model."""


@dataclass(frozen=True)
class OpenedModel:
    """Numbers of all trees, round by round, tree by tree, nodes in breadth-first order.

    `splits`, `cuts`: (rounds, outputs, 2^depth - 1); `sums`: (2, rounds, outputs, 2^(depth + 1) - 1), leaves last;
    `leaves`: (rounds, outputs, 2^depth); `base`: (outputs,).
    """

    splits: np.ndarray
    cuts: np.ndarray
    sums: np.ndarray
    leaves: np.ndarray
    base: np.ndarray


def open_model(engine: Engine, agreement: Agreement, model: SharedModel, analyst: int) -> OpenedModel | None:
    """Send every party's shares of the model to the analyst; None for everybody else."""
    outputs = agreement.outputs

    def nodes(per_level: list[Shared]) -> Shared:
        return concatenate([level.reshape(outputs, -1) for level in per_level], axis=1)

    def together(per_round: list[Shared]) -> Shared:
        return concatenate([one.reshape(1, *one.shape) for one in per_round])

    rounds = model.rounds
    asked = {
        "splits": together([nodes([level.chosen for level in one.levels]) for one in rounds]),
        "cuts": together([nodes([level.thresholds for level in one.levels]) for one in rounds]),
        "sums": concatenate(
            [
                together(
                    [nodes([*(level.sums[which] for level in one.levels), one.leaf_sums[which]]) for one in rounds]
                ).reshape(1, len(rounds), outputs, -1)
                for which in (0, 1)
            ]
        ),
        "leaves": together([one.leaves.reshape(outputs, -1) for one in rounds]),
        "base": model.base.reshape(outputs),
    }
    found = {name: engine.reveal(name, asked[name], to=analyst) for name in OPENED}
    if engine.party != analyst:
        return None
    whole = {name: np.rint(found[name]).astype(np.int64) for name in ("splits", "cuts")}
    return OpenedModel(**{**found, **whole})
