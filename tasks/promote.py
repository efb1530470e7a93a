"""Stage `promote`: the verdict carried out in the registry, and the ways a person may go against it.

Never answered from a record, because what it would change may have changed since; it is idempotent instead. One
promotion at a time: Prefect's limit keeps runs from queueing at the ledger's lock, the lock makes it so.
"""

from contextlib import AbstractContextManager, nullcontext

from prefect.client.orchestration import get_client
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectNotFound
from prefect.input import RunInput
from prefect.settings import PREFECT_API_URL
from pydantic import Field

from components.gates import Verdict
from tasks.evidence import stored_verdict
from tasks.promotion import PromotionOutcome, decide_promotion, promote_by_hand
from tasks.references import Judged, Promoted, Registered, Run
from tasks.stage import logger, stage
from tasks.tracking import connect, stage_run

LIMIT = "troth-promotion"


class Approval(RunInput):
    """What a person is asked when a candidate is on hold."""

    approve: bool = Field(False, description="Make it champion, on your word; left off, everything stays as it is.")
    name: str = Field("", description="Who you are: needed to approve, and kept in the ledger.")
    reason: str = Field("", description="Why: needed to approve, and kept in the ledger.")


@stage(version=1, run_name="promote {registered[model]} v{registered[version]}", cached=False)
def promote(run: Run, registered: Registered, judged: Judged) -> Promoted:
    """PROMOTE moves the champion's alias, HOLD the challenger's, REJECT none; the ledger has an entry of each."""
    settings, client = connect()
    with stage_run(client, run, "promote") as here, _one_at_a_time():
        verdict = stored_verdict(client, judged)
        outcome = decide_promotion(
            client,
            settings,
            name=registered["model"],
            version=registered["version"],
            verdict=verdict,
            expected_champion=run["champion"],
            model_digest=registered["model_digest"],
            schema_digest=registered["schema_digest"],
            data_digest=registered["data_digest"],
            policy=judged["policy"],
            policy_digest=judged["policy_digest"],
        )
        here.tags({"troth.action": outcome.action, "troth.champion": outcome.champion or ""})
        _tell(registered["model"], outcome)
        return _promoted(registered, judged, verdict, outcome)


@stage(version=1, run_name="override {registered[model]} v{registered[version]}", cached=False)
def override(run: Run, registered: Registered, judged: Judged, approval: Approval) -> Promoted:
    """A person's word against a HOLD."""
    settings, client = connect()
    with stage_run(client, run, "override") as here, _one_at_a_time():
        outcome = promote_by_hand(
            client,
            settings,
            name=registered["model"],
            version=registered["version"],
            why=approval.reason.strip(),
            who=approval.name.strip(),
            over=run["champion"],
        )
        here.tags({"troth.action": outcome.action, "troth.champion": outcome.champion or ""})
        _tell(registered["model"], outcome)
        return _promoted(registered, judged, stored_verdict(client, judged), outcome)


def _one_at_a_time() -> AbstractContextManager[object]:
    """A server's limit, where it has one; a slot of a process that died is free again after a minute."""
    if not PREFECT_API_URL.value():
        return nullcontext()  # an embedded server serves nobody else
    try:
        with get_client(sync_client=True) as prefect:
            prefect.read_global_concurrency_limit_by_name(LIMIT)
    except ObjectNotFound:
        return nullcontext()
    return concurrency(LIMIT, occupy=1, strict=False, lease_duration=60)


def _promoted(registered: Registered, judged: Judged, verdict: Verdict, outcome: PromotionOutcome) -> Promoted:
    return Promoted(
        model=registered["model"],
        decision=judged["decision"],
        action=outcome.action,
        version=outcome.version,
        champion=outcome.champion,
        replaced=outcome.replaced,
        sequence=outcome.sequence,
        because=judged["reasons"][0],
        others=len(judged["reasons"]) - 1,
        why=outcome.why,
        figures=verdict.context,
    )


def _tell(name: str, outcome: PromotionOutcome) -> None:
    champion = f"version {outcome.champion}" if outcome.champion else "nobody"
    match outcome.action:
        case "promoted":
            logger().info("version %s is champion of %s now", outcome.version, name)
        case "refuse":
            logger().warning("version %s of %s was not promoted: %s", outcome.version, name, outcome.why)
        case other:
            logger().info("version %s of %s: %s; %s is champion", outcome.version, name, other, champion)
