"""Asking a person: the flow pauses until somebody answers in the Prefect UI, or time runs out and nothing changes."""

from prefect import pause_flow_run
from prefect.exceptions import FlowPauseTimeout

from tasks.promote import Approval
from tasks.references import Judged
from tasks.stage import logger


def ask_a_person(judged: Judged, *, hours: float) -> Approval | None:
    """The answer, or None where nobody approved; anything but a clear yes with a reason is a no."""
    reasons = "\n".join(f"- {reason}" for reason in judged["reasons"])
    question = Approval.with_initial_data(description=f"The gate could not settle every check:\n\n{reasons}")
    try:
        answer = pause_flow_run(wait_for_input=question, timeout=int(hours * 3600), key="hold")
    except FlowPauseTimeout:
        logger().warning("nobody answered within %g hours; the champion stays", hours)
        return None
    # A pause that is entered again after a restart can return nothing: that is no approval.
    if answer is None or not answer.approve:
        logger().info("not approved; the champion stays")
        return None
    if not answer.reason.strip():
        logger().warning("approved without a reason, which the ledger asks for; the champion stays")
        return None
    return answer
