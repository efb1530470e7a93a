"""The command line as a person meets it: what is typed, what is printed, the exit code, and what became of the stores.

Commands run in this process, which spares each of them seconds of imports; a few run as processes of their own.
"""

import io
import os
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pytest
import yaml

QUICK = ("--set", "rounds=10", "--set", "max_depth=2", "--set", "threads=1")


@dataclass(frozen=True)
class Said:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one sentence of a command that was refused; anything else on the way out is a failure."""
        assert self.code == 2, f"exit code {self.code}\n{self.out}\n{self.err}"
        lines = self.err.strip().splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: "), self.err
        assert "Traceback" not in self.out + self.err
        return lines[0]


def type_command(*words: object) -> Said:
    """Run `troth WORDS…` in this process."""
    from troth.app import main

    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["troth", *map(str, words)])
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
    return Said(code, out.getvalue(), err.getvalue())


def start_process(*words: object, preexec=None, **environment: str) -> Said:
    """Run `troth WORDS…` as a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", "from troth.app import main; main()", *map(str, words)],
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        preexec_fn=preexec,
        timeout=300,
    )
    return Said(done.returncode, done.stdout, done.stderr)


def wait_for(condition, what: str, *, patience: float = 120):
    """What `condition` returns as soon as it is true of something."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError(f"no {what} within {patience} s")


@pytest.fixture
def troth():
    """A function that runs a command in this process and returns how it ended."""
    return type_command


@pytest.fixture
def process():
    """A function that runs a command as a process of its own and returns how it ended."""
    return start_process


@pytest.fixture
def prefect_server(_served) -> str:
    """The address of the embedded server that this process started for its first run."""
    from prefect.server.api.server import SubprocessASGIServer

    return SubprocessASGIServer().api_url


@pytest.fixture
def quick() -> tuple[str, ...]:
    """Options that make training take no time."""
    return QUICK


@pytest.fixture
def files(tmp_path, people, people_schema):
    """A function that writes a table and its schema, and returns the options that name them."""

    def write(
        columns: pa.Table | None = None, *, name: str = "people", schema: dict | None = None, **options
    ) -> tuple[str, ...]:
        path, described = tmp_path / f"{name}.csv", tmp_path / f"{name}.yaml"
        pyarrow.csv.write_csv(people(**options) if columns is None else columns, path)
        described.write_text(yaml.safe_dump(schema or people_schema(), sort_keys=False))
        return "--data", str(path), "--schema", str(described)

    return write


@dataclass(frozen=True)
class Standing:
    """All that a refused run must leave alone: versions, aliases, and the ledger's bytes."""

    versions: tuple[str, ...]
    aliases: dict[str, str]
    ledger: bytes


class Registry:
    """A registry in which version 1 of `people` is champion."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def client(self):
        from tasks.settings import load_settings
        from tasks.tracking import client_of

        return client_of(load_settings())

    def standing(self) -> Standing:
        client = self.client()
        versions = client.search_model_versions("name = 'people'")
        aliases = client.get_registered_model("people").aliases if versions else {}
        ledger = self.home / "ledger" / "people.jsonl"
        return Standing(
            tuple(sorted(str(version.version) for version in versions)),
            {alias: str(version) for alias, version in aliases.items()},
            ledger.read_bytes() if ledger.exists() else b"",
        )

    def champion(self):
        """The champion, as whoever serves it loads it."""
        from tasks.loader import load

        return load("models:/people@champion")


def _use(home: Path, patch: pytest.MonkeyPatch) -> None:
    store = f"sqlite:///{home}/mlflow.db"
    patch.setenv("TROTH_HOME", str(home))
    patch.setenv("MLFLOW_TRACKING_URI", store)
    patch.setenv("MLFLOW_REGISTRY_URI", store)


@pytest.fixture(scope="session")
def grow(empty_store, people, people_schema):
    """A function that runs `tabular` once for each policy, on other people each time, in a new home inside a folder."""

    def run(folder: Path, *policies: dict) -> Path:
        home = folder / "home"
        home.mkdir()
        (home / "mlflow.db").write_bytes(empty_store.read_bytes())
        table, schema, policy = folder / "people.csv", folder / "people.yaml", folder / "policy.yaml"
        schema.write_text(yaml.safe_dump(people_schema(), sort_keys=False))
        with pytest.MonkeyPatch.context() as patch:
            _use(home, patch)
            for seed, document in enumerate(policies):
                pyarrow.csv.write_csv(people(600, seed=seed), table)
                policy.write_text(yaml.safe_dump({"name": "test", "beats_constant": {}, **document}))
                said = type_command("run", "tabular", "--data", table, "--schema", schema, "--policy", policy, *QUICK)
                assert said.code == 0, said.out + said.err
        return home

    return run


@pytest.fixture(scope="session")
def _served(tmp_path_factory, grow) -> Path:
    return grow(tmp_path_factory.mktemp("served"), {})


@pytest.fixture(scope="session")
def _lived(tmp_path_factory, grow) -> Path:
    return grow(tmp_path_factory.mktemp("lived"), {}, {"minimum_rows": 100_000})


@pytest.fixture
def use(monkeypatch, tmp_path):
    """A function that makes a home the one that commands use, and returns its registry."""

    def start(home: Path) -> Registry:
        _use(home, monkeypatch)
        monkeypatch.chdir(tmp_path)
        return Registry(home)

    return start


@pytest.fixture
def served(_served, use):
    """A registry with a champion, shared by the tests whose commands are all refused and so change nothing."""
    registry, ledger = use(_served), _served / "ledger" / "people.jsonl"
    before = ledger.read_bytes()
    yield registry
    assert ledger.read_bytes() == before, "a test changed what others share"


@pytest.fixture
def lived(_lived, use) -> Registry:
    """A registry with a champion and version 2 on hold as its challenger; who changes something puts it back."""
    return use(_lived)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The folder and the address of a Prefect server that machines share."""
    from tests.troth.machines import prefect_server

    folder = tmp_path_factory.mktemp("prefect")
    with prefect_server(folder) as address:
        yield folder, address


@pytest.fixture(scope="module")
def schema(people_schema) -> dict:
    """The people's schema with its categories listed, as owners apart need it."""
    document = people_schema()
    document["features"]["site"]["categories"] = ["north", "south"]
    return document
