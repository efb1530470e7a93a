"""A real registry for each test: a migrated SQLite store with four registered versions, copied from a template."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

os.environ.update(
    MLFLOW_DISABLE_TELEMETRY="true",
    DO_NOT_TRACK="true",
    MLFLOW_ALLOW_PICKLE_DESERIALIZATION="false",
    GIT_PYTHON_REFRESH="quiet",
)

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pytest
import xgboost
import yaml
from mlflow import MlflowClient

from components.boosting import model_digest
from components.data.schema import BinaryLabel, Feature, Schema
from components.data.table import Table
from components.gates.verdict import Check, Decision, Outcome, Verdict
from components.parties.file import make_parties
from tasks.promotion import PromotionOutcome, decide_promotion
from tasks.registry import DATA_DIGEST, log_booster, register
from tasks.registry_artifact import text_digest
from tasks.settings import Ledger, Registry, Settings, Tracking

NAME = "care"
SCHEMA = Schema(
    name=NAME,
    features={
        "age": Feature(),
        "plan": Feature(kind="categorical", categories=("free", "shared", "full")),
        "health": Feature(kind="ordinal", categories=("poor", "fair", "good")),
    },
    label=BinaryLabel(column="visits"),
    person="id",
)

SCHEMA_DIGEST = text_digest(SCHEMA.model_dump_json())


def rows(seed: int, count: int = 200) -> pd.DataFrame:
    """Raw columns as people write them, and a label that depends on all of them."""
    rng = np.random.default_rng(seed)
    plan = rng.choice(["free", "shared", "full"], count)
    health = rng.choice(["poor", "fair", "good"], count)
    age = rng.uniform(18, 90, count).round(1)
    visits = (age / 90 + (plan == "free") + (health == "poor") + rng.normal(0, 0.3, count) > 1).astype(int)
    return pd.DataFrame({"id": np.arange(count), "age": age, "plan": plan, "health": health, "visits": visits})


def table_of(frame: pd.DataFrame, schema: Schema = SCHEMA) -> Table:
    return Table(schema, pa.Table.from_pandas(frame, preserve_index=False))


def train(seed: int, objective: str = "binary:logistic") -> xgboost.Booster:
    table = table_of(rows(seed))
    matrix = xgboost.DMatrix(
        table.features,
        table.labels,
        feature_names=list(SCHEMA.features),
        feature_types=table.feature_types,
        enable_categorical=True,
    )
    return xgboost.train({"objective": objective, "max_depth": 2, "nthread": 1}, matrix, num_boost_round=3)


def verdict_of(decision: str) -> Verdict:
    outcome = {"PROMOTE": Outcome.PASS, "HOLD": Outcome.INCONCLUSIVE, "REJECT": Outcome.FAIL}[decision]
    check = Check("flip_budget", "all rows", outcome, 0.01, 0.0, 0.02, 0.015, 500, f"flips are {outcome.lower()}")
    return Verdict(Decision(decision), (check,), {})


@dataclass(frozen=True)
class Place:
    """A registry with its ledger; `digests` maps the version to what it holds."""

    settings: Settings
    digests: dict[str, str]

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.settings.tracking_uri, self.settings.registry_uri)

    def decide(
        self, version: str, decision: str = "PROMOTE", *, over: str | None = None, client: MlflowClient | None = None
    ) -> PromotionOutcome:
        return decide_promotion(
            client or self.client,
            self.settings,
            name=NAME,
            version=version,
            verdict=verdict_of(decision),
            expected_champion=over,
            model_digest=self.digests[version],
            schema_digest=SCHEMA_DIGEST,
            data_digest="da" * 32,
            policy="strict",
            policy_digest="ab" * 32,
            who="ann",
        )

    def alias(self, name: str) -> str | None:
        version = self.client.get_registered_model(NAME).aliases.get(name)
        return str(version) if version else None


def own_version(place, seed: int) -> tuple[str, Path]:
    """A version whose artifact is this test's alone, and the folder it lies in."""
    run = place.client.create_run("1").info.run_id
    logged = log_booster(place.client, run_id=run, booster=train(seed), schema=SCHEMA)
    version = register(place.client, place.settings, name=NAME, logged=logged, tags={})
    location = place.client.get_model_version_download_uri(NAME, version)
    return version, Path(unquote(urlsplit(location).path))


def settings_at(root: Path) -> Settings:
    ledger = Ledger(path=f"{root}/ledger", private_key=f"{root}/keys/ledger.key", public_key=f"{root}/keys/ledger.pub")
    tracking = Tracking(uri=f"sqlite:///{root}/mlflow.db", artifacts=f"{root}/artifacts")
    return Settings(home=str(root), tracking=tracking, registry=Registry(ledger=ledger))


@pytest.fixture(scope="session")
def template(tmp_path_factory) -> Place:
    """Four versions of one model, each of its own run; nothing is promoted."""
    place = Place(settings_at(tmp_path_factory.mktemp("template")), {})
    client = place.client
    experiment = client.create_experiment("tests", artifact_location=place.settings.tracking.artifacts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", place.settings.tracking_uri)
        for seed in range(4):
            run = client.create_run(experiment).info.run_id
            booster = train(seed)
            logged = log_booster(client, run_id=run, booster=booster, schema=SCHEMA)
            version = register(client, place.settings, name=NAME, logged=logged, tags={DATA_DIGEST: "da" * 32})
            place.digests[version] = model_digest(booster)
    return place


def copied(place: Place, tmp_path_factory) -> Place:
    """The same store, ledger and keys in a folder of their own; the stored models are shared."""
    root = tmp_path_factory.mktemp("place")
    shutil.copytree(place.settings.home, root, ignore=shutil.ignore_patterns("artifacts"), dirs_exist_ok=True)
    return Place(settings_at(root), place.digests)


@pytest.fixture
def new_place(template, tmp_path_factory):
    return lambda: copied(template, tmp_path_factory)


@pytest.fixture
def place(new_place, monkeypatch) -> Place:
    """A place of one's own, which the process's environment names as every process of Troth does."""
    made = new_place()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", made.settings.tracking_uri)
    return made


@pytest.fixture
def schema(people_schema):
    document = people_schema()
    document["features"]["site"]["categories"] = ["north", "south"]
    return document


@pytest.fixture
def machine(tmp_path, monkeypatch, schema, people):
    """A folder of the insurer's, with its table and owner.yaml; what is given changes the latter."""
    monkeypatch.delenv("TROTH_OWNER", raising=False)
    folder = tmp_path / "parties"
    make_parties(folder, ["insurer", "hospital"], analyst="hospital")
    (folder / "people.yaml").write_text(yaml.safe_dump(schema, sort_keys=False))
    pyarrow.csv.write_csv(people(300).select(["id", "marker", "age"]), folder / "rows.csv")

    def write(**changes):
        own = {"name": "insurer", "table": "rows.csv", "schema_file": "people.yaml", **changes}
        (folder / "owner.yaml").write_text(yaml.safe_dump({key: one for key, one in own.items() if one is not None}))
        return folder

    return write
