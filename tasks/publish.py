"""Stage `publish`: a new champion is encrypted for the users the policy lists, and for all who ask the old one.

It comes after the promotion and moves no champion; a user without good keys is refused before anything is trained.
"""

from components.encryption.enrolment import Scheme
from components.gates import Policy
from tasks.publications import Published, active_users, publish_champion
from tasks.publish_plan import keep_plan
from tasks.references import Promoted, Publication, Registered, Run
from tasks.settings import load_settings
from tasks.stage import logger, stage
from tasks.tracking import connect, stage_run


def require_users(policy: Policy) -> None:
    """Raise `InvalidInput` where the policy publishes for a user whose keys are not good."""
    if policy.publish:
        active_users(load_settings(), policy.publish.users)


def wanted_by(policy: Policy) -> dict[str, Scheme]:
    """How a policy wants models encrypted, by user."""
    if policy.publish is None:
        return {}
    plan = policy.publish
    return dict.fromkeys(plan.users, Scheme(plan.mode, plan.bits, plan.cut_points))


@stage(version=1, run_name="publish {registered[model]}", cached=False)
def publish(run: Run, registered: Registered, promoted: Promoted, policy: Policy) -> list[Publication]:
    """Encrypt the champion, where there is a new one; what is live already is left as it is.

    Of a version that is not promoted it is kept for whom it was meant, should a person promote it.
    """
    settings, client = connect()
    wanted = wanted_by(policy)
    if promoted["action"] != "promoted":
        keep_plan(settings, registered["model"], registered["version"], wanted)
        return []
    done = publish_champion(client, settings, registered["model"], wanted=wanted, tell=_tell)
    if done:
        with stage_run(client, run, "publish") as here:
            here.metrics({f"{one.user}.{name}": leak[0] for one in done for name, leak in one.leaks.items()})
            here.tags({f"troth.published.{one.user}": f"models:/{one.name}/{one.version}" for one in done})
    return [Publication(user=one.user, name=one.name, version=one.version, epoch=one.epoch) for one in done]


def _tell(one: Published) -> None:
    if one.changed:
        where = f"version {one.version} of {one.name}, epoch {one.epoch}"
        logger().info("published %s for %s: %s", one.source, one.user, where)
