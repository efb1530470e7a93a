"""Stage `report`: one page that says what became of the candidate and why, and the plots it rests on.

Everything is read back from what the stages stored, never from memory, so the same page can be made again of any old
run, and what it shows is what the record holds.
"""

import json
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import yaml
from mlflow import MlflowClient
from prefect.artifacts import create_link_artifact
from prefect.context import TaskRunContext

from components.compatibility import count_flips
from components.errors import InvalidInput
from components.fairness import group_metrics
from components.gates import CandidateScore, Policy
from components.reporting import OwnerSummary, Report, draw, illustrate, render_report
from tasks.evidence import stored_predictions, stored_verdict
from tasks.federation import ROUNDS
from tasks.holdings import schema_of
from tasks.links import mlflow_link, model_link
from tasks.partition import OWNERS
from tasks.pipeline import request_key
from tasks.references import Data, Evaluated, Judged, Promoted, Registered, Run, Trained
from tasks.settings import Settings
from tasks.stage import logger, stage
from tasks.tracking import DIGEST_LENGTH, KEY, Stage, connect, experiment_id, find_stage

PAGE, REFERENCES = "report.html", "references.json"


@stage(version=1, run_name="report")
def report(
    run: Run,
    data: Data,
    trained: Trained,
    evaluated: Evaluated,
    judged: Judged,
    registered: Registered,
    promoted: Promoted,
) -> str:
    """Write the page and its plots into the flow's run; returns the page's address."""
    settings, client = connect()
    references = {
        "run": run,
        "data": data,
        "trained": trained,
        "evaluated": evaluated,
        "judged": judged,
        "registered": registered,
        "promoted": promoted,
    }
    here = Stage(client, run["run_id"])
    here.record(references, REFERENCES)
    summary = compose(client, settings, references)
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / PAGE
        pictures = draw(summary)
        page.write_text(render_report(summary, pictures))
        here.file(page)
        for name, picture in pictures.items():
            path = Path(folder) / f"{name}.png"
            path.write_bytes(picture)
            here.file(path, "plots")
    here.metrics(summary.verdict.context)
    here.tags(
        {
            "troth.verdict": judged["decision"],
            "troth.candidate": evaluated["chosen"],
            "troth.version": registered["version"],
            "troth.action": promoted["action"],
        }
    )
    here.note(
        "\n\n".join(
            [
                f"**{judged['decision']}**: {judged['reasons'][0]}",
                f"The whole report: artifact `{PAGE}`.",
                *(f"[{name}]({link})" for name, link in summary.links.items() if name != "MLflow run"),
            ]
        )
    )
    here.rename(f"{registered['model']} v{registered['version']} {judged['decision'].lower()}")
    if TaskRunContext.get():
        create_link_artifact(key="mlflow-run", link=mlflow_link(settings, run), link_text="The run in MLflow")
        create_link_artifact(
            key="model-version",
            link=model_link(settings, registered["model"], registered["version"]),
            link_text=f"{registered['model']} version {registered['version']} in the registry",
        )
    logger().info("wrote the report")
    return f"runs:/{run['run_id']}/{PAGE}"


def compose(client: MlflowClient, settings: Settings, references: Mapping[str, Mapping]) -> Report:
    """The report of a run from its stored stages; `references` is what the flow handed from stage to stage."""
    run, data, trained, evaluated, judged, registered, promoted = (
        references[name] for name in ("run", "data", "trained", "evaluated", "judged", "registered", "promoted")
    )
    candidate, champion, _ = stored_predictions(client, evaluated)
    verdict = stored_verdict(client, judged)
    policy = Policy.model_validate(_read(client, judged["run_id"], "policy.yaml"))
    budget_check = next((check for check in verdict.checks if check.name == "flip_budget"), None)
    owners = find_stage(client, run["run_id"], run["experiment_id"], "partition")
    links = {
        "MLflow run": mlflow_link(settings, run),
        "Registered version": model_link(settings, registered["model"], registered["version"]),
    }
    if flow_run := client.get_run(run["run_id"]).data.tags.get("prefect.link"):
        links["Prefect flow run"] = flow_run
    depth = policy.groups.intersections if policy.groups else 1
    summary = Report(
        title=f"{registered['model']} version {registered['version']}",
        made_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        mode=trained["mode"],
        rows=len(candidate),
        verdict=verdict,
        error=verdict.context["error_new"],
        owners=[OwnerSummary(**one) for one in _read(client, owners.info.run_id, OWNERS)],
        flips=count_flips(champion.right, candidate.right) if champion else None,
        noise_floor=evaluated["context"].get("noise_floor"),
        nfr_budget=policy.flip_budget.nfr if policy.flip_budget else None,
        nfr_upper=budget_check.upper if budget_check else None,
        candidates=[CandidateScore(**{**score, "nfr": _number(score["nfr"])}) for score in evaluated["scores"]],
        chosen=evaluated["chosen"],
        selection_champion_error=evaluated["champion_error"],
        groups=group_metrics(candidate, "error", depth=min(depth, 2)),
        champion_groups=group_metrics(champion, "error", depth=min(depth, 2)) if champion else (),
        training={
            key: value
            for key, value in {**trained["record"], **trained["record"]["costs"]}.items()
            if key not in {"declared_leakage", "parameters", "costs"}
        },
        leakage=tuple(trained["record"]["declared_leakage"]),
        parameters=trained["record"]["parameters"],
        policy=yaml.safe_dump(policy.model_dump(mode="json", exclude_none=True), sort_keys=False),
        digests={
            "model": registered["model_digest"],
            "data": data["digest"],
            "policy": judged["policy_digest"],
            "ledger entry": f"{promoted['sequence']}: {promoted['action']}",
        },
        links=links,
        not_measured=NOT_MEASURED,
    )
    return illustrate(
        summary,
        candidate=candidate,
        champion=champion,
        learning=_learning(client, run, data, trained),
        rounds=_read(client, trained["run_id"], ROUNDS) if trained["mode"] == "federated" else (),
        learning_metric="log loss" if schema_of(data).classes else "root mean squared error",
    )


def finished_outcome(pipeline: str, request: Mapping[str, object]) -> Promoted | None:
    """What became of the newest finished run that was asked for the same; None where there is none."""
    settings, client = connect()
    experiment = experiment_id(client, settings, pipeline)
    query = f"tags.`{KEY}` = '{request_key(pipeline, request)}' AND attributes.status = 'FINISHED'"
    found = client.search_runs([experiment], query, order_by=["attributes.start_time DESC"], max_results=1)
    if not found:
        return None
    promoted = references_of(client, found[0].info.run_id)["promoted"]
    logger().info("%s was run before; this is what became of it", found[0].info.run_name)
    return promoted


def find_run(client: MlflowClient, settings: Settings, which: str) -> str:
    """The id of a reported run: the newest for 'last', else the one whose id begins with `which`.

    Raises
    ------
    InvalidInput
        No run with a report matches.
    """
    experiment = experiment_id(client, settings, "tabular")
    query = "tags.`troth.pipeline` = 'tabular' AND tags.`troth.action` != ''"
    for run in client.search_runs([experiment], query, order_by=["attributes.start_time DESC"], max_results=1000):
        if which == "last" or run.info.run_id.startswith(which):
            return run.info.run_id
    raise InvalidInput(
        f"no finished run {'is there' if which == 'last' else f'begins with {which}'}; see 'troth status'"
    )


def references_of(client: MlflowClient, run_id: str) -> dict:
    """What the stages of a finished run handed on."""
    return _read(client, run_id, REFERENCES)


NOT_MEASURED = (
    "What the model gives away about the people it was trained on (membership, extraction) was not audited.",
    "How it does on people unlike those in the source was not measured.",
    "Groups that the schema does not declare were not looked at, and none was imputed.",
)


def _learning(client: MlflowClient, run: Run, data: Data, trained: Trained) -> dict[str, list[float]]:
    """The loss by round; beside a federated one that of the newest pooled training on the same rows, where there is."""
    curves = {"selection rows": _curve(client, trained["run_id"])}
    if trained["mode"] == "federated":
        query = f"params.mode = 'pooled' AND dataset.digest = '{data['digest'][:DIGEST_LENGTH]}'"
        newest = ["attributes.start_time DESC"]
        for pooled in client.search_runs([run["experiment_id"]], query, order_by=newest, max_results=1):
            curves = {"pooled": _curve(client, pooled.info.run_id), "federated": curves["selection rows"]}
    return {name: curve for name, curve in curves.items() if curve}


def _curve(client: MlflowClient, run_id: str) -> list[float]:
    """The loss on selection rows by round, straight lines between the rounds at which it was measured."""
    history = client.get_metric_history(run_id, "selection_loss")
    points = {metric.step: metric.value for metric in sorted(history, key=lambda metric: metric.step)}
    if not points:
        return []
    rounds = np.arange(1, max(points) + 1)
    return np.interp(rounds, list(points), list(points.values())).tolist()


def _read(client: MlflowClient, run_id: str, name: str):
    with tempfile.TemporaryDirectory() as folder:
        text = Path(client.download_artifacts(run_id, name, folder)).read_text()
    return json.loads(text) if name.endswith(".json") else yaml.safe_load(text)


def _number(value: float | None) -> float:
    """JSON has no NaN; what was not measured comes back as null."""
    return float("nan") if value is None else value
