"""What is in the registry and what ran lately, for `troth status`: read only, and plain about an unsound ledger."""

from dataclasses import dataclass
from datetime import UTC, datetime

from mlflow import MlflowClient
from mlflow.entities.model_registry import RegisteredModel

from components.errors import InvalidInput
from tasks.abandoned import is_abandoned
from tasks.promotion_ledger import examine
from tasks.publication_store import EPOCH, OF, SOURCE, STATE, USER, users_of
from tasks.settings import Settings
from tasks.tracking import REFUSED


@dataclass(frozen=True)
class ModelStatus:
    """A registered model: alias → version, how far its ledger goes, and what is wrong (None: nothing)."""

    name: str
    champion: str | None
    challenger: str | None
    previous: str | None
    entries: int
    trouble: str | None


@dataclass(frozen=True)
class RunStatus:
    """A flow's run: when it began (UTC), what it was, how it ended and what was decided, or why it was refused.

    `status` is MLflow's, or DIED of a run that the store still calls running; a run `is_stale` whose verdict came to
    nothing, since there was another champion by then.
    """

    run_id: str
    name: str
    started: datetime
    status: str
    verdict: str
    version: str
    error: float | None
    nfr: float | None
    refused: str = ""
    is_stale: bool = False


@dataclass(frozen=True)
class EncryptedStatus:
    """A user's encrypted model; no version where it was withdrawn."""

    model: str
    user: str
    version: str | None
    epoch: str
    source: str
    state: str


def models(client: MlflowClient, settings: Settings) -> list[ModelStatus]:
    """Every registered model that has a ledger or a champion, by name; encrypted ones are no models of their own."""
    found = client.search_registered_models(order_by=["name ASC"])
    return [_model(client, settings, one.name) for one in found if OF not in one.tags]


def encrypted(client: MlflowClient, settings: Settings) -> list[EncryptedStatus]:
    """Who may ask which model, by model and user; `client` is of the store of encrypted models."""
    return sorted(
        (_encrypted(client, settings, one) for one in users_of(client)), key=lambda one: (one.model, one.user)
    )


def runs(client: MlflowClient, settings: Settings, *, most: int) -> list[RunStatus]:
    """The newest flow runs of every pipeline."""
    names = list(settings.tracking.experiments.values())
    found = [client.get_experiment_by_name(name) for name in names]
    ids = [experiment.experiment_id for experiment in found if experiment]
    if not ids:
        return []
    newest = client.search_runs(
        ids, "tags.`troth.pipeline` != ''", order_by=["attributes.start_time DESC"], max_results=most
    )
    return [
        RunStatus(
            run.info.run_id,
            run.info.run_name,
            datetime.fromtimestamp(run.info.start_time / 1000, UTC),
            "DIED" if is_abandoned(client, settings, run) else run.info.status,
            run.data.tags.get("troth.verdict", ""),
            run.data.tags.get("troth.version", ""),
            run.data.metrics.get("error_new"),
            run.data.metrics.get("nfr"),
            run.data.tags.get(REFUSED, "") if run.info.status == "FAILED" else "",
            run.data.tags.get("troth.action") == "refuse",
        )
        for run in newest
    ]


def _encrypted(client: MlflowClient, settings: Settings, found: RegisteredModel) -> EncryptedStatus:
    live = found.aliases.get(settings.publishing.live)
    tags = client.get_model_version(found.name, str(live)).tags if live is not None else {}
    return EncryptedStatus(
        found.tags[OF],
        found.tags[USER],
        None if live is None else str(live),
        tags.get(EPOCH, ""),
        tags.get(SOURCE, ""),
        found.tags.get(STATE, ""),
    )


def _model(client: MlflowClient, settings: Settings, name: str) -> ModelStatus:
    try:
        found = examine(client, settings, name)
    except InvalidInput as trouble:
        return ModelStatus(name, None, None, None, 0, str(trouble))
    names = settings.registry.aliases
    champion, meant = found.aliases.get(names.champion), found.standing.champion
    trouble = found.findings[0].detail if found.findings else None
    if trouble is None and found.standing.pending:
        trouble = (
            f"a change to version {found.standing.pending.version} was left half-done; the next promotion finishes it"
        )
    elif trouble is None and champion != meant:
        trouble = f"the alias is at version {champion or 'none'}, the ledger says {meant or 'none'}; somebody moved it"
    return ModelStatus(
        name,
        champion,
        found.aliases.get(names.challenger),
        found.aliases.get(names.previous),
        len(found.entries),
        trouble,
    )
