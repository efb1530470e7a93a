"""Stage `register`: the chosen candidate becomes a version in the model registry, whatever the verdict.

A refused model stays there with its reasons, so that the next person with the same idea finds out why it was refused.
"""

import json

from tasks.champion import LEVELS, SHARES, SPLIT, THROUGH, split_text
from tasks.evidence import stored_model
from tasks.holdings import schema_of
from tasks.references import Data, Evaluated, Judged, Registered, Run, Texts, Trained
from tasks.registry import DATA_DIGEST, POLICY, POLICY_DIGEST, REASONS, VERDICT, Logged, log_booster
from tasks.registry import register as register_version
from tasks.stage import logger, stage
from tasks.tracking import FLOW_RUN, connect, stage_run

MODE, CHOSEN = "troth.mode", "troth.candidate"


@stage(version=2, run_name="register {run[model]}")
def register(run: Run, data: Data, trained: Trained, evaluated: Evaluated, judged: Judged) -> Registered:
    """Log the model with signature and input example and register it, once per run."""
    settings, client = connect()
    with stage_run(client, run, "register") as here:
        booster = stored_model(client, evaluated["model"])
        logged = log_booster(client, run_id=here.run_id, booster=booster, schema=schema_of(data))
        version = register_version(
            client,
            settings,
            name=run["model"],
            logged=logged,
            tags={
                **evidence_tags(run, data, trained, evaluated, judged),
                THROUGH: "" if data["through"] is None else data["through"],
                **({SHARES: json.dumps(shares)} if (shares := trained["shares"].get(evaluated["chosen"])) else {}),
            },
        )
        here.tags({"troth.version": version})
        logger().info("registered %s version %s (%s)", run["model"], version, evaluated["chosen"])
        return registered_as(run, version, logged, data)


def registered_as(run: Run, version: str, logged: Logged, data: Data | Texts) -> Registered:
    """A version, with the digests by which it will be known again."""
    return Registered(
        model=run["model"],
        version=version,
        model_digest=logged.model_digest,
        schema_digest=logged.schema_digest,
        data_digest=data["digest"],
    )


def evidence_tags(
    run: Run, data: Data | Texts, trained: Trained, evaluated: Evaluated, judged: Judged
) -> dict[str, str]:
    """What every version says of where it comes from and how it was judged."""
    return {
        DATA_DIGEST: data["digest"],
        VERDICT: judged["decision"],
        REASONS: " | ".join(judged["reasons"]),
        POLICY: judged["policy"],
        POLICY_DIGEST: judged["policy_digest"],
        SPLIT: split_text(data["split"]),
        LEVELS: json.dumps(evaluated["levels"]),
        MODE: trained["mode"],
        CHOSEN: evaluated["chosen"],
        FLOW_RUN: run["run_id"],
    }
