"""Flows run for real: one embedded Prefect server a session, and an MLflow store for each test."""

import pytest

from components.boosting import BoostingParameters, CandidatePlan
from flows.tabular import tabular

FAST = BoostingParameters(rounds=15, max_depth=2, threads=1)
RETRAIN = CandidatePlan(kinds=())


@pytest.fixture(scope="session", autouse=True)
def _no_heartbeat():
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield


@pytest.fixture
def run(home, policy):
    """A quick `tabular` run: few small trees, the plain retrain alone, a lenient policy."""

    def start(data, **options):
        defaults = {"training": FAST, "candidates": RETRAIN, "policy": options.pop("policy", None) or policy()}
        return tabular(data=data, **{**defaults, **options})

    return start
