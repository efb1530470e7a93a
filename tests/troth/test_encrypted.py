"""From the health records to an encrypted prediction, on three machines, of which the server's may read nothing."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from components.data.rand_hie import load_rand_hie
from components.encryption.enrolment import Enrolled, Enrolment
from components.encryption.user import read_grant
from components.errors import InvalidInput
from tests.troth.conftest import QUICK, start_process, type_command
from tests.troth.memory import met_in, secrets_of
from tests.troth.test_up import CHROMIUM, NO_BROWSER, a_page, free_ports, wait_for

pytestmark = pytest.mark.slow

MODEL = "rand_hie"


@dataclass
class World:
    """The proxy's machine, the server's, and the users'; encrypted models lie in a store that the first two share."""

    folder: Path
    port: int

    @property
    def proxy(self) -> Path:
        return self.folder / "proxy"

    @property
    def server(self) -> Path:
        return self.folder / "server"

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def config(self, machine: Path) -> dict[str, str]:
        """The environment of a machine."""
        machine.mkdir(exist_ok=True)
        file, shared = machine / "mlflow.yaml", self.folder / "registry"
        publishing = {"uri": f"sqlite:///{shared}/mlflow.db", "artifacts": f"{shared}/artifacts"}
        serving = {"port": self.port, "poll_seconds": 0.3}
        file.write_text(yaml.safe_dump({"home": str(machine / "home"), "publishing": publishing, "serving": serving}))
        return {"TROTH_CONFIG": str(file)}

    def say(self, *words: object, code: int = 0) -> str:
        """A command on the proxy's machine; what it says, or what is wrong where it is to end with another code."""
        with pytest.MonkeyPatch.context() as patch:
            for name in ("TROTH_HOME", "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
                patch.delenv(name, raising=False)
            for name, value in self.config(self.proxy).items():
                patch.setenv(name, value)
            patch.chdir(self.folder)
            said = type_command(*words)
            for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
                patch.delenv(name, raising=False)
        assert said.code == code, said.out + said.err
        return said.err if code else said.out

    def enrolled(self, name: str) -> Enrolled:
        return Enrolment(self.proxy / "home/proxy/users.json").find(name)

    def ask(self, name: str, rows: Path, *words: object):
        """`troth predict --encrypted` on a user's machine."""
        options = ("--encrypted", "--keys", self.folder / name, "--server", self.address, "--data", rows, *words)
        return type_command("predict", MODEL, *options)

    def environment(self, machine: Path) -> dict[str, str]:
        """What a process of a machine is started with, and nothing of this one's homes and stores."""
        others = ("TROTH_", "MLFLOW_TRACKING", "MLFLOW_REGISTRY", "PREFECT_HOME")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
        return kept | self.config(machine)

    def train(self, policy: Path) -> None:
        """The flow, in a process that takes its Prefect server with it."""
        command = [
            sys.executable,
            "-c",
            "from troth.app import main; main()",
            "run",
            "tabular",
            "--policy",
            str(policy),
        ]
        done = subprocess.run([*command, *QUICK], env=self.environment(self.proxy), capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    def serve(self) -> subprocess.Popen:
        environment = self.environment(self.server)
        log = (self.folder / "server.log").open("wb")
        command = [sys.executable, "-c", "from troth.app import main; main()", "serve"]
        process = subprocess.Popen(command, env=environment, cwd=self.server, stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_for(lambda: process.poll() is not None or answers(f"{self.address}/v2/health/ready"))
            assert process.poll() is None, (self.folder / "server.log").read_text()
        except AssertionError:
            process.terminate()
            raise
        return process


def answers(address: str) -> bool:
    try:
        return urllib.request.urlopen(address, timeout=5).status == 200
    except OSError:
        return False


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return load_rand_hie((1,)).columns.slice(0, 300).to_pandas()


@pytest.fixture(scope="module")
def world(tmp_path_factory, rows) -> World:
    """Two users with keys, a champion that the flow published for both, and a server that the proxy is away from."""
    made = World(tmp_path_factory.mktemp("world"), free_ports(1)[0])
    for name in ("ada", "bob"):
        made.say("keys", "new", name)
        made.say("keys", "issue", name, "--card", f"{name}/user.card", "--out", f"{name}/user.grant")
    policy = made.folder / "policy.yaml"
    publish = {"users": ["ada", "bob"], "bits": 2048}
    policy.write_text(yaml.safe_dump({"name": "published", "beats_constant": {}, "publish": publish}))
    made.train(policy)
    rows.to_csv(made.folder / "rows.csv", index=False)
    made.say("predict", MODEL, "--data", "rows.csv", "--out", "plain.csv")
    return made


@pytest.fixture(scope="module")
def plain(world) -> np.ndarray:
    return pd.read_csv(world.folder / "plain.csv").score.to_numpy()


@pytest.fixture(scope="module")
def server(world, plain):
    """The server, started while the proxy's machine is out of reach."""
    away = world.folder / "away"
    world.proxy.rename(away)
    process = world.serve()
    yield process
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def workers_of(process: subprocess.Popen) -> list[int]:
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return [int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_an_encrypted_prediction_is_the_plain_one(world, server, plain):
    for name in ("ada", "bob"):
        said = world.ask(name, world.folder / "rows.csv", "--out", world.folder / f"{name}.csv")
        assert said.code == 0, said.err
        scores = pd.read_csv(world.folder / f"{name}.csv")
        np.testing.assert_allclose(scores.score, plain, atol=1e-5)
        assert list(scores.columns) == ["person", "year", "score"]


def test_categories_that_the_model_does_not_know_are_told(world, server, rows, tmp_path):
    rows.head(5).assign(site="Atlantis").to_csv(tmp_path / "rows.csv", index=False)
    said = world.ask("ada", tmp_path / "rows.csv")
    assert said.code == 0, said.err
    assert "'site': 5 of 5" in said.err
    assert "Atlantis" in said.err


def test_the_servers_machine_holds_no_key_and_no_plain_model(world, server, plain):
    assert not world.proxy.exists()
    secrets = secrets_of(world, model=MODEL)
    files = [path for place in (world.server, world.folder / "registry") for path in place.rglob("*") if path.is_file()]
    assert any(path.name == "encrypted.npz" for path in files)
    files.append(world.folder / "server.log")
    for path in files:
        content = path.read_bytes()
        assert not [name for name, secret in secrets.items() if secret in content], path
        assert b"PRIVATE KEY" not in content, path


def test_the_servers_memory_holds_none_either(world, server, plain):
    secrets = secrets_of(world, model=MODEL)
    entry = json.loads((world.server / "home/serving/shelf/index.json").read_text())[0]
    workers = workers_of(server)
    found = {pid: met_in(pid, secrets | {"shown": entry["fingerprint"].encode()}) for pid in (server.pid, *workers)}
    assert len(workers) == 2
    # The first process reads the registry; a worker that nobody asked has read nothing yet.
    assert "shown" in found[server.pid]
    assert any("shown" in found[pid] for pid in workers)
    assert set().union(*found.values()) == {"shown"}


HOLDER = """
import signal, sys
held = [bytes.fromhex(line) for line in map(str.strip, sys.stdin) if line]
print("held", flush=True)
signal.pause()
"""


def test_a_memory_that_holds_secrets_would_be_found_out(world, server):
    """Every one of them, planted in a process of its own, which reads as hexadecimal what it holds as octets."""
    secrets = secrets_of(world, model=MODEL)
    with subprocess.Popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        try:
            child.stdin.write(b"\n".join(secret.hex().encode() for secret in secrets.values()) + b"\n")
            child.stdin.close()
            assert child.stdout.readline() == b"held\n"
            assert met_in(child.pid, secrets) == set(secrets)
        finally:
            child.kill()


def test_keys_that_are_rotated_and_revoked_while_the_server_runs(world, server, plain):
    (world.folder / "away").rename(world.proxy)
    try:
        assert "epoch 2" in world.say("keys", "rotate", "ada")
        said = wait_for(lambda: after_rotation(world))
        np.testing.assert_allclose(pd.read_csv(world.folder / "ada.csv").score, plain, atol=1e-5)
        assert said.code == 0
        world.say("keys", "revoke", "bob")
        refused = wait_for(lambda: refusal(world, "bob"))
        assert "revoked" in refused
        shown = world.say("keys", "list")
        assert "revoked" in shown
        assert "revoked" in world.say("status")
    finally:
        world.proxy.rename(world.folder / "away")


def after_rotation(world):
    entry = json.loads((world.server / "home/serving/shelf/index.json").read_text())[0]
    return entry["epoch"] == 2 and world.ask("ada", world.folder / "rows.csv", "--out", world.folder / "ada.csv")


def refusal(world, name: str) -> str:
    """What a refused client reads last; the terms it asked in may stand before, if the word came in between."""
    said = world.ask(name, world.folder / "rows.csv")
    return said.err.strip().splitlines()[-1] if said.code == 2 else ""


@pytest.mark.skipif(CHROMIUM is None, reason=NO_BROWSER)
def test_one_patients_values_are_typed_into_a_page_and_leave_it_encrypted(world, server, rows, plain, tmp_path):
    port = free_ports(1)[0]
    words = ["page", MODEL, "--keys", str(world.folder / "ada"), "--server", world.address, "--port", str(port)]
    process = subprocess.Popen(
        [sys.executable, "-c", "from troth.app import main; main()", *words], stdout=subprocess.PIPE, text=True
    )
    try:
        address = process.stdout.readline().split()[1]
        wait_for(lambda: is_listening(port))
        patient = rows.iloc[7]
        with a_page(tmp_path / "browser", address) as page:
            wait_for(lambda: page.evaluate("document.querySelector('form') !== null"))
            for name, value in patient.items():
                if pd.notna(value):
                    page.evaluate(f"(document.getElementById('{name}') || {{}}).value = '{value}'")
            page.click("button", "Encrypt")
            shown = wait_for(lambda: page.evaluate("(document.getElementById('outcome') || {}).innerText"))
            kept = page.evaluate("document.getElementById('age').value")
            page.click("summary")
            sent = page.evaluate("document.querySelector('code').innerText")
        assert shown == f"{100 * plain[7]:.1f} %"
        assert float(kept) == patient["age"]
        assert len(bytes.fromhex(sent)) == 96
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    with pytest.raises(urllib.error.HTTPError if is_listening(port) else OSError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5)


def is_listening(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_log_tells_of_requests_and_no_secret(world, server):
    lines = [json.loads(line) for line in (world.folder / "server.log").read_text().splitlines() if line[0] == "{"]
    told = {(line.get("route"), line.get("status")) for line in lines}
    assert {("infer", 200), ("bundle", 200)} <= told
    assert not [line for line in lines if line["event"] == "fault"]


def test_ctrl_c_ends_the_server(world, server):
    workers = workers_of(server)
    server.send_signal(signal.SIGINT)
    assert server.wait(60) == 0
    deadline = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def fail_to_make(*_):
    raise InvalidInput("tokens lie on a line")


def test_a_stolen_master_secret_is_replaced_in_one_command(world):
    (world.folder / "away").rename(world.proxy)
    try:
        before, master = read_grant(world.folder / "ada", "ada").proxy, world.proxy / "home/proxy/master.key"
        stolen, enrolled = master.read_bytes(), world.enrolled("ada")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tasks.publications._make", fail_to_make)
            said = world.say("keys", "renew-master", "--out", "grants", code=2)
        assert f"{MODEL} for ada" in said
        renewed = master.read_bytes()
        assert renewed != stolen
        said = world.say("keys", "renew-master", "--out", "grants")
        assert "rand_hie-for-ada is live now (epoch 3)" in said
        # Bob was revoked.
        assert "bob" not in said
        assert master.read_bytes() == renewed
        assert world.enrolled("ada").expires == enrolled.expires
        world.say("keys", "renew-master", "--out", "again")
        assert master.read_bytes() != renewed
        (world.folder / "again/ada.grant").replace(world.folder / "grants/ada.grant")
        (world.folder / "grants/ada.grant").rename(world.folder / "ada/user.grant")
        assert read_grant(world.folder / "ada", "ada").proxy != before
    finally:
        world.proxy.rename(world.folder / "away")


def test_a_users_folder_is_the_users_alone(tmp_path):
    assert type_command("keys", "new", "ada", "--folder", tmp_path / "keys" / "ada").code == 0
    assert (tmp_path / "keys" / "ada").stat().st_mode & 0o777 == 0o700
    (tmp_path / "bob").write_text("a file")
    assert "bob is no folder" in type_command("keys", "new", "bob", "--folder", tmp_path / "bob").complaint


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("serve", "--host", "0.0.0.0"), "tls"),
        (("serve", "--tls-certificate", "missing.pem"), "tls-key"),
        (("predict", MODEL, "--encrypted", "--data", "rows.csv"), "--keys"),
        (("predict", MODEL, "--data", "rows.csv", "--keys", "ada"), "--encrypted"),
        (("keys", "issue", "ada", "--card", "missing.card"), "missing.card"),
        (("keys", "issue", "ada", "--card", "missing.card", "--days", "1e9"), "36500"),
        (("keys", "rotate", "carol"), "carol"),
        (("publish", MODEL, "--user", "carol"), "carol"),
        (("publish", MODEL, "--user", "carol", "--mode", "open"), "mode"),
        (("page", MODEL, "--keys", "nowhere"), "nowhere"),
    ],
)
def test_mistakes_end_in_one_sentence(tmp_path, words, named):
    said = start_process(*words, TROTH_HOME=str(tmp_path / "home"))
    assert named in said.complaint
