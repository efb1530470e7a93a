"""Machines that share a Prefect server and nothing else: a folder, a home, a table and a worker for each.

The pipeline runs at the hospital, on the same server, or on one of its own (`is_pipeline_apart`).
"""

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.settings import PREFECT_API_URL, temporary_settings

from tests.troth.conftest import Said, type_command, wait_for

PATIENCE = 400
ROOT = Path(__file__).resolve().parents[2]


def free_ports(count: int) -> list[int]:
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def ended(process: subprocess.Popen) -> None:
    """End a process and all it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(60)


@dataclass
class World:
    """Machines, each a folder; `pipeline` runs on the hospital's."""

    folder: Path
    prefect: str
    mode: str
    training: dict
    is_pipeline_apart: bool = False
    processes: dict[str, subprocess.Popen] = field(default_factory=dict)

    def environment(self, name: str) -> dict[str, str]:
        dropped = (
            "PREFECT_API_URL",
            "TROTH_HOME",
            "TROTH_OWNER",
            "PREFECT_HOME",
            "MLFLOW_TRACKING_URI",
            "MLFLOW_REGISTRY_URI",
        )
        kept = {key: value for key, value in os.environ.items() if key not in dropped}
        home = self.folder / name / "home"
        reached = {} if self.is_pipeline_apart and name == "hospital" else {"PREFECT_API_URL": self.prefect}
        return kept | reached | {"TROTH_HOME": str(home), "PREFECT_LOGGING_LEVEL": "INFO"}

    def troth(self, *words: object) -> list[str]:
        return [sys.executable, "-c", "from troth.app import main; main()", *map(str, words)]

    def start(self, name: str, command: list[str], **more: str) -> subprocess.Popen:
        with open(self.folder / name / "printed.txt", "ab") as printed:
            return subprocess.Popen(
                command,
                cwd=self.folder / name,
                env=self.environment(name) | more,
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def serve(self, name: str) -> None:
        self.processes[name] = self.start(name, self.troth("parties", "serve", "parties", "--as", name))

    def work(self, name: str) -> None:
        """Start the worker of a member's pool."""
        command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", f"owner-{name}", "--limit", "1"]
        more = {"TROTH_OWNER": str(self.folder / name / "parties"), "PREFECT_WORKER_QUERY_SECONDS": "1"}
        more |= {"PREFECT_HOME": str(self.folder / name / "worker"), "PREFECT_API_URL": self.prefect}
        more["PREFECT_WORKER_ENABLE_CANCELLATION"] = "true"
        self.processes[name] = self.start(name, command, **more)

    def deploy(self, pools: tuple[str, ...], deployments: tuple[str, ...]) -> None:
        """What the head of deploy/owners.yaml says to run once, for these members' pools and these deployments."""
        with temporary_settings({PREFECT_API_URL: self.prefect}), get_client(sync_client=True) as client:
            for name in pools:
                client.create_work_pool(WorkPoolCreate(name=f"owner-{name}", type="process"))
        named = [word for name in deployments for word in ("-n", name)]
        command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", *named]
        command += ["--prefect-file", str(ROOT / "deploy" / "owners.yaml")]
        environment = self.environment("hospital") | {"TROTH_ROOT": str(ROOT), "PREFECT_HOME": str(self.folder / "cli")}
        environment["PREFECT_API_URL"] = self.prefect
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def kill(self, name: str) -> None:
        ended(self.processes.pop(name))

    def words(self, **training: object) -> tuple:
        """`troth run tabular` with the owners apart."""
        base = ("run", "tabular", "--mode", self.mode, "--parties", "parties", "--schema", "people.yaml")
        options = [("--set", f"{name}={value}") for name, value in {**self.training, **training}.items()]
        return *base, "--policy", "policy.yaml", *(word for option in options for word in option)

    def train(self, *more: object, **training: object) -> Said:
        done = subprocess.run(
            self.troth(*self.words(**training), *more),
            cwd=self.folder / "hospital",
            env=self.environment("hospital"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=400,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def printed(self, name: str) -> str:
        return (self.folder / name / "printed.txt").read_text()

    def write(self, name: str, rows: pa.Table) -> None:
        pyarrow.csv.write_csv(rows, self.folder / name / "rows.csv")

    def found(self, name: str, pattern: str) -> list[Path]:
        """Files of a member's machine."""
        return sorted((self.folder / name).glob(pattern))

    def hand_out(self, owners: tuple[str, ...], others: tuple[str, ...], schema: dict, *options: str) -> None:
        """Certificates of one authority, an owner.yaml for every member, and a policy for the pipeline."""
        listening = (*owners, *(name for name in others if name != "dealer"))
        ports = dict(zip(listening, free_ports(len(listening)), strict=True))
        hosts = [f"--host={name}=127.0.0.1:{port}" for name, port in ports.items()]
        words = [word for name in owners for word in ("--owner", name)]
        more = ("--analyst", "hospital", "--timeout", "10", *options)
        said = type_command("parties", "init", self.folder / "all", *words, *hosts, *more)
        assert said.code == 0, said.err
        for name in (*owners, *others):
            keys = self.folder / name / "parties"
            (self.folder / name / "home").mkdir(parents=True)
            keys.mkdir()
            for file in ("parties.yaml", "authority.pem", f"{name}.pem", f"{name}.key"):
                (keys / file).write_bytes((self.folder / "all" / file).read_bytes())
            (keys / f"{name}.key").chmod(0o600)
            own = {"name": name}
            if name in owners:
                own |= {"table": "../rows.csv", "schema_file": "../people.yaml", "store": "../store"}
                (self.folder / name / "people.yaml").write_text(yaml.safe_dump(schema, sort_keys=False))
            if self.is_pipeline_apart:
                own["prefect"] = self.prefect
            (keys / "owner.yaml").write_text(yaml.safe_dump(own))
        judged_by = {"name": "test", "beats_constant": {}, "flip_budget": {"nfr": 0.5}}
        (self.folder / "hospital" / "policy.yaml").write_text(yaml.safe_dump(judged_by))


@contextmanager
def prefect_server(folder: Path):
    """The address of a Prefect server while it runs."""
    [port] = free_ports(1)
    environment = os.environ | {"PREFECT_HOME": str(folder), "PREFECT_SERVER_API_PORT": str(port)}
    # SQLite makes writers wait for one another, for long where everything runs on two cores.
    environment["PREFECT_SERVER_DATABASE_TIMEOUT"] = "60"
    environment.pop("PREFECT_API_URL", None)
    with open(folder / "log.txt", "wb") as log:
        command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)

    def answers() -> bool:
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=2).status == 200
        except OSError:
            return False

    wait_for(answers, "Prefect server", patience=PATIENCE)
    try:
        yield f"http://127.0.0.1:{port}/api"
    finally:
        ended(process)


def champion(home: Path, name: str):
    """A champion in a home, as whoever serves it loads it."""
    from tasks.loader import load

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TROTH_HOME", str(home))
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home}/mlflow.db")
        patch.setenv("MLFLOW_REGISTRY_URI", f"sqlite:///{home}/mlflow.db")
        return load(f"models:/{name}@champion")
