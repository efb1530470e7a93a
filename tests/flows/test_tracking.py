"""What a run leaves behind: finite numbers under legal names, one nested run a stage, and no secret anywhere."""

import base64
import logging
import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE

from components.errors import InvalidInput
from components.partition import Even
from tasks.inputs import OwnTable
from tasks.stage import stage
from tasks.tracking import STAGE

LEVELS = ["≥ 65 & Zürich", "a//b/../c", "<5=", ".", "日本 / n/a", "x" * 300]


@pytest.fixture
def wards(people, tmp_path):
    """People in wards whose names no tool expects."""
    table = people(1800)
    wards = [LEVELS[row % len(LEVELS)] for row in range(len(table))]
    path, schema = tmp_path / "wards.parquet", tmp_path / "wards.yaml"
    pq.write_table(table.append_column("ward", pa.array(wards)), path)
    document = {
        "name": "people",
        "person": "id",
        "label": {"column": "outcome"},
        "features": {"dose": {}, "marker": {}, "site": {"kind": "categorical"}},
        "groups": {"ward": {"column": "ward"}, "sex": {"column": "sex"}},
    }
    schema.write_text(yaml.safe_dump(document, allow_unicode=True, sort_keys=False))
    return OwnTable(path=str(path), schema_file=str(schema))


@pytest.mark.slow
def test_group_levels_of_any_name_are_measured_and_no_number_is_missing(run, wards, policy, client):
    groups = {
        "columns": "all",
        "intersections": 2,
        "minimum_rows": 5,
        "small_groups": "report",
        "error": {"budget": 0.5},
    }
    run(wards, policy=policy(groups=groups))

    experiment = client.get_experiment_by_name("troth-tabular").experiment_id
    found = client.search_runs([experiment], f"tags.`{STAGE}` = 'evaluate'")[0].data.metrics
    assert len([name for name in found if name.startswith("error.")]) >= len(LEVELS) + 2
    assert any("_ 65 and Zürich" in name for name in found)
    for one in client.search_runs([experiment]):
        assert all(math.isfinite(value) for value in one.data.metrics.values())
        assert all(len(name) <= 250 for name in one.data.metrics)


def test_a_store_that_was_busy_is_asked_again_within_the_same_nested_run(run, table, client, monkeypatch):
    tries = []
    import tasks.gate as module

    real = module.run_gate

    def busy_once(*given, **named):
        tries.append(1)
        if len(tries) == 1:
            raise MlflowException("database is locked", error_code=TEMPORARILY_UNAVAILABLE)
        return real(*given, **named)

    monkeypatch.setattr(module, "run_gate", busy_once)
    assert run(table())["action"] == "promoted"

    assert len(tries) == 2
    experiment = client.get_experiment_by_name("troth-tabular").experiment_id
    gates = client.search_runs([experiment], f"tags.`{STAGE}` = 'gate'")
    assert [one.info.status for one in gates] == ["FINISHED"]


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (MlflowException("database is locked", error_code=TEMPORARILY_UNAVAILABLE), 3),
        (ConnectionError("refused"), 3),
        (InvalidInput("column 'age' is missing; add it"), 1),
        (ValueError("a mistake of ours"), 1),
        (MlflowException.invalid_parameter_value("no such name"), 1),
    ],
    ids=["busy", "out of reach", "input", "fault", "refused by the store"],
)
def test_only_passing_trouble_is_tried_again(error, tries):
    calls = []

    def work(number: int) -> int:
        calls.append(number)
        raise error

    attempt = stage(version=1, run_name="attempt {number}")(work).with_options(retry_delay_seconds=0)
    with pytest.raises(type(error)):
        attempt(tries)
    assert len(calls) == tries


@pytest.mark.slow
def test_a_verdict_is_a_result_and_is_given_once(run, table, policy, monkeypatch):
    import tasks.gate as module

    calls, real = [], module.run_gate
    monkeypatch.setattr(module, "run_gate", lambda *given, **named: calls.append(1) or real(*given, **named))
    outcome = run(table(), policy=policy(maximum_error={"budget": 0.001}))

    assert outcome["decision"] == "REJECT"
    assert len(calls) == 1


def test_no_secret_reaches_what_a_run_leaves_behind(run, table, home, monkeypatch):
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from prefect.settings import PREFECT_HOME

    lines = []
    listener = logging.Handler()
    listener.emit = lambda record: lines.append(record.getMessage())
    loggers = [logging.getLogger(name) for name in ("prefect.flow_runs", "prefect.task_runs", "troth", "mlflow")]
    for logger in loggers:
        monkeypatch.setattr(logger, "level", logging.DEBUG)
        logger.addHandler(listener)
    try:
        outcome = run(table(), partition_plan=Even(owners=2))
    finally:
        for logger in loggers:
            logger.removeHandler(listener)
    assert outcome["action"] == "promoted"
    assert any("champion" in line for line in lines)

    pem = (home.root / "keys" / "ledger.key").read_bytes()
    secrets = [(home.root / "keys" / "rows.key").read_bytes(), load_pem_private_key(pem, None).private_bytes_raw()]
    body = pem.splitlines()[1]
    forms = [form for secret in secrets for form in _written(secret)] + [body]
    places = [path for root in (home.root, PREFECT_HOME.value()) for path in root.rglob("*") if path.is_file()]
    left = [path for path in places if path.parent != home.root / "keys"]
    assert {".db", ".jsonl", ".html"} <= {path.suffix for path in left}
    for path in left:
        content = path.read_bytes()
        assert not [form for form in forms if form in content], path
    said = "\n".join(lines).encode()
    assert not [form for form in forms if form in said]


def _written(secret: bytes) -> list[bytes]:
    """A secret in the ways it might be written down; of base64 the part that does not depend on what follows."""
    return [
        secret,
        secret.hex().encode(),
        secret.hex().upper().encode(),
        base64.b64encode(secret)[:40],
        base64.urlsafe_b64encode(secret)[:40],
        repr(secret)[2:-1].encode(),
    ]
