"""Stage `report`: one page that says what became of the candidate and why, and the plots it rests on.

Everything is read back from what the stages stored, never from memory, so the same page can be made again of any old
run, and what it shows is what the record holds.
"""

import json
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import yaml
from mlflow import MlflowClient
from prefect.artifacts import create_link_artifact
from prefect.context import TaskRunContext

from components.compatibility import count_flips
from components.errors import InvalidInput
from components.fairness import group_metrics
from components.gates import CandidateScore, Policy
from components.reporting import OwnerSummary, Report, draw, illustrate, render_report
from components.reporting.privacy import PrivacySection
from tasks.evidence import kept_record, stored_predictions, stored_verdict
from tasks.federation import ROUNDS
from tasks.holdings import schema_of
from tasks.links import mlflow_link, model_link
from tasks.partition import OWNERS
from tasks.pipeline import request_key
from tasks.references import Audited, Data, Evaluated, Judged, Promoted, Registered, Run, Texts, Trained
from tasks.settings import Settings
from tasks.stage import logger, stage
from tasks.tracking import DIGEST_LENGTH, KEY, PROCESSOR_SECONDS, Stage, connect, experiment_id, find_stage

PAGE, REFERENCES = "report.html", "references.json"


@stage(version=1, run_name="report")
def report(
    run: Run,
    data: Data | Texts,
    trained: Trained,
    evaluated: Evaluated,
    judged: Judged,
    registered: Registered,
    promoted: Promoted,
    audited: Audited | None = None,
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
        "audited": audited,
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
    became = "stale" if promoted["action"] == "refuse" else judged["decision"].lower()
    here.rename(f"{registered['model']} v{registered['version']} {became}")
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
        owners_are="owners" if "holdings" in data else "parts",
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
        training=_training(trained["record"]),
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
        not_measured=NOT_MEASURED if references.get("audited") is None else NOT_MEASURED_OF_TEXTS,
        privacy=_privacy(client, trained, evaluated, references.get("audited")),
    )
    return illustrate(
        summary,
        candidate=candidate,
        champion=champion,
        learning=_learning(client, run, data, trained),
        rounds=_read(client, trained["run_id"], ROUNDS) if trained["mode"] == "federated" else (),
        learning_metric=_learning_metric(data, trained),
    )


def finished_outcome(pipeline: str, request: Mapping[str, object]) -> Promoted | None:
    """What became of the newest finished run that was asked for the same; None where there is none, or it was stale."""
    settings, client = connect()
    experiment = experiment_id(client, settings, pipeline)
    query = f"tags.`{KEY}` = '{request_key(pipeline, request)}' AND attributes.status = 'FINISHED'"
    found = client.search_runs([experiment], query, order_by=["attributes.start_time DESC"], max_results=1)
    if not found:
        return None
    known = references_of(client, found[0].info.run_id)
    if known["promoted"]["action"] == "refuse":
        return None
    logger().info("%s was run before; this is what became of it", found[0].info.run_name)
    # Records of earlier versions do not say it.
    return {"model": known["registered"]["model"], "others": 0, **known["promoted"]}


def find_run(client: MlflowClient, settings: Settings, which: str) -> str:
    """The id of a reported run: the newest for 'last', else the one whose id begins with `which`.

    Raises
    ------
    InvalidInput
        No run with a report matches.
    """
    experiments = [experiment_id(client, settings, pipeline) for pipeline in ("tabular", "language")]
    query = "tags.`troth.pipeline` != '' AND tags.`troth.action` != ''"
    for run in client.search_runs(experiments, query, order_by=["attributes.start_time DESC"], max_results=1000):
        if which == "last" or run.info.run_id.startswith(which):
            return run.info.run_id
    raise InvalidInput(
        f"no finished run {'is there' if which == 'last' else f'begins with {which}'}; see 'troth status'"
    )


def references_of(client: MlflowClient, run_id: str) -> dict:
    """What the stages of a finished run handed on."""
    return _read(client, run_id, REFERENCES)


def _privacy(
    client: MlflowClient, trained: Trained, evaluated: Evaluated, audited: Audited | None
) -> PrivacySection | None:
    """What a language model's training promised, and what attacks on it achieved."""
    record = trained["record"]
    if "claims" not in record:
        return None
    way = record["privatised"]
    unit = "of a word" if way and way["kind"] == "words" else "of an utterance"
    return PrivacySection(
        claim=record["claims"][evaluated["chosen"]],
        delta=record["delta"],
        unit=record["unit"],
        accountant=record["accountant"],
        data_set=record["data_set"],
        data_set_spent=record["data_set_spent"],
        data_set_budget=record["data_set_budget"],
        outside=tuple(record["outside"]),
        privatised=f"Training texts were made private one by one before ({way['kind']}, epsilon {way['epsilon']:g} "
        f"{unit}), which is no epsilon of training and does not add to it; {_NOT_MADE_PRIVATE[way['kind']]}"
        if way
        else "",
        audit=kept_record(client, audited["record"]) if audited else {},
        tradeoff=way["points"] if way else (),
        costs=_costs(client, trained["run_id"], audited["run_id"]) if audited else None,
    )


_NOT_MADE_PRIVATE = {
    "words": "intent, group and user of each text, its number of words and where its slots stand stay as they were.",
    "rewriting": "intent, group and user of each text stay as they were; its slots are lost.",
}


def _costs(client: MlflowClient, *runs: str) -> tuple[float, ...] | None:
    """Processor seconds of stages; None where one was run before they were measured."""
    found = tuple(client.get_run(run).data.metrics.get(PROCESSOR_SECONDS) for run in runs)
    return None if None in found else found


def _training(record: Mapping[str, object]) -> dict[str, object]:
    """What a training's record says and no other section shows, in words."""
    elsewhere = _SHOWN_ELSEWHERE | (_SHOWN_WITH_PRIVACY if "claims" in record else set())
    return {
        key.replace("cpu_", "processor_").replace("_", " ").capitalize(): value
        for key, value in {**record, **record["costs"]}.items()
        if key not in elsewhere and value not in (None, "")
    }


def _learning_metric(data: Data | Texts, trained: Trained) -> str:
    if "claims" in trained["record"]:
        return "share right on selection texts"
    return "log loss" if schema_of(data).classes else "root mean squared error"


NOT_MEASURED = (
    "What the model gives away about the people it was trained on (membership, extraction) was not audited.",
    "How it does on people unlike those in the source was not measured.",
    "Groups that the schema does not declare were not looked at, and none was imputed.",
)
_SHOWN_ELSEWHERE = {"declared_leakage", "parameters", "costs"}
_SHOWN_WITH_PRIVACY = {
    *("claims", "training_claim", "steps", "unit", "delta", "accountant", "outside", "privatised"),
    *("data_set", "data_set_budget", "data_set_spent", "data_set_plain"),
}

NOT_MEASURED_OF_TEXTS = (
    "Utterances of one user count as independent; intervals are too narrow where users differ much.",
    "How it does on texts unlike those in the source was not measured.",
    "Groups that the texts do not name were not looked at, and none was imputed.",
)


def _learning(client: MlflowClient, run: Run, data: Data, trained: Trained) -> dict[str, list[float]]:
    """The loss by round; beside a federated one that of the newest pooled training on the same rows, where there is.

    Of language models, the figures on selection texts by epoch.
    """
    if "claims" in trained["record"]:
        figures = {"intent accuracy": "selection.intent_accuracy", "slot F1": "selection.slot_f1"}
        return {name: _curve(client, trained["run_id"], metric) for name, metric in figures.items()}
    curves = {"selection rows": _curve(client, trained["run_id"])}
    if trained["mode"] == "federated":
        query = f"params.mode = 'pooled' AND dataset.digest = '{data['digest'][:DIGEST_LENGTH]}'"
        newest = ["attributes.start_time DESC"]
        for pooled in client.search_runs([run["experiment_id"]], query, order_by=newest, max_results=1):
            curves = {"pooled": _curve(client, pooled.info.run_id), "federated": curves["selection rows"]}
    return {name: curve for name, curve in curves.items() if curve}


def _curve(client: MlflowClient, run_id: str, metric: str = "selection_loss") -> list[float]:
    """A figure on selection rows by round, the newest where it was measured twice; NaN where it was not at all."""
    history = sorted(client.get_metric_history(run_id, metric), key=lambda one: one.timestamp)
    points = {one.step: one.value for one in history}
    return [points.get(number, float("nan")) for number in range(1, max(points, default=0) + 1)]


def _read(client: MlflowClient, run_id: str, name: str):
    with tempfile.TemporaryDirectory() as folder:
        text = Path(client.download_artifacts(run_id, name, folder)).read_text()
    return json.loads(text) if name.endswith(".json") else yaml.safe_load(text)


def _number(value: float | None) -> float:
    """JSON has no NaN; what was not measured comes back as null."""
    return float("nan") if value is None else value
