"""`mlflow.yaml`, typed: where runs, artifacts, models and the promotion ledger live.

One loader for every process of a run, so that a flow, its subprocess and a person's shell cannot disagree about where
things are. Every path comes out absolute (MLflow resolves relative SQLite URIs against whatever folder a process
happens to start in), unknown keys are refused, and environment variables win over the file.
"""

import os
import re
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from components.data.schema import read_yaml, validated

CONFIG_NAME = "mlflow.yaml"
EXPERIMENTS = {
    "tabular": "troth-tabular",
    "language": "troth-language",
    "recheck": "troth-recheck",
    "publish": "troth-published",
}
MODELS = {"tabular": "{schema}", "language": "{schema}"}


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Server(_Section):
    """The addresses `troth up` serves on; loopback unless somebody writes otherwise."""

    host: str = "127.0.0.1"
    mlflow_port: int = 5000
    prefect_port: int = 4200


class Tracking(_Section):
    """Where runs and artifacts go."""

    uri: str = "sqlite:///{home}/mlflow.db"
    artifacts: str = "{home}/artifacts"
    experiments: dict[str, str] = EXPERIMENTS

    @field_validator("experiments")
    @classmethod
    def _the_rest_is_as_it_was(cls, named: dict[str, str]) -> dict[str, str]:
        if unknown := set(named) - set(EXPERIMENTS):
            raise ValueError(f"'{unknown.pop()}' is not a pipeline; the pipelines are {', '.join(EXPERIMENTS)}")
        return EXPERIMENTS | named


class Aliases(_Section):
    """What the registry's three roles are called; MLflow treats alias names as case sensitive."""

    champion: str = "champion"
    challenger: str = "challenger"
    previous: str = "previous"


class Ledger(_Section):
    """The promotion ledger and the Ed25519 keys that sign and verify it."""

    path: str = "{home}/ledger"
    private_key: str = "{home}/keys/ledger.key"
    public_key: str = "{home}/keys/ledger.pub"


class Registry(_Section):
    """The model registry: names, aliases, and the ledger that guards them."""

    uri: str | None = None
    models: dict[Literal["tabular", "language"], str] = MODELS
    aliases: Aliases = Aliases()
    ledger: Ledger = Ledger()

    @field_validator("models")
    @classmethod
    def _the_rest_is_as_it_was(cls, named: dict[str, str]) -> dict[str, str]:
        return MODELS | named


class Publishing(_Section):
    """Encrypted models: where they are kept, and what the proxy needs to make them.

    A `uri` of its own keeps the plain models off every machine that answers with encrypted ones.
    """

    uri: str | None = None
    artifacts: str = "{home}/published"
    models: str = "{model}-for-{user}"
    live: str = "live"
    previous: str = "previous"
    master: str = "{home}/proxy/master.key"
    users: str = "{home}/proxy/users.json"

    @field_validator("models")
    @classmethod
    def _names_both(cls, pattern: str) -> str:
        if set(re.findall(r"{.*?}", pattern)) != {"{model}", "{user}"}:
            raise ValueError(f"'{pattern}' is no name for a user's model; put {{model}} and {{user}} in it")
        return pattern


class AnswerServer(_Section):
    """What `troth serve` does unless told otherwise; rows are those of one user."""

    host: str = "127.0.0.1"
    port: int = 8180
    workers: int = Field(default=2, ge=1)
    folder: str = "{home}/serving"
    rows_a_minute: int = Field(default=100_000, ge=1)
    rows_a_day: int = Field(default=1_000_000, ge=1)
    poll_seconds: float = Field(default=1.0, gt=0)
    most_models: int = Field(default=32, ge=1)
    stale_seconds: float = Field(default=300.0, gt=0)
    silent_seconds: float = Field(default=3600.0, gt=0)


class Settings(_Section):
    """Everything `mlflow.yaml` says, with `{home}` filled in and every path absolute."""

    home: str = ".troth"
    server: Server = Server()
    tracking: Tracking = Tracking()
    registry: Registry = Registry()
    publishing: Publishing = Publishing()
    serving: AnswerServer = AnswerServer()

    @property
    def tracking_uri(self) -> str:
        return self.tracking.uri

    @property
    def registry_uri(self) -> str:
        return self.registry.uri or self.tracking.uri

    @cached_property
    def root(self) -> Path:
        """The folder that holds everything embedded."""
        return Path(self.home)

    @property
    def owners(self) -> Path:
        """Where owners' rows are kept, one folder an owner."""
        return self.root / "owners"

    @property
    def budgets(self) -> Path:
        """Where the privacy budgets of data sets are kept, one file each."""
        return self.root / "budgets"

    @property
    def published(self) -> "Settings":
        """These settings with the stores of encrypted models in the place of the others."""
        if self.publishing.uri is None:
            return self
        place = {"uri": self.publishing.uri, "artifacts": self.publishing.artifacts}
        stores = {"tracking": self.tracking.model_copy(update=place)}
        return self.model_copy(update=stores | {"registry": self.registry.model_copy(update={"uri": None})})

    def model_name(self, pipeline: str, schema: str) -> str:
        """The registered model's name for a pipeline run on a schema."""
        return self.registry.models[pipeline].format(schema=schema)


def load_settings(path: Path | None = None) -> Settings:
    """Settings from `path`, or from TROTH_CONFIG, or from the nearest `mlflow.yaml` at or above the working folder.

    Without any file the defaults hold, with `.troth` in the working folder.

    Raises
    ------
    InvalidInput
        The file is missing, not YAML, or has a key that is unknown or of the wrong type.
    """
    path = path or _find()
    document = read_yaml(path, what="settings") if path else {}
    settings = validated(Settings, document, path or CONFIG_NAME)
    home = Path(os.environ.get("TROTH_HOME") or settings.home).expanduser()
    base = path.parent if path and "TROTH_HOME" not in os.environ else Path.cwd()
    home = (base / home).resolve()
    filled = _fill(settings.model_dump(), str(home)) | {"home": str(home)}
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        filled["tracking"]["uri"] = uri
    if uri := os.environ.get("MLFLOW_REGISTRY_URI"):
        filled["registry"]["uri"] = uri
    return validated(Settings, filled, path or CONFIG_NAME)


def _find() -> Path | None:
    if named := os.environ.get("TROTH_CONFIG"):
        return Path(named).expanduser().resolve()
    here = Path.cwd()
    return next((folder / CONFIG_NAME for folder in (here, *here.parents) if (folder / CONFIG_NAME).is_file()), None)


def _fill(value, home: str):
    if isinstance(value, dict):
        return {key: _fill(inner, home) for key, inner in value.items()}
    return value.replace("{home}", home) if isinstance(value, str) else value
