"""Asking members on other machines: a Prefect flow run for each, taken up by the worker of that member.

Only public requests go out and only public documents come back, as artifacts of the flow runs, so that what an owner
has said of itself can be read in the Prefect UI. When one fails the rest is called off, and the sentence is that of the
first cause; but a member that others can do without may be late or lost, and is asked again.
"""

import os
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass, field
from threading import Event
from typing import TypeVar
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.runtime import flow_run
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_CLIENT_CUSTOM_HEADERS,
    PREFECT_CLIENT_MAX_RETRIES,
    temporary_settings,
)
from prefect.states import Cancelling, Crashed, State

from components.errors import InvalidInput
from components.mpc.launch import PartyCrashed
from components.mpc.network import PartyLost
from tasks.answers import from_markdown
from tasks.own_part import Request
from tasks.stage import logger

FLOW = "take-part"
AUTH_STRING, API_KEY = "TROTH_OWNERS_AUTH_STRING", "TROTH_OWNERS_API_KEY"
"""Credentials for an owners' server that is not the pipeline's own; those of the latter go nowhere else."""

T = TypeVar("T")

_POLL, _GRACE, _AGAIN, _SOON = 0.5, 10.0, 2.5, 20.0


def require_server(server: str | None) -> None:
    """Refuse to ask anybody without a Prefect server that others can reach: `server`, or else the one in use.

    Raises
    ------
    InvalidInput
        There is none.
    """
    if not (server or PREFECT_API_URL.value()):
        raise InvalidInput(
            "owners on other machines are asked through a Prefect server, and none is in use; name theirs as 'prefect' "
            "in owner.yaml, or set PREFECT_API_URL to it"
        )


def ask(
    requests: Mapping[str, Request],
    *,
    server: str | None,
    patience: float,
    meanwhile: Callable[[Event], T] | None = None,
    dispensable: Collection[str] = (),
) -> tuple[dict[str, dict], T | None]:
    """Ask members by name, do one's own part `meanwhile`, and wait for all.

    Parameters
    ----------
    server
        API of the Prefect server they are asked through; None for the one this run is on.
    patience
        Seconds for a worker to take a request up.
    meanwhile
        Called with an event that is set when it should give up, since somebody else failed.
    dispensable
        Members whom the others can do without: who is lost or comes late is asked again as long as the others go on.

    Returns
    -------
    Each member's public document, of the dispensable as far as they were there in the end, and what `meanwhile`
    returned.

    Raises
    ------
    InvalidInput
        A member is not served by any worker, or refuses.
    PartyLost, PartyCrashed
        A member died, fell silent, or failed.
    """
    require_server(server)
    stop = Event()
    with _client(server) as prefect, ThreadPoolExecutor(1) as threads:
        asked = {
            name: _Asked(name, _deployment(prefect, name), request, name in dispensable)
            for name, request in requests.items()
        }
        try:
            for one in asked.values():
                one.ask(prefect)
            # In this context, so that progress is reported as this stage's.
            own = threads.submit(copy_context().run, meanwhile, stop) if meanwhile else None
            _wait(prefect, list(asked.values()), own, patience)
            answered = {name: _document(prefect, one.run) for name, one in asked.items() if one.answered}
            return answered, own and own.result()
        finally:
            stop.set()
            _call_off_all(prefect, [run for one in asked.values() for run in one.runs])


def end_left_over(name: str) -> None:
    """End what a member's machine was asked before it went down: nobody there works at it any more."""
    with get_client(sync_client=True) as prefect, suppress(ObjectNotFound):
        deployment = prefect.read_deployment_by_name(f"{FLOW}/{name}")
        for run in prefect.read_flow_runs(
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id])),
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.CANCELLING]))
            ),
        ):
            prefect.set_flow_run_state(run.id, Crashed(message="its machine was started again"), force=True)


def was_called_off() -> bool:
    """Whether this flow run was called off before it began. Prefect lets it begin all the same where its worker took it
    up at that moment, and it would wait for others who have long given up.
    """
    with get_client(sync_client=True) as prefect:
        states = prefect.read_flow_run_states(UUID(flow_run.get_id()))
    return any(state.is_cancelled() or state.is_cancelling() for state in states)


def _client(server: str | None) -> SyncPrefectClient:
    if server is None or server.rstrip("/") == (PREFECT_API_URL.value() or "").rstrip("/"):
        return get_client(sync_client=True)
    with temporary_settings(restore_defaults={PREFECT_CLIENT_CUSTOM_HEADERS}):
        return SyncPrefectClient(server, auth_string=os.environ.get(AUTH_STRING), api_key=os.environ.get(API_KEY))


@dataclass
class _Asked:
    """A member that was asked, once or again; `runs` are all flow runs made for it, the last of which counts."""

    name: str
    deployment: DeploymentResponse
    request: Request
    is_dispensable: bool
    runs: list[UUID] = field(default_factory=list)
    since: float = 0.0
    answered: bool = False
    gone: bool = False
    missed: bool = False

    @property
    def run(self) -> UUID:
        return self.runs[-1]

    def ask(self, prefect: SyncPrefectClient) -> None:
        self.since, self.gone = time.monotonic(), False
        parameters = {"request": self.request.model_dump(mode="json")}
        made = prefect.create_flow_run_from_deployment(
            self.deployment.id, parameters=parameters, tags=[f"asked by {flow_run.name or 'the analyst'}"]
        )
        self.runs.append(made.id)

    def ask_again(self, prefect: SyncPrefectClient) -> None:
        """Ask anew who was lost, ever more slowly: who is turned away each time must not fill the server's lists."""
        if time.monotonic() - self.since > _AGAIN * 2 ** min(len(self.runs), 6):
            self.ask(prefect)


def _deployment(prefect: SyncPrefectClient, name: str) -> DeploymentResponse:
    try:
        return prefect.read_deployment_by_name(f"{FLOW}/{name}")
    except ObjectNotFound:
        raise InvalidInput(
            f"there is no deployment {FLOW}/{name}, so '{name}' cannot be asked; "
            f"run 'troth parties serve DIR --as {name}' on its machine"
        ) from None


def _wait(prefect: SyncPrefectClient, asked: list[_Asked], own: Future | None, patience: float) -> None:
    """Return when all who are needed have finished; raise the first cause otherwise, a moment after the first failure.

    When they have finished, those who are not needed have a moment to say so too.
    """
    failures, deadline = [], None
    while deadline is None or time.monotonic() < deadline:
        for one in asked:
            if not (one.answered or one.gone) and (failure := _look_at(prefect, one, patience)):
                failures.append(failure)
        if own and own.done() and own.exception() and own.exception() not in failures:
            failures.append(own.exception())
        needed = [one for one in asked if not one.is_dispensable and not (one.answered or one.gone)]
        over = not needed and (own is None or own.done())
        if over and all(one.answered or one.gone for one in asked):
            break
        if deadline is None and (failures or over):
            # Who refuses is the cause; of a lost party others may know better what became of it.
            deadline = time.monotonic() + (_GRACE if all(isinstance(one, PartyLost) for one in failures) else 0)
        if deadline is None:
            for one in asked:
                if one.gone and one.is_dispensable:
                    one.ask_again(prefect)
        time.sleep(_POLL)
    failures += [own.exception()] if own and own.done() and own.exception() else []
    if failures:
        raise min(failures, key=_order)


def _look_at(prefect: SyncPrefectClient, one: _Asked, patience: float) -> Exception | None:
    """Note whether a member has answered or is gone; its failure, if that ends the run."""
    state = prefect.read_flow_run(one.run).state
    failure = None
    if state.is_completed():
        one.answered = True
    elif state.is_final():
        one.gone, failure = True, _failure(one.name, state)
    elif state.is_scheduled() or state.is_pending():
        waited = time.monotonic() - one.since
        if waited > patience:
            # A request that has waited this long is refused by whoever takes it up.
            _call_off(prefect, one.run)
            one.gone, failure = True, InvalidInput(_not_taken_up(one, patience))
            return None if one.is_dispensable else failure
        # One that is pending was taken up, and its process is still to begin.
        if waited > _SOON and not one.missed and state.is_scheduled():
            one.missed = True
            logger().warning(f"{_not_taken_up(one, _SOON)}; waiting up to {patience:g} s")
    return None if one.is_dispensable and isinstance(failure, PartyLost) else failure


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


def _not_taken_up(one: _Asked, seconds: float) -> str:
    name, pool = one.name, one.deployment.work_pool_name
    where = f"work pool '{pool}'" if pool else f"deployment {FLOW}/{name}"
    return (
        f"no worker of {where} took up what '{name}' was asked within {seconds:g} s; on its machine run "
        f"'troth parties serve DIR --as {name}', or start its worker"
    )


def _document(prefect: SyncPrefectClient, run: UUID) -> dict:
    found = prefect.read_artifacts(artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run])))
    return from_markdown(found[0].data)


def _call_off_all(prefect: SyncPrefectClient, runs: list[UUID]) -> None:
    """As far as the server is there: however this run ends, it does not end otherwise because it could not tidy up."""
    with suppress(httpx.HTTPError), temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 1}):
        for run in runs:
            _call_off(prefect, run)


def _call_off(prefect: SyncPrefectClient, run: UUID) -> None:
    """End a run that still waits or goes on: what is not taken up by now must not be taken up later.

    The server decides by what the run is at that moment: one that waits is cancelled, of one that was taken up its
    worker is told, and what has ended stays as it is.
    """
    with suppress(PrefectHTTPStatusError, ObjectNotFound):
        prefect.set_flow_run_state(run, Cancelling(message="called off"))
