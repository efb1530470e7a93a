"""Stage `recheck`: the champion, alone, against a policy on the rows of today."""

from pathlib import Path

import numpy as np
from prefect.artifacts import create_markdown_artifact
from prefect.context import TaskRunContext

from components.boosting import predict
from components.data.prediction_file import pseudonymous
from components.data.predictions import predictions_of
from components.data.reading import read_table
from components.data.split import PARTS, split_of
from components.errors import InvalidInput
from components.fairness import one_row_per_person
from components.gates import Decision, GoldenPredictions, Policy, run_gate
from components.reporting import Report, render_verdict_markdown
from tasks.champion import champion_at_start, require_same_split
from tasks.evaluate import golden_predictions
from tasks.evidence import keep_verdict
from tasks.gate import constant_right
from tasks.held_out import constant_answer
from tasks.inputs import RandHie, Source, load, open_categories, with_categories_of
from tasks.keys import row_key
from tasks.links import mlflow_link
from tasks.loader import champion_of
from tasks.partition import SplitShares
from tasks.references import Rechecked, Run
from tasks.registry import check_signature
from tasks.registry_reach import check_reachable
from tasks.stage import logger, stage
from tasks.tracking import connect, stage_run


def nothing_to_check(model: str) -> str | None:
    """The sentence to end with where `model` has no champion yet; None where it has one."""
    settings, client = connect()
    check_reachable(settings)
    if champion_of(client, settings, model):
        return None
    return f"model '{model}' has no champion yet, so there is nothing to check; 'troth run tabular' trains one"


@stage(version=1, run_name="recheck {run[model]}", cached=False)
def recheck(run: Run, source: Source, policy: Policy, golden: str | None, split: SplitShares) -> Rechecked:
    """Judge the champion on the gate's persons: the split is by person, so none of them was ever trained on."""
    settings, client = connect()
    with stage_run(client, run, "recheck") as here:
        champion = champion_at_start(client, settings, run)
        require_same_split(champion, split.as_record())
        if isinstance(source, RandHie) and "site" not in champion.schema.features:
            source = source.model_copy(update={"site": False})  # it was trained by owners who are the sites
        table = with_categories_of(champion.schema, load(source), open_ones=open_categories(source))
        check_signature(champion.schema, table.schema)
        # Of the other parts nothing is asked: what few rows of a night show too little of, the policy holds.
        parts = split_of(table.person, split.salt, tuple(split.as_record()["shares"]))
        gate = table.take(np.flatnonzero(parts == PARTS.index("gate")))
        if not len(gate):
            raise InvalidInput(f"none of the {len(table)} rows is of a person of the gate's; bring more persons")
        gate = gate.take(one_row_per_person(gate))
        predictions = pseudonymous(predictions_of(gate, predict(champion.booster, gate)), row_key(settings))
        kept = None
        if golden:
            rows = read_table(Path(golden), table.schema)
            kept = GoldenPredictions(golden_predictions(rows, champion.booster), None)
        learnt = np.flatnonzero(parts == PARTS.index("train"))
        answer = constant_answer((table.take(learnt) if len(learnt) else table).labels, predictions.rule)
        verdict = run_gate(
            policy, predictions, None, golden=kept, context={}, constant_right=constant_right(predictions, answer)
        )
        holds = verdict.decision is Decision.PROMOTE
        here.dataset(table.schema.name, table.digest, {"source": source.kind, "part": "gate"}, "recheck")
        keep_verdict(here, verdict)
        here.parameters({"policy": policy.name, "champion": champion.version})
        here.metrics({"rows": len(gate), **verdict.context, "keeps_its_word": int(holds)})
        here.tags({"troth.verdict": verdict.decision, "troth.reasons": " | ".join(verdict.reasons)})
        if TaskRunContext.get():
            summary = Report(
                title=f"{run['model']} version {champion.version} on the rows of today",
                made_at="",
                mode="recheck",
                rows=len(gate),
                verdict=verdict,
                error=float(1 - np.mean(predictions.right)),
                links={"MLflow run": mlflow_link(settings, run)},
            )
            create_markdown_artifact(
                key="recheck",
                markdown=render_verdict_markdown(summary),
                description=f"Champion v{champion.version}: {verdict.decision}",
            )
        (logger().info if holds else logger().warning)(
            "champion version %s of %s on %d rows: %s",
            champion.version,
            run["model"],
            len(gate),
            verdict.reasons[0],
        )
        return Rechecked(
            model=run["model"],
            version=champion.version,
            decision=verdict.decision,
            reasons=list(verdict.reasons),
            rows=len(gate),
        )
