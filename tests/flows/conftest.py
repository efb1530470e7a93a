"""Flows run for real: one embedded Prefect server a session, and an MLflow store for each test."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from components.boosting import BoostingParameters, CandidatePlan
from flows.tabular import tabular
from tasks.inputs import OwnTable
from tasks.settings import Settings, load_settings
from tasks.tracking import client_of

FAST = BoostingParameters(rounds=15, max_depth=2, threads=1)
RETRAIN = CandidatePlan(kinds=())
LENIENT = {
    "name": "test",
    "flip_budget": {"nfr": 0.2},
    "not_worse": {},
    "beats_constant": {},
}


@pytest.fixture(scope="session", autouse=True)
def _no_heartbeat():
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory) -> Path:
    """An MLflow database with its tables, which take seconds to make."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def home(tmp_path, monkeypatch, empty_store) -> Settings:
    """A home of the test's own."""
    root = tmp_path / "home"
    root.mkdir()
    shutil.copy(empty_store, root / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TROTH_HOME", str(root))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/mlflow.db")
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", f"sqlite:///{root}/mlflow.db")
    return load_settings()


@pytest.fixture
def client(home):
    return client_of(home)


def make_people(count: int = 1200, *, seed: int = 0, kind: str = "binary", signal: float = 2.0) -> pa.Table:
    """People with two informative features, a category, a sex and an age; the label follows the features."""
    rng = np.random.default_rng(seed)
    dose, marker = rng.normal(size=count), rng.normal(size=count)
    site = rng.choice(["north", "south"], count)
    margin = signal * (dose + 0.5 * marker + 0.5 * (site == "north"))
    noisy = margin + rng.logistic(size=count)
    match kind:
        case "binary":
            label = (noisy > 0.5).astype(int)
        case "multiclass":
            label = np.array(["low", "middle", "high"])[np.digitize(noisy, [-1, 1.5])]
        case _:
            label = noisy
    return pa.table(
        {
            "id": [f"p{seed}-{k}" for k in range(count)],
            "dose": dose,
            "marker": marker,
            "site": site,
            "sex": rng.choice(["f", "m"], count),
            "age": rng.integers(18, 90, count),
            "outcome": label,
        }
    )


def schema_document(kind: str = "binary") -> dict:
    label = {
        "binary": {"column": "outcome"},
        "multiclass": {"column": "outcome", "kind": "multiclass", "classes": ["low", "middle", "high"]},
        "regression": {"column": "outcome", "kind": "regression", "tolerance": 1.5},
    }[kind]
    return {
        "name": "people",
        "person": "id",
        "label": label,
        "features": {"dose": {}, "marker": {}, "site": {"kind": "categorical"}},
        "groups": {"sex": {"column": "sex"}, "age_band": {"column": "age", "edges": [40, 65]}},
    }


@pytest.fixture
def people():
    """A function that makes people: the rows `table` writes."""
    return make_people


@pytest.fixture
def table(tmp_path):
    """A function that writes people and their schema, and returns them as a flow's parameter."""

    def write(name: str = "people", **options) -> OwnTable:
        kind = options.get("kind", "binary")
        path, schema = tmp_path / f"{name}.parquet", tmp_path / f"{name}.yaml"
        pq.write_table(make_people(**options), path)
        schema.write_text(yaml.safe_dump(schema_document(kind), sort_keys=False))
        return OwnTable(path=str(path), schema_file=str(schema))

    return write


@pytest.fixture
def policy(tmp_path):
    """A function that writes a policy and returns its path; what is given is added to a lenient one."""

    def write(**changes) -> str:
        path = tmp_path / "policy.yaml"
        document = {key: value for key, value in {**LENIENT, **changes}.items() if value is not None}
        path.write_text(yaml.safe_dump(document))
        return str(path)

    return write


@pytest.fixture
def run(home, policy):
    """A quick `tabular` run: few small trees, the plain retrain alone, a lenient policy."""

    def start(data, **options):
        defaults = {"training": FAST, "candidates": RETRAIN, "policy": options.pop("policy", None) or policy()}
        return tabular(data=data, **{**defaults, **options})

    return start
