"""What every test shares: a home of its own for the session, set before anything imports Prefect or MLflow; tables."""

import os
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

import absl.logging
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

# The accountant's library closes what was standard error at its import when Prefect sets up its logs: pytest's capture.
absl.logging.get_absl_handler().python_handler.setStream(sys.__stderr__)

_home = tempfile.TemporaryDirectory(prefix="troth-tests-", ignore_cleanup_errors=True)
for _name in ("PREFECT_API_URL", "PREFECT_PROFILE", "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "TROTH_CONFIG"):
    os.environ.pop(_name, None)
os.environ.update(
    TROTH_HOME=f"{_home.name}/home",
    PREFECT_HOME=f"{_home.name}/prefect",
    PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS="180",
    PREFECT_LOGGING_LEVEL="WARNING",
    PREFECT_SERVER_ANALYTICS_ENABLED="false",
    MLFLOW_DISABLE_TELEMETRY="true",
    DO_NOT_TRACK="true",
)

LENIENT = {
    "name": "test",
    "flip_budget": {"nfr": 0.2},
    "not_worse": {},
    "beats_constant": {},
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that no worker is left with the longest at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture
def process_of():
    """Finds the process of a member, by the folder that has its log."""

    def find(folder: Path) -> int:
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                titled = (entry / "comm").read_text().startswith("troth ")
                if titled and os.readlink(entry / "fd" / "2") == str(folder / "log.txt"):
                    return int(entry.name)
        raise AssertionError(f"no process is of the member in {folder}")

    return find


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory) -> Path:
    """An MLflow database with its tables, which take seconds to make."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def home(tmp_path, monkeypatch, empty_store):
    """The settings of a home of the test's own, which is its working folder too."""
    from tasks.settings import load_settings

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
    from tasks.tracking import client_of

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


@pytest.fixture(scope="session")
def people():
    """A function that makes people: the rows `table` writes."""
    return make_people


@pytest.fixture(scope="session")
def people_schema():
    """A function that makes the document of their schema."""
    return schema_document


@pytest.fixture
def table(tmp_path):
    """A function that writes people and their schema, and returns them as a flow's parameter."""

    from tasks.inputs import OwnTable

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
