"""`troth parties serve`, and `troth run tabular --parties`: what is refused before anything is started."""

import os
import subprocess
import sys
import time

import pyarrow.csv
import pytest
import yaml

from tests.troth.conftest import wait_for
from tests.troth.machines import prefect_server


@pytest.fixture
def folder(troth, tmp_path, people, people_schema, served, monkeypatch):
    """The insurer's folder, with everything in it."""
    for name in ("PREFECT_API_URL", "TROTH_OWNER"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "parties"
    assert troth("parties", "init", path, "--owner", "hospital", "--owner", "insurer").code == 0
    schema = people_schema()
    schema["features"]["site"]["categories"] = ["north", "south"]
    (path / "people.yaml").write_text(yaml.safe_dump(schema, sort_keys=False))
    pyarrow.csv.write_csv(people(40).select(["id", "marker", "age"]), path / "rows.csv")
    own = {"name": "insurer", "table": "rows.csv", "schema_file": "people.yaml"}
    (path / "owner.yaml").write_text(yaml.safe_dump(own))
    return path


def hand_over(folder, *kinds: str) -> None:
    """Give the insurer files of the hospital's."""
    for kind in kinds:
        (folder / f"hospital.{kind}").replace(folder / f"insurer.{kind}")


def test_serving_needs_a_server(troth, folder):
    assert "PREFECT_API_URL" in troth("parties", "serve", folder, "--as", "insurer").complaint


def test_serving_as_somebody_else(troth, folder):
    assert "'hospital'" in troth("parties", "serve", folder, "--as", "hospital").complaint


@pytest.mark.parametrize(
    ("harm", "named"),
    [
        (lambda folder: (folder / "owner.yaml").unlink(), "owner.yaml"),
        (lambda folder: hand_over(folder, "key"), "does not belong"),
        (lambda folder: hand_over(folder, "pem", "key"), "of 'hospital', not of 'insurer'"),
        (lambda folder: (folder / "rows.csv").write_text("id,marker\np1,much\np2,3\n"), "'much'"),
        (lambda folder: (folder / "rows.csv").unlink(), "rows.csv"),
        (lambda folder: (folder / "people.yaml").write_text("name: people"), "people.yaml"),
    ],
)
def test_serving_looks_at_its_files_and_its_table_first(troth, folder, harm, named):
    harm(folder)
    assert named in troth("parties", "serve", folder, "--as", "insurer").complaint


@pytest.mark.slow
def test_an_owner_that_is_told_to_ends_at_once_though_its_server_is_gone(folder, tmp_path):
    command = [
        sys.executable,
        "-c",
        "from troth.app import main; main()",
        "parties",
        "serve",
        folder,
        "--as",
        "insurer",
    ]
    printed = tmp_path / "printed.txt"
    with prefect_server(tmp_path) as address, open(printed, "wb") as out:
        environment = os.environ | {"PREFECT_API_URL": address}
        serving = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        wait_for(lambda: "Ctrl-C" in printed.read_text(), "worker")
        time.sleep(5)  # Prefect's runner has begun to look for work, and says nothing of it
    serving.terminate()
    serving.wait(30)  # raises where it does not end


def test_checking_looks_at_the_table_too(troth, folder):
    assert troth("parties", "check", folder, "--as", "insurer").code == 0
    (folder / "rows.csv").write_text("id,marker\np1,much\np2,3\n")
    assert "'much'" in troth("parties", "check", folder, "--as", "insurer").complaint


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ((), "--schema"),
        (("--schema", "people.yaml", "--years", "1"), "--years"),
        (("--schema", "people.yaml", "--source", "rand_hie"), "--source"),
        (("--schema", "people.yaml", "--data", "rows.csv"), "--data"),
        (("--schema", "people.yaml"), "'pooled'"),
        (("--schema", "people.yaml", "--mode", "secret_shared"), "PREFECT_API_URL"),
        (("--schema", "people.yaml", "--mode", "secret_shared", "--partition", "even:2"), "'even'"),
    ],
)
def test_a_run_that_cannot_be(troth, folder, monkeypatch, served, words, named):
    monkeypatch.chdir(folder)
    before = served.standing()
    assert named in troth("run", "tabular", "--parties", ".", *words).complaint
    assert served.standing() == before
    assert not os.environ.get("PREFECT_API_URL")


def test_the_deployments_of_owners_are_what_flows_take(tmp_path):
    from pathlib import Path

    from prefect.flows import load_flow_from_entrypoint

    from flows.tabular import tabular

    document = yaml.safe_load((Path(__file__).parents[2] / "deploy" / "owners.yaml").read_text())
    for one in document["deployments"]:
        # By their module: loaded as a file, nothing would tell MLflow where this home's stores are.
        assert load_flow_from_entrypoint(one["entrypoint"], use_placeholder_flow=False).name in ("take-part", "tabular")
        assert ":" not in one["entrypoint"]
        assert one["work_pool"]["name"].startswith("owner-")
    asked = [one["parameters"] for one in document["deployments"] if "parameters" in one]
    assert [one["mode"] for one in asked] == ["secret_shared", "federated"]
    for parameters in asked:
        tabular.validate_parameters(parameters)
