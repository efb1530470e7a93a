"""One MLflow run a flow run, one nested run a stage, found again by tags.

A stage may run in any thread or process and may run twice (a retry, a resumed flow), so nothing relies on MLflow's
global "active run": run ids are handed on, and a stage that starts again continues the run it left. Everything goes
through `MlflowClient`, in batches, because each call to a tracking store is a transaction.
"""

import hashlib
import json
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME, MLFLOW_RUN_NOTE

from tasks import references
from tasks.embedded_store import EmbeddedClient, ensure_store, is_embedded, whole
from tasks.settings import Settings, load_settings
from tasks.stage import logger

Resume = Literal["never", "timely", "always"]

DIGEST_LENGTH = 32
"""Of a data set's digest as MLflow keeps it."""

KEY, STAGE, CHAMPION = "troth.key", "troth.stage", "troth.champion_at_start"
FLOW_RUN = "troth.flow_run"
"""Tag of a model's version: the run of the flow that made it."""
REFUSED = "troth.refused"
"""Tag of a run that failed over its input: the sentence that said so."""

SECONDS, PROCESSOR_SECONDS = "stage.seconds", "stage.processor_seconds"
"""Metrics of every stage's run; the latter leaves out processes that it started."""
EXPERIMENT_KIND = "mlflow.experimentKind"  # without it MLflow's pages open on traces of language models
_PARAMETERS, _METRICS = 100, 1000  # what MLflow takes in one call
_LONGEST = 250  # characters of a metric's or parameter's name in MLflow


@dataclass(frozen=True)
class Stage:
    """A stage's own run, and the few ways of writing to it."""

    client: MlflowClient
    run_id: str

    def metrics(self, values: Mapping[str, float]) -> None:
        """Log numbers; those that are not finite (a group without rows) are left out, MLflow's stores differ on NaN."""
        self._log((name, value, 0) for name, value in values.items())

    def curve(self, name: str, values: Mapping[int, float]) -> None:
        """Log one metric over steps."""
        self._log((name, value, step) for step, value in values.items())

    def _log(self, points: Iterable[tuple[str, float | None, int]]) -> None:
        now = int(time.time() * 1000)
        finite = [
            Metric(safe_name(name), float(value), now, step)
            for name, value, step in points
            if value is not None and math.isfinite(value)
        ]
        for start in range(0, len(finite), _METRICS):
            self.client.log_batch(self.run_id, metrics=finite[start : start + _METRICS])

    def parameters(self, values: Mapping[str, object]) -> None:
        """Log parameters once; a stage that runs again with the same ones writes nothing new."""
        known = self.client.get_run(self.run_id).data.params
        named = {safe_name(name): str(value)[:6000] for name, value in flat(values).items()}
        fresh = [Param(name, value) for name, value in named.items() if name not in known]
        for start in range(0, len(fresh), _PARAMETERS):
            self.client.log_batch(self.run_id, params=fresh[start : start + _PARAMETERS])

    def tags(self, values: Mapping[str, object]) -> None:
        self.client.log_batch(self.run_id, tags=[RunTag(name, str(value)[:5000]) for name, value in values.items()])

    def rename(self, name: str) -> None:
        """The name shown in lists of runs."""
        self.client.update_run(self.run_id, name=name)

    def note(self, text: str) -> None:
        """The description shown at the top of the run's page."""
        self.client.set_tag(self.run_id, MLFLOW_RUN_NOTE, text)

    def record(self, document: dict | list, name: str) -> None:
        """A JSON or YAML artifact, by the ending of `name`."""
        self.client.log_dict(self.run_id, document, name)

    def text(self, text: str, name: str) -> None:
        self.client.log_text(self.run_id, text, name)

    def file(self, path: Path, folder: str | None = None) -> None:
        self.client.log_artifact(self.run_id, str(path), folder)

    def dataset(self, name: str, digest: str, source: Mapping[str, str], context: str) -> None:
        """Note which data the stage used, by name and digest; the rows themselves stay with their owners."""
        data = Dataset(name, digest[:DIGEST_LENGTH], source_type="code", source=json.dumps({"tags": dict(source)}))
        self.client.log_inputs(self.run_id, [DatasetInput(data, [InputTag("mlflow.data.context", context)])])


def client_of(settings: Settings) -> MlflowClient:
    """A client of the stores in `settings`, which are made where they are embedded and not there yet."""
    ensure_store(settings)
    kind = EmbeddedClient if is_embedded(settings) else MlflowClient
    return kind(settings.tracking_uri, settings.registry_uri)


def connect() -> tuple[Settings, MlflowClient]:
    """Settings and client, as every task starts with."""
    settings = load_settings()
    return settings, client_of(settings)


def open_run(
    client: MlflowClient,
    settings: Settings,
    *,
    pipeline: str,
    name: str,
    model: str,
    key: str,
    champion: str | None,
    tags: Mapping[str, str],
    resume: Resume = "timely",
) -> tuple[references.Run, bool]:
    """The flow's run, and whether it is an unfinished one of the same key that goes on, rather than a new one.

    With `resume` timely one that began against another champion than today's does not go on, since its model could not
    be promoted any more; unless that champion is its own, and what comes after a promotion is still to be done.

    `key` is a digest of everything the caller asked for, so a flow that failed half-way is continued by asking for the
    same thing again. The caller holds the key's lock: an unfinished run found here has no living owner. A continued run
    gets the very record it began with, since its stages are found again by what they were given.
    """
    experiment = experiment_id(client, settings, pipeline)
    unfinished = f"tags.`{KEY}` = '{key}' AND attributes.status != 'FINISHED'"
    left = client.search_runs([experiment], unfinished, max_results=1) if resume != "never" else []
    if goes_on := bool(left) and (resume == "always" or _is_timely(client, left[0], model, champion)):
        run = left[0]
        client.update_run(run.info.run_id, status="RUNNING")
        for tag, value in tags.items():
            client.set_tag(run.info.run_id, tag, value)
        champion = run.data.tags.get(CHAMPION) or None
    else:
        run = client.create_run(experiment, run_name=name, tags={KEY: key, CHAMPION: champion or "", **tags})
    record = references.Run(run_id=run.info.run_id, experiment_id=experiment, name=name, model=model, champion=champion)
    return record, goes_on


def _is_timely(client: MlflowClient, run: Run, model: str, champion: str | None) -> bool:
    before = run.data.tags.get(CHAMPION) or None
    if champion == before:
        return True
    if champion and client.get_model_version(model, champion).tags.get(FLOW_RUN) == run.info.run_id:
        return True
    versions = tuple(f"version {number}" if number else "no champion" for number in (before, champion))
    logger().info("an unfinished run began against %s, and now there is %s: beginning anew", *versions)
    return False


def close_run(client: MlflowClient, run_id: str, status: str, *, refused: str = "") -> None:
    """End a run as FINISHED, FAILED or KILLED; a store that has just failed may fail here too, which adds nothing.

    `refused` is the sentence that told what is wrong with the input, if that is why.
    """
    with suppress(MlflowException) if status != "FINISHED" else nullcontext():
        client.set_terminated(run_id, status)
        if refused:
            client.set_tag(run_id, REFUSED, refused)


def how_it_ended(failure: BaseException) -> str:
    """FAILED, or KILLED where it was Ctrl-C or a signal that ended the run, which Python raises as no `Exception`."""
    return "FAILED" if isinstance(failure, Exception) else "KILLED"


@contextmanager
def stage_run(client: MlflowClient, parent: references.Run, stage: str) -> Iterator[Stage]:
    """The nested run of a stage: FINISHED when the block ends, FAILED when it raises, KILLED when it was ended.

    What it took is logged, of wall time and of this process's processor time, with what it took before where it was cut
    off and goes on.
    """
    here, before = None, {}
    clocks = {SECONDS: time.monotonic, PROCESSOR_SECONDS: time.process_time}
    began = {name: clock() for name, clock in clocks.items()}

    def note_costs() -> None:
        here.metrics({name: before.get(name, 0.0) + clock() - began[name] for name, clock in clocks.items()})

    try:
        # What is begun is known here, to be closed, whenever a signal comes.
        with whole(client):
            run = _begin(client, parent, stage)
            here, before = Stage(client, run.info.run_id), run.data.metrics
        yield here
        note_costs()
        close_run(client, here.run_id, "FINISHED")
    except BaseException as failure:
        if here:
            with suppress(Exception):
                note_costs()
            close_run(client, here.run_id, how_it_ended(failure))
        raise


def _begin(client: MlflowClient, parent: references.Run, stage: str) -> Run:
    if run := find_stage(client, parent["run_id"], parent["experiment_id"], stage):
        client.update_run(run.info.run_id, status="RUNNING")
        return run
    tags = {MLFLOW_PARENT_RUN_ID: parent["run_id"], STAGE: stage, MLFLOW_RUN_NAME: stage}
    return client.create_run(parent["experiment_id"], run_name=stage, tags=tags)


def find_stage(client: MlflowClient, parent_id: str, experiment: str, stage: str) -> Run | None:
    """The nested run of `stage`, if it was ever started."""
    query = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{parent_id}' AND tags.`{STAGE}` = '{stage}'"
    found = client.search_runs([experiment], query, max_results=1)
    return found[0] if found else None


def experiment_id(client: MlflowClient, settings: Settings, pipeline: str) -> str:
    """The pipeline's experiment, made on first use; two first uses at once end with one."""
    name = settings.tracking.experiments[pipeline]
    if found := client.get_experiment_by_name(name):
        return found.experiment_id
    # A server decides for itself where artifacts live; an embedded store is told.
    location = None if settings.tracking_uri.startswith("http") else _artifact_location(settings, name)
    try:
        return client.create_experiment(
            name, artifact_location=location, tags={EXPERIMENT_KIND: "custom_model_development"}
        )
    except Exception:
        if found := client.get_experiment_by_name(name):
            return found.experiment_id
        raise


def safe_name(name: str) -> str:
    """`name` as MLflow takes it for a metric or parameter: comparison signs and '=' become words or dashes.

    MLflow reads names as paths and refuses those that lead elsewhere, so a slash goes too. Of a name that is too long
    the end becomes a digest.
    """
    for sign, word in ((">=", "ge"), ("<=", "le"), ("<", "lt"), (">", "gt"), ("=", "-"), ("&", "and")):
        name = name.replace(sign, word)
    name = "".join(c if c.isalnum() or c in "_-. :" else "_" for c in name)
    if len(name) <= _LONGEST:
        return name
    return f"{name[: _LONGEST - 9]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def flat(values: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    """Nested mappings as dotted names."""
    out = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            out |= flat(value, f"{prefix}{name}.")
        else:
            out[f"{prefix}{name}"] = value
    return out


def _artifact_location(settings: Settings, experiment: str) -> str:
    place = settings.tracking.artifacts
    return f"{place}/{experiment}" if "://" in place else (Path(place) / experiment).resolve().as_uri()
