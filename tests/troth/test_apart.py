"""Owners on machines of their own: a Prefect server, a home, a table and a worker for each, and nothing in common.

Hospital and registry know the same of different people, the insurer knows other things of all of them. The hospital may
open the model. The insurer has a worker of a process work pool, as `deploy/owners.yaml` says, and so has the hospital
for the scheduled run; registry and dealer are served by `troth parties serve`.
"""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import yaml
from prefect.deployments import run_deployment
from prefect.settings import PREFECT_API_URL, temporary_settings

from components.boosting.parameters import BoostingParameters
from components.data.schema import Schema
from components.data.split import split_of
from components.data.table import Table
from components.errors import InvalidInput
from tasks.partition import SplitShares
from tests.components.boosting.secret_shared.on_bins import as_matrix, xgboost_on_bins
from tests.troth.conftest import wait_for
from tests.troth.machines import PATIENCE, World, champion

pytestmark = pytest.mark.slow

OWNERS = ("insurer", "hospital", "registry")
MEMBERS = (*OWNERS, "dealer")
# All rows and features for every tree, so that XGBoost can be told to do the same.
QUICK = {"rounds": 3, "max_depth": 2, "max_bin": 8, "subsample": 1.0, "colsample_bytree": 1.0}
SPLIT = SplitShares().as_record()
CANARY_NAME, CANARY_NOTE, CANARY_NUMBER = "canary-person", "canary-note", 31.415926535
KNOWN, CLAIMED = ["id", "dose", "site", "sex", "outcome"], ["id", "marker", "age"]


@pytest.fixture(scope="module")
def world(tmp_path_factory, server, schema, people, empty_store):
    """Four machines that share a Prefect server and certificates of one authority, with all workers at work."""
    folder = tmp_path_factory.mktemp("world")
    world = World(folder, server[1], "secret_shared", QUICK)
    world.hand_out(OWNERS, ("dealer",), schema)
    (folder / "hospital" / "home" / "mlflow.db").write_bytes(empty_store.read_bytes())
    everyone = people(600)
    world.write("hospital", everyone.select(KNOWN).slice(0, 350))
    world.write("registry", everyone.select(KNOWN).slice(350))
    # The insurer knows persons nobody else does, in another order, and a column the schema does not ask for.
    extra = pa.table({"id": [CANARY_NAME], "marker": [CANARY_NUMBER], "age": [77]})
    rows = pa.concat_tables([everyone.select(CLAIMED), extra])
    rows = rows.take(np.random.default_rng(1).permutation(len(rows)))
    world.write("insurer", rows.append_column("note", pa.array([CANARY_NOTE] * len(rows))))
    for name in ("registry", "dealer"):
        world.serve(name)
    world.deploy(("insurer", "hospital"), ("insurer", "monthly"))
    for name in ("insurer", "hospital"):
        world.work(name)
    for name in ("registry", "dealer"):
        wait_for(lambda name=name: "Ctrl-C" in world.printed(name), f"worker of {name}", patience=PATIENCE)
    yield world
    for name in list(world.processes):
        world.kill(name)


def announced(world: World, split: dict = SPLIT):
    """What the pipeline is told before it trains, asked from this process."""
    from tasks.apart import announced
    from tasks.inputs import Apart

    here = world.folder / "hospital"
    source = Apart(schema_file=str(here / "people.yaml"), parties=str(here / "parties"))
    with temporary_settings({PREFECT_API_URL: world.prefect}):
        return announced(source, split)


def assert_as_xgboost(world: World, name: str, everyone: pa.Table, schema: dict) -> None:
    """The champion is the model of XGBoost on the training rows of all owners in one place."""
    booster = champion(world.folder / "hospital" / "home", name).booster
    table = Table(Schema.model_validate(schema), everyone)
    training = table.take(split_of(table.person, SPLIT["salt"], tuple(SPLIT["shares"])) == 0)
    ours = booster.predict(as_matrix(training, training.features, labels=False), output_margin=True)
    assert np.ptp(ours) > 0.2
    np.testing.assert_allclose(ours, xgboost_on_bins(training, BoostingParameters(**QUICK)), atol=2e-4)


@pytest.fixture
def kept_rows(world):
    """Owners' tables and schemas, put back as they were after the test."""
    paths = [world.folder / name / file for name in OWNERS for file in ("rows.csv", "people.yaml")]
    before = [path.read_bytes() for path in paths]
    yield
    for path, content in zip(paths, before, strict=True):
        path.write_bytes(content)


@pytest.fixture(scope="module")
def trained(world):
    """The scheduled run of deploy/owners.yaml, started by hand; the Prefect state it ended in."""
    here = world.folder / "hospital"
    data = {"kind": "apart", "schema_file": str(here / "people.yaml"), "parties": str(here / "parties")}
    parameters = {"data": data, "policy": str(here / "policy.yaml"), "training": QUICK}
    with temporary_settings({PREFECT_API_URL: world.prefect}):
        run = run_deployment("tabular/monthly", parameters=parameters, timeout=PATIENCE, poll_interval=1)
    assert run.state.is_completed(), f"{run.state}\n" + "\n".join(world.printed(name) for name in MEMBERS)
    return run


def test_a_scheduled_run_trains_what_xgboost_would_on_all_rows(trained, world, people, schema):
    assert_as_xgboost(world, "people", people(600), schema)


def test_what_an_owner_has_is_nowhere_else(trained, world, server):
    spelt = [
        CANARY_NAME.encode(),
        CANARY_NOTE.encode(),
        str(CANARY_NUMBER).encode(),
        np.float64(CANARY_NUMBER).tobytes(),
    ]
    places = [server[0], *(world.folder / name for name in MEMBERS if name != "insurer")]
    for path in (path for place in places for path in place.rglob("*") if path.is_file()):
        content = path.read_bytes()
        if path.suffix == ".parquet":
            content += repr(pq.read_table(path).to_pydict()).encode()
        assert not [one for one in spelt if one in content], path
    # The hospital's doses are not with the others either.
    dose = pyarrow.csv.read_csv(world.folder / "hospital" / "rows.csv")["dose"][0].as_py()
    for path in (path for name in ("insurer", "registry", "dealer") for path in (world.folder / name).rglob("*")):
        content = path.read_bytes() if path.is_file() else b""
        assert str(dose).encode() not in content, path
        assert np.float64(dose).tobytes() not in content, path
    assert any(CANARY_NAME.encode() in path.read_bytes() for path in (world.folder / "insurer").rglob("*.csv"))


def test_owners_of_the_same_columns(trained, world, kept_rows, people, schema):
    """All know the same of different people: no rows are matched, and cut points are found together."""
    everyone = people(500, seed=4)
    for number, name in enumerate(OWNERS):
        world.write(name, everyone.take(np.flatnonzero(np.arange(500) % 3 == number)))
        (world.folder / name / "people.yaml").write_text(yaml.safe_dump({**schema, "name": "rows"}, sort_keys=False))
    said = world.train()
    assert said.code == 0, said.out + said.err
    assert "PROMOTE" in said.out
    assert_as_xgboost(world, "rows", everyone, schema)


def test_another_split_is_refused(trained, world):
    # Whoever runs the pipeline can make its own machine agree to anything.
    agreed = world.folder / "hospital" / "store" / "agreed_split.json"
    aside = agreed.rename(agreed.with_suffix(".aside"))
    try:
        with pytest.raises(
            InvalidInput, match="owner '(insurer|registry)' has agreed to .*'troth'.*'other'"
        ) as refusal:
            announced(world, {**SPLIT, "salt": "other"})
    finally:
        aside.rename(agreed)
    assert str(world.folder) not in str(refusal.value)


def test_a_column_by_another_name(world, kept_rows):
    path = world.folder / "insurer" / "rows.csv"
    path.write_bytes(path.read_bytes().replace(b'"marker"', b'"markr"', 1))
    with pytest.raises(InvalidInput, match="'marker'.*insurer has age"):
        announced(world)


def test_a_column_that_does_not_fit_is_named_and_its_values_are_not(world, kept_rows):
    path = world.folder / "insurer" / "rows.csv"
    rows = pyarrow.csv.read_csv(path)
    texts = pa.array(["secret-reading", *map(str, rows["marker"].to_pylist()[1:])])
    world.write("insurer", rows.set_column(rows.column_names.index("marker"), "marker", texts))
    with pytest.raises(InvalidInput, match="'insurer'.*'marker'") as refusal:
        announced(world)
    assert "secret-reading" not in str(refusal.value)
    assert "secret-reading" in world.printed("insurer")


def test_a_worker_that_is_not_there(world):
    world.kill("insurer")
    path = world.folder / "hospital" / "parties" / "parties.yaml"
    before = path.read_text()
    path.write_text(before.replace("gather: 600", "gather: 24"))
    try:
        said = world.train()
    finally:
        path.write_text(before)
        world.work("insurer")
    assert "work pool 'owner-insurer'" in said.complaint
    assert "troth parties serve DIR --as insurer" in said.complaint
    # Who watches hears of it long before the pipeline gives up.
    assert "waiting up to 24 s" in said.out


def test_an_owner_that_is_killed_comes_back_and_the_update_meets_the_champion(trained, world, kept_rows, people):
    def shares() -> list[Path]:
        return list((world.folder / "registry" / "store").glob("together/train-*/registry/shares/round_*.npz"))

    # A month later the registry has more people, and the insurer knows them.
    newer = people(700)
    world.write("registry", newer.select(KNOWN).slice(350))
    world.write("insurer", newer.select(CLAIMED))
    before, words = len(shares()), world.words(rounds=12)
    (world.folder / "hospital" / "printed.txt").write_text("")
    pipeline = world.start("hospital", world.troth(*words))
    wait_for(lambda: len(shares()) >= before + 2 or pipeline.poll() is not None, "two trees", patience=PATIENCE)
    assert pipeline.poll() is None, world.printed("hospital")
    world.kill("registry")
    assert pipeline.wait(PATIENCE) == 2
    printed = world.printed("hospital")
    assert "error: party 'registry'" in printed
    assert "Traceback" not in printed

    world.serve("registry")
    kept = len(shares()) - before
    assert 2 <= kept < 12
    said = world.train(rounds=12)
    assert said.code == 0, said.out + said.err
    assert "continuing the unfinished run" in said.out
    assert len(shares()) == before + 12
    # Candidates that are blended on shares, and a verdict on their flips.
    assert "blend_0.5" in said.out
    verdicts = (world.folder / "hospital" / "home").rglob("verdict.json")
    newest = json.loads(max(verdicts, key=lambda path: path.stat().st_mtime).read_text())
    assert {"flip_budget", "beats_constant"} == {check["name"] for check in newest["checks"]}
