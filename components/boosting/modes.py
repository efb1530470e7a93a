"""Training modes: one call, one record, whoever may see the rows.

Every mode takes the data it is entitled to, the same parameters and the same options, and returns an ordinary model
with a record of what its training cost and gave away. What a mode leaks is part of that record, so no report can leave
it out. A mode that is not there is an error; there is no falling back to one that shows more.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType

import xgboost

from components.boosting.parameters import BoostingParameters
from components.boosting.pooled import Progress, train_pooled
from components.data.table import Table
from components.errors import InvalidInput


@dataclass(frozen=True)
class TrainingRecord:
    """How a model came about.

    `rounds` are those kept after early stopping; `bytes` what crossed between owners; `declared_leakage` one sentence
    for each thing someone learns beyond the model.
    """

    mode: str
    seed: int
    rounds: int
    rows: int
    seconds: float
    bytes: int
    declared_leakage: tuple[str, ...]
    parameters: dict
    costs: dict = field(default_factory=dict)
    """What else a mode counts: rounds of messages, bytes dealt beforehand, seconds of each phase, peak memory."""

    def to_json(self) -> dict:
        """A JSON-ready record."""
        return asdict(self) | {"declared_leakage": list(self.declared_leakage)}


def pooled(
    table: Table,
    parameters: BoostingParameters,
    *,
    validation: Table | None = None,
    progress: Progress | None = None,
) -> tuple[xgboost.Booster, TrainingRecord]:
    """Train where all rows lie; see `train_pooled`."""
    started = time.perf_counter()
    booster = train_pooled(table, parameters, validation=validation, progress=progress)
    record = TrainingRecord(
        mode="pooled",
        seed=parameters.seed,
        rounds=booster.num_boosted_rounds(),
        rows=len(table),
        seconds=time.perf_counter() - started,
        bytes=0,
        declared_leakage=("whoever trains sees every row and label",),
        parameters=parameters.model_dump(),
    )
    return booster, record


MODES: Mapping[str, str] = MappingProxyType(
    {
        "pooled": "trains where all rows lie",
        "federated": "an aggregator adds up what owners of the same columns send under masks, and sees nothing else",
        "secret_shared": "owners train together on shares; only the analyst sees the trees",
    }
)
"""Mode → what it means for who sees what."""


def require_mode(mode: str) -> None:
    """Raise `InvalidInput`, naming the modes there are, unless `mode` is one."""
    if mode not in MODES:
        raise InvalidInput(f"mode is {mode!r}; the training modes are {', '.join(MODES)}")
