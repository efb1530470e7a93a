"""`take-part`: what a worker on the machine of an owner, dealer or aggregator runs for the pipeline elsewhere.

Its parameters are public; everything private it reads from that machine's `owner.yaml`. What becomes public is an
artifact of the flow run, so that an owner can look up what it has said. It never raises: an exception would carry text
and traceback into Prefect's log and database.
"""

from datetime import UTC, datetime

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed, State

from tasks.answers import answer, to_markdown
from tasks.own_part import Request
from tasks.workers import was_called_off


@flow(name="take-part", flow_run_name="{request.what}", persist_result=False, log_prints=False)
def take_part(request: Request) -> State:
    """Announce this owner's part, or take part in a program with the others."""
    if was_called_off():
        return Cancelled(message="called off before it began")
    ending, said = answer(request, asked_for=flow_run.get_scheduled_start_time(), now=datetime.now(UTC))
    if ending != "Completed":
        return Failed(name=ending, message=said)
    create_markdown_artifact(to_markdown(said), description="What this machine told the others")
    return Completed(message=f"{request.what}: done")
