"""Mode `federated` with a crowd: very many small owners, simulated in this process, of whom each round asks a few.

The crowd's rows lie in one store, so this is a rehearsal and says so in its record. A training that was interrupted
goes on from its last round.
"""

import resource
import time
from dataclasses import asdict

import xgboost

from components.boosting.federated import SumNoise, kept_in, read_progress, train
from components.boosting.federated.crowd import CrowdOfOwners
from components.boosting.federated.model import model_of
from components.boosting.federated.noise import counted_parts
from components.boosting.federated.programs import KEPT
from components.boosting.modes import TrainingRecord
from components.boosting.parameters import BoostingParameters
from components.errors import InvalidInput
from components.federated import SecureBatch, least_survivors
from components.federated.selection import Selection
from components.federated.simulation import OpenBatch, SimulatedFederation
from components.partition import Crowd
from tasks.federation import Happened, Said, agreement_of, digest_of, happened_in, record_of, with_bins_for
from tasks.holdings import pooled_table
from tasks.locks import waiting
from tasks.references import Data
from tasks.settings import Settings

MAX_BIN = 32
"""Bins of a numeric feature where none are asked for: a round sees few rows."""


def train_crowd(
    settings: Settings,
    data: Data,
    parameters: BoostingParameters,
    selection: Selection | None,
    noise: SumNoise | None,
    said: Said,
) -> tuple[xgboost.Booster, TrainingRecord, Happened]:
    """Train on the training rows of those whom each round asks; as `train_with_aggregator`.

    Raises
    ------
    InvalidInput
        Nothing says how many owners a round asks, or fewer have rows.
    """
    if selection is None:
        raise InvalidInput("a crowd needs a selection, which says how many owners a round asks (--select 50)")
    parameters = with_bins_for(data, parameters, usual=MAX_BIN)
    plan = Crowd.model_validate(data["crowd"]["plan"])
    parts = counted_parts(selection.owners, members=plan.owners, threshold=least_survivors(plan.owners))
    agreement = agreement_of(data, parameters, selection, noise, contributors=parts)
    key = digest_of([agreement.model_dump(mode="json"), data["crowd"], data["digest"]])
    kept = settings.root / "together" / f"crowd-{key}" / KEPT

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
            start=read_progress(kept),
            keep=kept_in(kept),
            said=lambda **event: said("aggregator", event),
            begins=begins,
            batches=SecureBatch if plan.masks else OpenBatch,
        )
    used = resource.getrusage(resource.RUSAGE_SELF)
    counts = {"everybody": {"cpu_seconds": time.process_time() - began, "peak_bytes": used.ru_maxrss * 1024}}
    told = {
        "rounds": [asdict(one) for one in progress.rounds],
        "beside": sum(progress.traffic),
        "beside_seconds": progress.seconds,
        "losses": progress.losses,
        "cut_points_short": progress.cut_points_short,
        "noise": agreement.noise_plan and agreement.noise_plan.to_json(),
        "counts": counts,
    }
    return model_of(agreement, progress), record_of(agreement, told, crowd=plan), happened_in(told, asks_all=False)
