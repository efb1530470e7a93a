"""Stage `gate`: policy in, verdict out. A refusal is a result; the task that found it has succeeded."""

from dataclasses import replace
from datetime import UTC, datetime
from math import inf, isfinite

import numpy as np
from mlflow import MlflowClient
from prefect.artifacts import create_markdown_artifact
from prefect.context import TaskRunContext

from components.compatibility import count_flips
from components.data.predictions import Predictions
from components.gates import Check, Outcome, Policy, Verdict, run_gate
from components.gates.privacy import PrivacyEvidence, privacy_checks, unjudged_audits
from components.gates.verdict import decide
from components.reporting import Report, render_verdict_markdown
from tasks.evidence import keep_verdict, kept_predictions, kept_record, stored_predictions
from tasks.links import mlflow_link
from tasks.policies import policy_digest
from tasks.references import Audited, Evaluated, Judged, Run
from tasks.settings import Settings
from tasks.stage import logger, stage
from tasks.tracking import connect, stage_run
from tasks.validation import FILE, bounds_of, is_valid_to_mlflow


@stage(version=5, run_name="gate {policy.name}")
def gate(run: Run, evaluated: Evaluated, policy: Policy, audited: Audited | None = None) -> Judged:
    """Put the chosen candidate through every check of the policy and record the verdict.

    Whole frames, where there are any, and audits are judged beside the rows.
    """
    settings, client = connect()
    with stage_run(client, run, "gate") as here:
        candidate, champion, golden = stored_predictions(client, evaluated)
        verdict = run_gate(
            policy,
            candidate,
            champion,
            golden=golden,
            context=evaluated["context"],
            constant_right=constant_right(candidate, evaluated["majority"]),
        )
        frames = _of_frames(client, evaluated, policy)
        privacy, weak = _of_privacy(client, audited, policy)
        further = [
            *(frames.checks if frames else ()),
            *privacy,
            *_lost_groups(evaluated, policy),
            *_trained_on_older_data(evaluated),
        ]
        of_frames = (f"frames of {group}" for group in (frames.unjudged if frames else ()))
        unjudged = (*verdict.unjudged, *of_frames, *weak)
        if further or unjudged:
            verdict = decide((*verdict.checks, *further), verdict.context, unjudged)
        kept = keep_verdict(here, verdict)
        here.parameters({"policy": policy.name, "policy_digest": policy_digest(policy)})
        here.record(policy.model_dump(mode="json", exclude_none=True), "policy.yaml")
        here.metrics(verdict.context)
        here.metrics({f"check.{check.name}.{check.subject}": check.value for check in verdict.checks})
        bounds = bounds_of(verdict)
        here.record(
            {
                name: {"bound": bound if isfinite(bound) else None, "threshold": most}
                for name, (bound, most) in bounds.items()
            },
            FILE,
        )
        here.tags(
            {
                "troth.verdict": verdict.decision,
                "troth.reasons": " | ".join(verdict.reasons),
                "troth.mlflow_validation": "passed" if is_valid_to_mlflow(bounds) else "failed",
            }
        )
        logger().info("%s by policy %s: %s", verdict.decision, policy.name, verdict.reasons[0])
        if TaskRunContext.get():
            create_markdown_artifact(
                key="verdict",
                description=f"{run['name']}: {verdict.decision}",
                markdown=render_verdict_markdown(
                    _summary(settings, run, evaluated, policy, candidate, champion, verdict)
                ),
            )
        return Judged(
            run_id=here.run_id,
            verdict=kept,
            decision=verdict.decision,
            reasons=list(verdict.reasons),
            policy=policy.name,
            policy_digest=policy_digest(policy),
        )


def _of_frames(client: MlflowClient, evaluated: Evaluated, policy: Policy) -> Verdict | None:
    """The policy's checks of whole frames, named so; None where it asks nothing of them."""
    asked, kept = policy.for_frames, evaluated["predictions"]
    if asked is None:
        return None
    candidate = kept_predictions(client, kept["frames_candidate"])
    champion = kept_predictions(client, kept["frames_champion"]) if "frames_champion" in kept else None
    found = run_gate(asked, candidate, champion)
    named = (replace(one, name=f"frames_{one.name}", reason=f"whole frames, {one.reason}") for one in found.checks)
    return replace(found, checks=tuple(named))


def _of_privacy(client: MlflowClient, audited: Audited | None, policy: Policy) -> tuple[list[Check], tuple[str, ...]]:
    """The policy's checks of privacy, open where nothing was audited; a claim that is refuted fails unasked.

    Beside them the audits that were too weak to be one.
    """
    if audited is None and policy.privacy is None:
        return [], ()
    found = kept_record(client, audited["record"]) if audited else {}
    claim, sizes = found.get("claim"), found.get("sizes", {})
    evidence = PrivacyEvidence(
        claim=inf if claim is None else claim,
        training_claim=found.get("training_claim"),
        delta=found.get("delta", 0.0),
        unit=found.get("unit", ""),
        **found.get("steps", {}),
        lower_bounds=found.get("lower_bounds", {}),
        could_show=found.get("could_show", {}),
        audited_steps=sizes.get("steps", 0),
        coins=sizes.get("coins", 0),
        sampling=found.get("sampling"),
        attacks={
            name: {float(rate): tuple(rates) for rate, rates in one["at"].items()}
            for name, one in found.get("attacks", {}).items()
        },
        members=found.get("members", 0),
        exposures={int(times): tuple(bits) for times, bits in found.get("exposures", {}).items()},
    )
    checks = privacy_checks(policy.privacy, evidence, confidence=policy.confidence)
    return checks, unjudged_audits(policy.privacy, evidence)


def _lost_groups(evaluated: Evaluated, policy: Policy) -> list[Check]:
    """Keeps on hold what nobody can say anything about: people the champion was judged on and the candidate is not."""
    asked = policy.groups and policy.groups.columns
    return [
        Check(
            "same_groups",
            f"{name}={level}",
            Outcome.INCONCLUSIVE,
            0.0,
            0.0,
            1.0,
            1.0,
            0,
            f"{name}={level}: the champion was judged on rows of this group and there are none now; "
            "a person decides whether it is gone",
        )
        for name, levels in evaluated["champion_levels"].items()
        for level in levels
        if asked and (asked == "all" or name in asked) and level not in evaluated["levels"].get(name, [])
    ]


def _trained_on_older_data(evaluated: Evaluated) -> list[Check]:
    """Keeps a candidate on hold whose newest training rows are older than the champion's: years are not unlearnt."""
    through, before = evaluated["through"], evaluated["champion_through"]
    if through is None or before is None or through >= before:
        return []
    reason = (
        f"training rows: the newest are of {through:g}, the champion's of {before:g}; "
        "a person decides whether older data may replace newer"
    )
    return [Check("newer_data", "training rows", Outcome.INCONCLUSIVE, through, through, through, before, 0, reason)]


def _summary(
    settings: Settings,
    run: Run,
    evaluated: Evaluated,
    policy: Policy,
    candidate: Predictions,
    champion: Predictions | None,
    verdict: Verdict,
) -> Report:
    """The part of the report that is known by now."""
    return Report(
        title=f"{run['model']}, candidate {evaluated['chosen']}",
        made_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        mode=evaluated["mode"],
        rows=len(candidate),
        verdict=verdict,
        error=verdict.context["error_new"],
        flips=count_flips(champion.right, candidate.right) if champion else None,
        noise_floor=evaluated["context"].get("noise_floor"),
        nfr_budget=policy.flip_budget.nfr if policy.flip_budget else None,
        links={"MLflow run": mlflow_link(settings, run)},
    )


def constant_right(predictions: Predictions, answer: float) -> np.ndarray:
    """(n,) bool: whether always answering `answer` is right."""
    if predictions.rule.kind == "regression":
        return np.abs(predictions.labels - answer) <= predictions.rule.tolerance
    return predictions.labels == int(answer)
