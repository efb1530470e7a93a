"""The run around the stages: found again if it was left unfinished, locked while it lasts, closed as it ended.

What a caller asks for (parameters and data, by digest) is the run's key. Asking again for what failed continues it with
the stages that are missing; asking for what is running right now is refused; asking for what finished starts anew.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext

from components.errors import InvalidInput
from tasks.abandoned import LOCKS, close_abandoned
from tasks.embedded_store import whole
from tasks.links import mlflow_link, prefect_link
from tasks.loader import champion_of
from tasks.locks import alone, name_of_locks
from tasks.references import Run
from tasks.registry_reach import check_reachable
from tasks.stage import logger
from tasks.tracking import Resume, Stage, close_run, connect, how_it_ended, open_run


def request_key(pipeline: str, request: Mapping[str, object]) -> str:
    """What two runs that were asked for the same have in common."""
    return hashlib.sha256(json.dumps([pipeline, request], sort_keys=True).encode()).hexdigest()


@contextmanager
def pipeline_run(
    pipeline: str, *, name: str, model: str, request: Mapping[str, object], resume: Resume = "timely"
) -> Iterator[Run]:
    """The MLflow run of a flow run; `request` (JSON-ready) is everything that decides what it will do.

    An unfinished run of the same request goes on: with `resume` timely if no other replaced the champion it began with,
    which would come to nothing; always where what it has done must not be paid for twice; or never.
    """
    settings, client = connect()
    check_reachable(settings)
    key = request_key(pipeline, request)
    for run_id in close_abandoned(client, settings):
        logger().info("run %s was left running by a process that died; it is marked as killed", run_id)
    with alone(settings, key, name):
        champion = champion_of(client, settings, model)
        context = FlowRunContext.get()
        tags = {"troth.pipeline": pipeline, "troth.model": model, LOCKS: name_of_locks(settings)}
        if context:
            flow_run = str(context.flow_run.id)
            tags |= {"prefect.flow_run_id": flow_run, "prefect.link": prefect_link(settings, flow_run)}
            _label(context, "troth", pipeline, model)
        run = None
        try:
            # What is begun is known here, to be closed, whenever a signal comes.
            with whole(client):
                run, goes_on = open_run(
                    client,
                    settings,
                    pipeline=pipeline,
                    name=name,
                    model=model,
                    key=key,
                    champion=champion and champion.version,
                    tags=tags,
                    resume=resume,
                )
            Stage(client, run["run_id"]).parameters(request)
            if goes_on:
                logger().info("continuing the unfinished run %s; finished stages are not repeated", run["name"])
            yield run
            close_run(client, run["run_id"], "FINISHED")
        except BaseException as failure:
            if run:
                refused = str(failure) if isinstance(failure, InvalidInput) else ""
                close_run(client, run["run_id"], how_it_ended(failure), refused=refused)
            raise
        logger().info("MLflow run: %s", mlflow_link(settings, run))


def _label(context: FlowRunContext, *tags: str) -> None:
    """Tag the flow run. Its tasks have none: Prefect asks the server for a limit of each tag, a second a task."""
    with get_client(sync_client=True) as prefect:
        prefect.update_flow_run(context.flow_run.id, tags=sorted({*context.flow_run.tags, *tags}))
