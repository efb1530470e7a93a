"""Asking members on other machines: a Prefect flow run for each, taken up by the worker of that member.

Only public requests go out and only public documents come back, as artifacts of the flow runs, so that what an owner
has said of itself can be read in the Prefect UI. When one fails the rest is called off, and the sentence is that of the
first cause.
"""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from threading import Event
from typing import TypeVar
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.responses import DeploymentResponse
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL
from prefect.states import Cancelled, Cancelling, State

from components.errors import InvalidInput
from components.mpc.launch import PartyCrashed
from components.mpc.network import PartyLost
from tasks.answers import from_markdown
from tasks.own_part import Request

FLOW = "take-part"
T = TypeVar("T")

_POLL, _GRACE = 0.5, 10.0


def require_server() -> None:
    """Refuse to ask anybody without a Prefect server that others can reach.

    Raises
    ------
    InvalidInput
        None is in use.
    """
    if not PREFECT_API_URL.value():
        raise InvalidInput(
            "owners on other machines are asked through a Prefect server, and none is in use; set PREFECT_API_URL to "
            "the one they use too"
        )


def ask(
    requests: Mapping[str, Request], *, patience: float, meanwhile: Callable[[Event], T] | None = None
) -> tuple[dict[str, dict], T | None]:
    """Ask members by name, do one's own part `meanwhile`, and wait for all.

    Parameters
    ----------
    patience
        Seconds for a worker to take a request up.
    meanwhile
        Called with an event that is set when it should give up, since somebody else failed.

    Returns
    -------
    Each member's public document, and what `meanwhile` returned.

    Raises
    ------
    InvalidInput
        A member is not served by any worker, or refuses.
    PartyLost, PartyCrashed
        A member died, fell silent, or failed.
    """
    require_server()
    stop = Event()
    with get_client(sync_client=True) as prefect, ThreadPoolExecutor(1) as threads:
        deployments = {name: _deployment(prefect, name) for name in requests}
        runs: dict[str, UUID] = {}
        try:
            for name, request in requests.items():
                runs[name] = run_deployment(
                    deployments[name].id, parameters={"request": request.model_dump(mode="json")}, timeout=0
                ).id
            # In this context, so that progress is reported as this stage's.
            own = threads.submit(copy_context().run, meanwhile, stop) if meanwhile else None
            _wait(prefect, deployments, runs, own, patience)
            return {name: _document(prefect, run) for name, run in runs.items()}, own and own.result()
        finally:
            stop.set()
            for run in runs.values():
                _call_off(prefect, run)


def _deployment(prefect: SyncPrefectClient, name: str) -> DeploymentResponse:
    try:
        return prefect.read_deployment_by_name(f"{FLOW}/{name}")
    except ObjectNotFound:
        raise InvalidInput(
            f"there is no deployment {FLOW}/{name}, so '{name}' cannot be asked; "
            f"run 'troth parties serve DIR --as {name}' on its machine"
        ) from None


def _wait(prefect, deployments, runs: Mapping[str, UUID], own: Future | None, patience: float) -> None:
    """Return when all have finished; raise the first cause otherwise, a moment after the first failure."""
    waiting, failures = dict(runs), []
    started, deadline = time.monotonic(), None
    while waiting or (own and not own.done()):
        if deadline is not None and time.monotonic() > deadline:
            break
        for name, run in list(waiting.items()):
            state = prefect.read_flow_run(run).state
            if state.is_final():
                del waiting[name]
                failures += [] if state.is_completed() else [_failure(name, state)]
            elif (state.is_scheduled() or state.is_pending()) and time.monotonic() - started > patience:
                del waiting[name]
                failures.append(_not_taken_up(name, deployments[name], patience))
        if own and own.done() and own.exception() and own.exception() not in failures:
            failures.append(own.exception())
        if failures and deadline is None:
            # Who refuses is the cause; of a lost party others may know better what became of it.
            deadline = time.monotonic() + (_GRACE if all(isinstance(one, PartyLost) for one in failures) else 0)
        time.sleep(_POLL)
    failures += [own.exception()] if own and own.done() and own.exception() else []
    if failures:
        raise min(failures, key=_order)


def _order(failure: BaseException) -> int:
    """What others follow from comes first; of the same kind, what was seen first."""
    match failure:
        case PartyLost():
            return 2
        case InvalidInput():
            return 0
        case _:
            return 1


def _failure(name: str, state: State) -> Exception:
    sentence = " ".join((state.message or state.name).split())[:500]
    match state.name:
        case "Refused":
            return InvalidInput(sentence)
        case "Faulty":
            return PartyCrashed(sentence)
        case "Lost":
            return PartyLost(sentence)
        case _:
            return PartyLost(
                f"party '{name}' ended before it was done ({sentence}); the same command goes on from there"
            )


def _not_taken_up(name: str, deployment: DeploymentResponse, patience: float) -> InvalidInput:
    where = f"work pool '{deployment.work_pool_name}'" if deployment.work_pool_name else f"deployment {FLOW}/{name}"
    return InvalidInput(
        f"no worker of {where} took up what '{name}' was asked within {patience:g} s; on its machine run "
        f"'troth parties serve DIR --as {name}', or start its worker"
    )


def _document(prefect: SyncPrefectClient, run: UUID) -> dict:
    found = prefect.read_artifacts(artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run])))
    return from_markdown(found[0].data)


def _call_off(prefect: SyncPrefectClient, run: UUID) -> None:
    """End a run that still waits or goes on: what is not taken up by now must not be taken up later."""
    with suppress(PrefectHTTPStatusError, ObjectNotFound):
        state = prefect.read_flow_run(run).state
        if state.is_scheduled() or state.is_pending():
            prefect.set_flow_run_state(run, Cancelled(message="called off"), force=True)
        elif state.is_running():
            prefect.set_flow_run_state(run, Cancelling(message="called off"))
