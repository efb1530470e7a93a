"""Owners on machines of their own in mode `federated`: an aggregator among them, and who is lost comes back."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.boosting.federated import Agreement
from components.boosting.federated.train import read_progress
from components.boosting.histogram import Rows, bin_table
from components.boosting.histogram import train as train_in_one_process
from components.boosting.model import to_document
from components.boosting.parameters import BoostingParameters
from components.data.reading import read_table
from components.data.schema import Schema
from components.data.split import PARTS, split_of
from components.data.table import Table
from tasks.partition import SplitShares
from tests.troth.conftest import wait_for
from tests.troth.machines import PATIENCE, World, champion, ended

pytestmark = pytest.mark.slow

OWNERS, OTHERS = ("hospital", "insurer", "registry"), ("adder",)
QUICK = {"rounds": 4, "max_depth": 2, "max_bin": 8, "subsample": 1.0, "colsample_bytree": 1.0}
SPLIT = SplitShares().as_record()
CANARY_NAME, CANARY_NUMBER = "canary-person", 31.415926535


@pytest.fixture(scope="module")
def everyone(people) -> pa.Table:
    return people(900)


@pytest.fixture(scope="module")
def world(tmp_path_factory, server, schema, everyone, empty_store):
    """Three owners of a third of the rows each, and an aggregator; the hospital runs the pipeline on its own server."""
    world = World(tmp_path_factory.mktemp("world"), server[1], "federated", QUICK, is_pipeline_apart=True)
    world.hand_out(OWNERS, (*OTHERS, "dealer"), schema, "--aggregator", "adder")
    (world.folder / "hospital" / "home" / "mlflow.db").write_bytes(empty_store.read_bytes())
    for number, name in enumerate(OWNERS):
        part = everyone.slice(300 * number, 300)
        if name == "insurer":
            ids = [CANARY_NAME, *part["id"].to_pylist()[1:]]
            markers = [CANARY_NUMBER, *part["marker"].to_pylist()[1:]]
            for column, values in (("id", ids), ("marker", markers)):
                part = part.set_column(part.column_names.index(column), column, pa.array(values))
        world.write(name, part)
    for name in ("insurer", "registry", "adder"):
        world.serve(name)
    for name in ("insurer", "registry", "adder"):
        wait_for(lambda name=name: "Ctrl-C" in world.printed(name), f"worker of {name}", patience=PATIENCE)
    yield world
    for name in list(world.processes):
        world.kill(name)


@pytest.fixture(scope="module")
def trained(world):
    said = world.train()
    assert said.code == 0, said.out + said.err
    return said


def record(world: World, name: str = "rounds.json") -> list | dict:
    """The newest record of this name in the hospital's artifacts."""
    found = world.found("hospital", f"home/**/{name}")
    return json.loads(max(found, key=lambda path: path.stat().st_mtime).read_text())


def test_the_champion_is_the_model_of_all_rows_in_one_place(trained, world, schema):
    assert "PROMOTE" in trained.out
    model = champion(world.folder / "hospital" / "home", "people").booster
    [kept] = world.found("adder", "parties/store/together/grow-*/adder/progress.json")
    progress = read_progress(json.loads(kept.read_text()))
    schema = Schema.model_validate(schema)
    agreement = Agreement(
        schema_text=schema.model_dump_json(),
        salt=SPLIT["salt"],
        shares=SPLIT["shares"],
        parameters=BoostingParameters(**QUICK),
    )
    parts = [read_table(world.folder / name / "rows.csv", schema).columns for name in OWNERS]
    table = Table(schema, pa.concat_tables(parts))
    codes = split_of(table.person, SPLIT["salt"], tuple(SPLIT["shares"]))
    terms = agreement.terms(progress.terms)
    train, held_out = (table.take(np.flatnonzero(codes == PARTS.index(part))) for part in ("train", "selection"))
    owner = Rows(
        terms,
        bin_table(train, terms.cuts),
        train.labels,
        validation=(bin_table(held_out, terms.cuts), held_out.labels),
    )
    pooled = train_in_one_process(terms, [owner], publish_sums=False)
    trees = "learner", "gradient_booster", "model", "trees"
    assert at(to_document(model), *trees) == at(to_document(pooled), *trees)
    assert [one["members"] for one in record(world)] == [list(OWNERS)] * QUICK["rounds"]


def at(document: dict, *keys: str):
    for key in keys:
        document = document[key]
    return document


def test_what_an_owner_has_is_nowhere_else(trained, world, server):
    spelt = [CANARY_NAME.encode(), str(CANARY_NUMBER).encode(), np.float64(CANARY_NUMBER).tobytes()]
    places = [server[0], *(world.folder / name for name in ("hospital", "registry", "adder"))]
    for path in (path for place in places for path in place.rglob("*") if path.is_file()):
        content = path.read_bytes()
        if path.suffix == ".parquet":
            content += repr(pq.read_table(path).to_pydict()).encode()
        assert not [one for one in spelt if one in content], path
    assert any(CANARY_NAME.encode() in path.read_bytes() for path in (world.folder / "insurer").rglob("*.csv"))


def test_neither_the_shared_server_nor_others_have_the_verdict_the_scores_or_the_model(trained, world, server):
    model = to_document(champion(world.folder / "hospital" / "home", "people").booster)
    leaf = json.dumps(at(model, "learner", "gradient_booster", "model", "trees")[0]["base_weights"])[1:40]
    assert len(leaf) > 20
    for path in (path for path in server[0].rglob("*") if path.is_file()):
        content = path.read_bytes()
        assert not [one for one in (leaf.encode(), b"beats_constant", b"PROMOTE") if one in content], path
    assert not world.found("adder", "**/store/**/*.npz")
    assert not world.found("registry", "**/store/**/result.npz")


def test_an_owner_that_is_killed_is_done_without_and_comes_back(trained, world):
    # More rounds than it takes a machine to start.
    words = world.words(rounds=2000, max_depth=4)
    (world.folder / "hospital" / "printed.txt").write_text("")
    before = set(world.found("adder", "parties/store/together/grow-*/adder/progress.json"))
    pipeline = world.start("hospital", world.troth(*words))

    def rounds() -> list[dict]:
        kept = set(world.found("adder", "parties/store/together/grow-*/adder/progress.json")) - before
        return json.loads(kept.pop().read_text())["rounds"] if kept else []

    def come_to(condition, what: str) -> None:
        wait_for(lambda: condition() or pipeline.poll() is not None, what, patience=PATIENCE)
        assert pipeline.poll() is None, world.printed("hospital")

    come_to(lambda: len(rounds()) >= 2, "two rounds")
    world.kill("registry")
    come_to(lambda: rounds()[-1]["members"] == ["hospital", "insurer"], "a round without the registry")
    world.serve("registry")
    come_to(lambda: rounds()[-1]["members"] == list(OWNERS), "the registry again")
    ended(pipeline)


def test_without_an_aggregator_it_is_refused(trained, world):
    path = world.folder / "hospital" / "parties" / "parties.yaml"
    before = path.read_text()
    path.write_text(before[: before.index("aggregator:")])
    try:
        said = world.train()
    finally:
        path.write_text(before)
    assert "aggregator" in said.complaint
