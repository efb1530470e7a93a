"""Flows run for real: one embedded Prefect server a session, and an MLflow store for each test."""

import importlib
import multiprocessing
import multiprocessing.forkserver
import os
import signal
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from components.boosting import BoostingParameters, CandidatePlan
from components.errors import InvalidInput
from components.partition import Even
from flows.tabular import tabular

FAST = BoostingParameters(rounds=15, max_depth=2, threads=1)
RETRAIN = CandidatePlan(kinds=())
ROOT = Path(__file__).parents[2]
STORES = ("TROTH_HOME", "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "PREFECT_HOME")


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


@pytest.fixture
def run_apart(run, monkeypatch):
    """A quick run in a mode in which nothing after the deal may join the owners' rows."""

    def forbidden(*_):
        raise AssertionError("a stage joined what owners hold")

    monkeypatch.setattr("tasks.train.pooled_table", forbidden)
    monkeypatch.setattr("tasks.held_out.pooled_table", forbidden)

    def start(mode: str, data, **options):
        defaults = {"candidates": CandidatePlan(blend_weights=(0.5,)), "partition_plan": Even(owners=2)}
        return run(data, mode=mode, **{**defaults, **options})

    return start


@pytest.fixture(scope="session")
def _server() -> str:
    """The address of the embedded Prefect server, which processes of their own share with this one."""
    from prefect.server.api.server import SubprocessASGIServer

    server = SubprocessASGIServer()
    server.start()
    return server.api_url


@pytest.fixture
def apart(home, policy, _server):
    """A function that starts the same quick run in a process of its own; what became of each is in `outcomes`.

    At the call of `at` ("module.function") it waits for `barrier`; without one it is killed, as by a power cut.
    """
    context = multiprocessing.get_context("forkserver")
    outcomes = context.Queue()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        for name, value in {"PYTHONPATH": str(ROOT), "PREFECT_API_URL": _server}.items():
            patch.setenv(name, value)
        context.set_forkserver_preload(["tests.forked", "tests.flows.conftest"])
        multiprocessing.forkserver.ensure_running()
    environment = {name: os.environ[name] for name in STORES} | {"PREFECT_API_URL": _server}

    def start(data, *, at: str | None = None, barrier=None, **options):
        options = {"training": FAST, "candidates": RETRAIN, "policy": policy()} | options | {"data": data}
        process = context.Process(target=_run_here, args=(environment, options, at, barrier, outcomes))
        process.start()
        return process

    start.barrier, start.outcomes = context.Barrier, outcomes
    return start


def _run_here(environment: dict[str, str], options: dict, at: str | None, barrier, outcomes) -> None:
    os.environ.update(environment)
    if at:
        module, _, name = at.rpartition(".")
        function = getattr(importlib.import_module(module), name)

        def interrupted(*given, **named):
            barrier.wait(timeout=180) if barrier else os.kill(os.getpid(), signal.SIGKILL)
            return function(*given, **named)

        setattr(importlib.import_module(module), name, interrupted)
    try:
        # Prefect read its settings when the fork server imported it, which may be before there was this server; without
        # it, each run starts one of its own that outlives it when it is killed.
        with temporary_settings({PREFECT_API_URL: environment["PREFECT_API_URL"]}):
            outcomes.put(tabular(**options))
    except InvalidInput as refusal:
        outcomes.put(str(refusal))


def stage_of(client, run_id: str, name: str):
    """The nested run of a stage beside the one that registered a version."""
    from tasks.tracking import find_stage

    registered = client.get_run(run_id)
    return find_stage(client, registered.data.tags["mlflow.parentRunId"], registered.info.experiment_id, name)
