"""Mode `federated` with a crowd: very many small owners, simulated in this process, of whom each round asks a few.

The crowd's rows lie in one store, so this is a rehearsal and says so in its record. A training that was interrupted
goes on from its last round.
"""

import json
import resource
import time
from dataclasses import asdict

import xgboost

from components.boosting.federated import model_of, read_progress, to_document, train
from components.boosting.federated.crowd import CrowdOfOwners
from components.boosting.modes import TrainingRecord
from components.boosting.parameters import BoostingParameters
from components.errors import InvalidInput
from components.federated import SecureBatch
from components.federated.selection import Selection
from components.federated.simulation import OpenBatch, SimulatedFederation
from components.partition import Crowd
from components.secret_file import create_once
from tasks.federation import Said, agreement_of, digest_of, record_of
from tasks.holdings import pooled_table
from tasks.locks import waiting
from tasks.references import Data
from tasks.settings import Settings

MAX_BIN = 32
"""Bins of a numeric feature where none are asked for: a round sees few rows."""


def train_crowd(
    settings: Settings, data: Data, parameters: BoostingParameters, selection: Selection | None, said: Said
) -> tuple[xgboost.Booster, TrainingRecord, list[dict]]:
    """Train on the training rows of those whom each round asks; as `train_with_aggregator`.

    Raises
    ------
    InvalidInput
        Nothing says how many owners a round asks, or fewer have rows.
    """
    if selection is None:
        raise InvalidInput("a crowd needs a selection, which says how many owners a round asks (--select 50)")
    parameters = parameters.model_copy(update={"max_bin": parameters.max_bin or MAX_BIN})
    plan, agreement = Crowd.model_validate(data["crowd"]["plan"]), agreement_of(data, parameters, selection)
    key = digest_of([agreement.model_dump(mode="json"), data["crowd"], data["digest"]])
    kept = settings.root / "together" / f"crowd-{key}" / "progress.json"

    def keep(progress) -> None:
        aside = kept.with_suffix(".new")
        aside.unlink(missing_ok=True)
        create_once(aside, json.dumps(to_document(progress)).encode())
        aside.replace(kept)

    with waiting(settings, f"crowd-{key}"):
        began = time.process_time()
        crowd = CrowdOfOwners(agreement, pooled_table(data), plan, seed=data["crowd"]["seed"])
        federation = SimulatedFederation(crowd, crowd.names)

        def begins(number: int) -> None:
            crowd.come_to(number)
            federation.next_round()

        progress = train(
            federation,
            agreement,
            start=read_progress(json.loads(kept.read_text())) if kept.exists() else None,
            keep=keep,
            said=lambda **event: said("aggregator", event),
            begins=begins,
            batches=SecureBatch if plan.masks else OpenBatch,
        )
    rounds, used = [asdict(one) for one in progress.rounds], resource.getrusage(resource.RUSAGE_SELF)
    counts = {"everybody": {"cpu_seconds": time.process_time() - began, "peak_bytes": used.ru_maxrss * 1024}}
    told = {"rounds": rounds, "trained_rows": data["rows"], "counts": counts}
    return model_of(agreement, progress), record_of(agreement, told), rounds
