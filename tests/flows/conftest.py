"""Flows run for real: one embedded Prefect server a session, and an MLflow store for each test."""

import importlib
import multiprocessing
import multiprocessing.forkserver
import os
import signal
from pathlib import Path

import pytest

from components.boosting import BoostingParameters, CandidatePlan
from components.errors import InvalidInput
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


@pytest.fixture(scope="session")
def _server() -> str:
    """The address of the embedded Prefect server, which processes of their own share with this one."""
    from prefect.server.api.server import SubprocessASGIServer

    server = SubprocessASGIServer()
    server.start()
    return server.api_url


@pytest.fixture
def apart(home, policy, _server):
    """A function that starts the same quick run in a process of its own, and a queue of what became of each.

    With `dying_in` ("module.function") the process is killed, as by a power cut, at the call of that function.
    """
    context = multiprocessing.get_context("forkserver")
    outcomes = context.Queue()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT))
        for name, value in {"PYTHONPATH": str(ROOT), "PREFECT_API_URL": _server}.items():
            patch.setenv(name, value)
        context.set_forkserver_preload(["tests.flows.conftest"])
        multiprocessing.forkserver.ensure_running()
    environment = {name: os.environ[name] for name in STORES} | {"PREFECT_API_URL": _server}

    def start(data, *, dying_in: str | None = None, **options):
        options = {"training": FAST, "candidates": RETRAIN, "policy": policy()} | options | {"data": data}
        process = context.Process(target=_run_here, args=(environment, options, dying_in, outcomes))
        process.start()
        return process

    return start, outcomes


def _run_here(environment: dict[str, str], options: dict, dying_in: str | None, outcomes) -> None:
    os.environ.update(environment)
    if dying_in:
        module, _, function = dying_in.rpartition(".")
        setattr(importlib.import_module(module), function, _die)
    try:
        outcomes.put(tabular(**options))
    except InvalidInput as refusal:
        outcomes.put(str(refusal))


def _die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
