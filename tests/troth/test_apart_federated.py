"""Owners on machines of their own in mode `federated`: an aggregator among them, and who is lost comes back.

The insurer and the aggregator have workers of process work pools, as `deploy/owners.yaml` says, and at last so has the
hospital for the scheduled run; the registry is served by `troth parties serve`.
"""

import json
import signal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prefect.deployments import run_deployment
from prefect.settings import PREFECT_API_URL, temporary_settings

from components.boosting.federated import Agreement, Round, progress_of, read_progress
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
CANARY_NAME, CANARY_NUMBERS = "canary-person", (31.415926535, 27.182818284)


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
            markers = [*CANARY_NUMBERS, *part["marker"].to_pylist()[2:]]
            for column, values in (("id", ids), ("marker", markers)):
                part = part.set_column(part.column_names.index(column), column, pa.array(values))
        world.write(name, part)
    world.serve("registry")
    world.deploy(("insurer", "adder", "hospital"), ("insurer", "adder", "monthly-federated"))
    for name in ("insurer", "adder"):
        world.work(name)
    wait_for(lambda: "Ctrl-C" in world.printed("registry"), "worker of registry", patience=PATIENCE)
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
    [kept] = world.found("adder", "parties/store/together/grow-*/adder/progress.jsonl")
    progress = read_progress(kept)
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
    spelt = [CANARY_NAME.encode()]
    for number in CANARY_NUMBERS:
        # Once it is read it is a float32.
        read = np.float32(number)
        spelt += [text.encode() for text in (str(number), str(float(read)), str(read), repr(read))]
        spelt += [np.float64(number).tobytes(), np.float64(read).tobytes()]
    # Four bytes may be anything; all eight are not.
    short = [np.float32(number).tobytes() for number in CANARY_NUMBERS]
    places = [server[0], *(world.folder / name for name in ("hospital", "registry", "adder"))]
    for path in (path for place in places for path in place.rglob("*") if path.is_file()):
        content = path.read_bytes()
        if path.suffix == ".parquet":
            content += repr(pq.read_table(path).to_pydict()).encode()
        assert not [one for one in spelt if one in content], path
        assert not all(one in content for one in short), path
    assert any(CANARY_NAME.encode() in path.read_bytes() for path in (world.folder / "insurer").rglob("*.csv"))
    [part, *_] = world.found("insurer", "store/owners/insurer/*.parquet")
    read = pq.read_table(part)["marker"].to_numpy().astype(np.float32).tobytes()
    assert all(one in read for one in short)


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
    words = world.words(rounds=10_000, max_depth=4)
    (world.folder / "hospital" / "printed.txt").write_text("")
    before = set(world.found("adder", "parties/store/together/grow-*/adder/progress.jsonl"))
    pipeline = world.start("hospital", world.troth(*words))

    def rounds() -> list[Round]:
        kept = set(world.found("adder", "parties/store/together/grow-*/adder/progress.jsonl")) - before
        if not kept:
            return []
        # The last line is being written.
        lines = kept.pop().read_text().splitlines()[:-1]
        return progress_of(map(json.loads, lines)).rounds

    def come_to(condition, what: str) -> None:
        wait_for(lambda: condition() or pipeline.poll() is not None, what, patience=PATIENCE)
        assert pipeline.poll() is None, world.printed("hospital")

    come_to(lambda: len(rounds()) >= 2, "two rounds")
    world.kill("registry")
    come_to(lambda: rounds()[-1].members == ("hospital", "insurer"), "a round without the registry")
    world.serve("registry")
    come_to(lambda: rounds()[-1].members == OWNERS, "the registry again")
    # Calls the others off, who would go on without the hospital.
    pipeline.terminate()
    try:
        assert pipeline.wait(PATIENCE) == 128 + signal.SIGTERM
    finally:
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


def test_an_owner_that_says_how_much_may_be_spent_is_in_no_training_that_spends_more(trained, world):
    path = world.folder / "insurer" / "parties" / "owner.yaml"
    before = path.read_text()
    path.write_text(before + "noise: {epsilon: 300, delta: 1.0e-5}\n")
    try:
        said = world.train("--noise", "300:1e-5", rounds=2)
        assert "error" not in said.err, said.err
        [ledger] = world.found("insurer", "store/noise_spent.jsonl")
        assert [json.loads(line)["unit"] for line in ledger.read_text().splitlines()] == [-2, -1, 0, 1]
        complaint = world.train("--noise", "300:1e-5", rounds=2, seed=1).complaint
    finally:
        path.write_text(before)
    assert "at most epsilon 300" in complaint
    assert "is spent, and with epsilon 300" in complaint
    assert len(ledger.read_text().splitlines()) == 4


def test_the_scheduled_run_of_mode_federated(trained, world):
    """Last: here the pipeline itself is on the server that all share."""
    here = world.folder / "hospital"
    world.work("hospital")
    data = {"kind": "apart", "schema_file": str(here / "people.yaml"), "parties": str(here / "parties")}
    parameters = {"data": data, "policy": str(here / "policy.yaml"), "training": {**QUICK, "rounds": 3}}
    with temporary_settings({PREFECT_API_URL: world.prefect}):
        run = run_deployment("tabular/monthly-federated", parameters=parameters, timeout=PATIENCE, poll_interval=1)
    assert run.state.is_completed(), f"{run.state}\n" + "\n".join(map(world.printed, (*OWNERS, *OTHERS)))
    assert [one["members"] for one in record(world)] == [list(OWNERS)] * 3
