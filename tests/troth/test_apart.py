"""Owners on machines of their own: a Prefect server, a home, a table and a worker for each, and nothing in common.

The hospital runs the pipeline and may open the model; the insurer and the dealer are served by `troth parties serve`.
"""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import yaml

from tests.troth.conftest import Said

pytestmark = pytest.mark.slow

PATIENCE = 240
# All rows for every tree: a draw is of places in the matched order, which is another one each time.
QUICK = ("--set", "rounds=4", "--set", "max_depth=2", "--set", "max_bin=8", "--set", "subsample=1")
CANARY_NAME, CANARY_NOTE, CANARY_NUMBER = "canary-person", "canary-note", 31.415926535
HOSPITAL, INSURER = ["id", "dose", "site", "sex", "outcome"], ["id", "marker", "age"]


def free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@dataclass
class World:
    """Machines, each a folder; `pipeline` runs on the hospital's."""

    folder: Path
    prefect: str
    processes: dict[str, subprocess.Popen] = field(default_factory=dict)

    def environment(self, name: str) -> dict[str, str]:
        dropped = ("TROTH_HOME", "TROTH_OWNER", "PREFECT_HOME", "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
        kept = {key: value for key, value in os.environ.items() if key not in dropped}
        home = self.folder / name / "home"
        return kept | {"TROTH_HOME": str(home), "PREFECT_API_URL": self.prefect, "PREFECT_LOGGING_LEVEL": "INFO"}

    def start(self, name: str, *words: object) -> subprocess.Popen:
        with open(self.folder / name / "printed.txt", "ab") as printed:
            return subprocess.Popen(
                [sys.executable, "-c", "from troth.app import main; main()", *map(str, words)],
                cwd=self.folder / name,
                env=self.environment(name),
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def serve(self, name: str) -> None:
        self.processes[name] = self.start(name, "parties", "serve", "parties", "--as", name)

    def kill(self, name: str) -> None:
        process = self.processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(60)

    def pipeline(self, *words: object) -> Said:
        done = subprocess.run(
            [sys.executable, "-c", "from troth.app import main; main()", *map(str, words)],
            cwd=self.folder / "hospital",
            env=self.environment("hospital"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=400,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def train(self, *words: object) -> Said:
        base = ("run", "tabular", "--mode", "secret_shared", "--parties", "parties", "--schema", "people.yaml")
        return self.pipeline(*base, "--policy", "policy.yaml", *QUICK, *words)

    def printed(self, name: str) -> str:
        return (self.folder / name / "printed.txt").read_text()

    def parties(self, **changes) -> None:
        for name in ("hospital", "insurer", "dealer"):
            path = self.folder / name / "parties" / "parties.yaml"
            path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **changes}, sort_keys=False))


def wait_for(condition, what: str):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.2)
    raise AssertionError(f"no {what} within {PATIENCE} s")


@pytest.fixture(scope="module")
def prefect_server(tmp_path_factory):
    folder, [port] = tmp_path_factory.mktemp("prefect"), free_ports(1)
    environment = os.environ | {"PREFECT_HOME": str(folder), "PREFECT_SERVER_API_PORT": str(port)}
    environment.pop("PREFECT_API_URL", None)
    with open(folder / "log.txt", "wb") as log:
        command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)

    def answers() -> bool:
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=2).status == 200
        except OSError:
            return False

    wait_for(answers, "Prefect server")
    yield folder, f"http://127.0.0.1:{port}/api"
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(60)


@pytest.fixture(scope="module")
def people_apart(people, people_schema):
    """The joint table, and a schema that lists its categories."""
    schema = people_schema()
    schema["features"]["site"]["categories"] = ["north", "south"]
    return people(600), schema


@pytest.fixture(scope="module")
def world(tmp_path_factory, prefect_server, people_apart, empty_store):
    """Three machines that share a Prefect server and certificates of one authority, with both workers at work."""
    folder = tmp_path_factory.mktemp("world")
    table, schema = people_apart
    world = World(folder, prefect_server[1])
    ports = free_ports(2)
    hosts = [f"--host={name}=127.0.0.1:{port}" for name, port in zip(("insurer", "hospital"), ports, strict=True)]
    command = ["parties", "init", str(folder / "all"), "--owner", "insurer", "--owner", "hospital", *hosts]
    command += ["--analyst", "hospital", "--timeout", "10"]
    subprocess.run([sys.executable, "-c", "from troth.app import main; main()", *command], check=True)
    for name in ("hospital", "insurer", "dealer"):
        keys = folder / name / "parties"
        (folder / name / "home").mkdir(parents=True)
        keys.mkdir()
        for file in ("parties.yaml", "authority.pem", f"{name}.pem", f"{name}.key"):
            (keys / file).write_bytes((folder / "all" / file).read_bytes())
        (keys / f"{name}.key").chmod(0o600)
        own = {"name": name}
        if name != "dealer":
            own |= {"table": "../rows.csv", "schema_file": "../people.yaml", "store": "../store"}
            (folder / name / "people.yaml").write_text(yaml.safe_dump(schema, sort_keys=False))
        (keys / "owner.yaml").write_text(yaml.safe_dump(own))
    (folder / "hospital" / "home" / "mlflow.db").write_bytes(empty_store.read_bytes())
    (folder / "hospital" / "policy.yaml").write_text(yaml.safe_dump({"name": "test", "beats_constant": {}}))
    pyarrow.csv.write_csv(table.select(HOSPITAL), folder / "hospital" / "rows.csv")
    # The insurer knows persons the hospital does not, in another order, and a column the schema does not ask for.
    extra = pa.table({"id": [CANARY_NAME], "marker": [CANARY_NUMBER], "age": [77]})
    rows = pa.concat_tables([table.select(INSURER), extra]).take(np.random.default_rng(1).permutation(len(table) + 1))
    rows = rows.append_column("note", pa.array([CANARY_NOTE] * len(rows)))
    pyarrow.csv.write_csv(rows, folder / "insurer" / "rows.csv")
    for name in ("insurer", "dealer"):
        world.serve(name)
    for name in ("insurer", "dealer"):
        wait_for(lambda name=name: "Ctrl-C" in world.printed(name), f"worker of {name}")
    yield world
    for name in list(world.processes):
        world.kill(name)


def champion(home: Path, name: str):
    """A champion in a home, as whoever serves it loads it."""
    from tasks.loader import load

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TROTH_HOME", str(home))
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home}/mlflow.db")
        patch.setenv("MLFLOW_REGISTRY_URI", f"sqlite:///{home}/mlflow.db")
        return load(f"models:/{name}@champion")


@pytest.fixture
def insurer_rows(world):
    """The insurer's file, put back as it was after the test."""
    path = world.folder / "insurer" / "rows.csv"
    before = path.read_bytes()
    yield path
    path.write_bytes(before)


@pytest.fixture(scope="module")
def trained(world):
    said = world.train()
    assert said.code == 0, said.out + said.err + world.printed("insurer") + world.printed("dealer")
    return said


def test_the_model_is_the_one_of_owners_on_one_machine(trained, world, people_apart, people, tmp_path):
    table, schema = people_apart
    here = tmp_path
    pyarrow.csv.write_csv(table, here / "all.csv")
    (here / "one.yaml").write_text(yaml.safe_dump({**schema, "name": "one"}, sort_keys=False))
    plan = {"kind": "vertical", "columns": {"insurer": INSURER[1:], "hospital": HOSPITAL[1:]}}
    (here / "plan.yaml").write_text(yaml.safe_dump(plan))
    assert "PROMOTE" in trained.out
    environment = world.environment("hospital") | {"TROTH_HOME": str(here / "home")}
    command = ["run", "tabular", "--mode", "secret_shared", "--data", "all.csv", "--schema", "one.yaml"]
    command += ["--partition", "plan.yaml", "--policy", str(world.folder / "hospital" / "policy.yaml"), *QUICK]
    subprocess.run(
        [sys.executable, "-c", "from troth.app import main; main()", *command], cwd=here, env=environment, check=True
    )
    probe = people(200, seed=5).to_pandas()
    apart = champion(world.folder / "hospital" / "home", "people").predict(probe)
    together = champion(here / "home", "one").predict(probe)
    assert np.ptp(together) > 0.2
    np.testing.assert_allclose(apart, together, atol=1e-4)


def test_what_an_owner_has_is_nowhere_else(trained, world, prefect_server):
    spelt = [
        CANARY_NAME.encode(),
        CANARY_NOTE.encode(),
        str(CANARY_NUMBER).encode(),
        np.float64(CANARY_NUMBER).tobytes(),
    ]
    places = [prefect_server[0], world.folder / "hospital", world.folder / "dealer"]
    for path in (path for place in places for path in place.rglob("*") if path.is_file()):
        content = path.read_bytes()
        if path.suffix == ".parquet":
            content += repr(pq.read_table(path).to_pydict()).encode()
        assert not [one for one in spelt if one in content], path
    # The hospital's outcomes and doses are not at the insurer's either.
    dose = pyarrow.csv.read_csv(world.folder / "hospital" / "rows.csv")["dose"][0].as_py()
    for path in (world.folder / "insurer").rglob("*"):
        content = path.read_bytes() if path.is_file() else b""
        assert str(dose).encode() not in content, path
        assert np.float64(dose).tobytes() not in content, path
    assert any(CANARY_NAME.encode() in path.read_bytes() for path in (world.folder / "insurer").rglob("*.csv"))


def test_a_column_by_another_name(trained, world, insurer_rows):
    insurer_rows.write_bytes(insurer_rows.read_bytes().replace(b'"marker"', b'"markr"', 1))
    said = world.train()
    assert "'marker'" in said.complaint
    assert "insurer" in said.complaint


def test_a_column_that_does_not_fit_is_named_and_its_values_are_not(trained, world, insurer_rows):
    rows = pyarrow.csv.read_csv(insurer_rows)
    marker = rows["marker"].to_pylist()
    texts = pa.array(["secret-reading", *map(str, marker[1:])])
    pyarrow.csv.write_csv(rows.set_column(rows.column_names.index("marker"), "marker", texts), insurer_rows)
    said = world.train()
    assert "'marker'" in said.complaint
    assert "'insurer'" in said.complaint
    assert "secret-reading" not in said.out + said.err
    assert "secret-reading" in world.printed("insurer")


def test_a_worker_that_is_not_there(trained, world):
    world.kill("insurer")
    path = world.folder / "hospital" / "parties" / "parties.yaml"
    before = path.read_text()
    path.write_text(before.replace("gather: 600", "gather: 8"))
    try:
        said = world.train()
    finally:
        path.write_text(before)
        world.serve("insurer")
    assert "take-part/insurer" in said.complaint
    assert "troth parties serve DIR --as insurer" in said.complaint


def test_an_owner_that_is_killed_and_comes_back(trained, world):
    def shares() -> list[Path]:
        return list((world.folder / "insurer" / "store").glob("together/train-*/insurer/shares/round_*.npz"))

    before = len(shares())
    words = ("run", "tabular", "--mode", "secret_shared", "--parties", "parties", "--schema", "people.yaml")
    words += ("--policy", "policy.yaml", *QUICK, "--set", "rounds=12")
    (world.folder / "hospital" / "printed.txt").write_text("")
    pipeline = world.start("hospital", *words)
    wait_for(lambda: len(shares()) >= before + 2 or pipeline.poll() is not None, "two trees")
    assert pipeline.poll() is None, world.printed("hospital")
    world.kill("insurer")
    assert pipeline.wait(PATIENCE) == 2
    printed = world.printed("hospital")
    assert "error: party 'insurer'" in printed
    assert "Traceback" not in printed

    world.serve("insurer")
    kept = len(shares()) - before
    assert 2 <= kept < 12
    said = world.pipeline(*words)
    assert said.code == 0, said.out + said.err
    assert "continuing the unfinished run" in said.out
    assert len(shares()) == before + 12
