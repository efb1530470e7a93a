"""Asking a person: the flow pauses until somebody answers in the Prefect UI, or time runs out and nothing changes."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import copy_context
from threading import Timer
from uuid import UUID

from prefect import pause_flow_run, resume_flow_run
from prefect.context import FlowRunContext
from prefect.exceptions import FlowPauseTimeout, NotPausedError

from tasks.links import mlflow_link, prefect_link
from tasks.promote import Approval
from tasks.references import Judged, Registered, Run
from tasks.settings import load_settings
from tasks.stage import logger

_LOOK_EVERY = 2  # seconds between two looks at whether somebody answered
_MARGIN = 3600  # seconds


def ask_a_person(run: Run, registered: Registered, judged: Judged, *, hours: float) -> Approval | None:
    """The answer, or None where nobody approved; anything but a clear yes with a name and a reason is a no."""
    against = f", instead of version {run['champion']}" if run["champion"] else ""
    reasons = "\n".join(f"- {reason}" for reason in judged["reasons"])
    question = Approval.with_initial_data(
        description=f"Shall **version {registered['version']} of {registered['model']}** become champion{against}? "
        f"Policy *{judged['policy']}* could not settle:\n\n{reasons}\n\n"
        f"Error and flips in full: [MLflow]({mlflow_link(load_settings(), run)})."
    )
    seconds = hours * 3600
    flow_run = FlowRunContext.get().flow_run.id
    logger().warning("on hold: waiting %g h for a person at %s", hours, prefect_link(load_settings(), str(flow_run)))
    # The server fails a run whose own pause runs out, though nothing has failed: so the clock declines before that.
    with _declined_after(seconds, flow_run):
        try:
            answer = pause_flow_run(
                wait_for_input=question, timeout=int(seconds) + _MARGIN, poll_interval=_LOOK_EVERY, key="hold"
            )
        except FlowPauseTimeout:
            answer = None
    # A pause that is entered again after a restart can return nothing: that is no approval.
    if answer is None or not answer.approve:
        logger().info("not approved%s; the champion stays", f" ({answer.reason})" if answer and answer.reason else "")
        return None
    if not (answer.name.strip() and answer.reason.strip()):
        logger().warning("approved without a name or a reason, which the ledger asks for; the champion stays")
        return None
    return answer


@contextmanager
def _declined_after(seconds: float, flow_run: UUID) -> Iterator[None]:
    def decline() -> None:
        # Whoever answered in the last moment has resumed the run already.
        with suppress(NotPausedError):
            resume_flow_run(flow_run, run_input={"reason": f"nobody answered in {seconds / 3600:g} h"})

    clock = Timer(seconds, copy_context().run, [decline])
    clock.daemon = True
    clock.start()
    try:
        yield
    finally:
        clock.cancel()
