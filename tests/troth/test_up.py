"""`troth up` for real: both servers answer, the deployments are there, and Ctrl-C leaves nothing behind."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest
import yaml

pytestmark = pytest.mark.slow

PATIENCE = 240  # seconds; a cold start migrates two databases
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def free_ports(count: int) -> list[int]:
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def environment_of(folder, ports) -> dict:
    """A home and a settings file of the test's own."""
    server = {"host": "127.0.0.1", "prefect_port": ports[0], "mlflow_port": ports[1]}
    config = folder / "mlflow.yaml"
    config.write_text(yaml.safe_dump({"home": str(folder / "home"), "server": server}))
    dropped = ("TROTH_HOME", "PREFECT_HOME", "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "PREFECT_API_URL")
    return {name: value for name, value in os.environ.items() if name not in dropped} | {"TROTH_CONFIG": str(config)}


def start(environment) -> subprocess.Popen:
    command = [sys.executable, "-c", "from troth.app import main; main()", "up"]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def read(address: str, body: dict | None = None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data=data, headers={"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


def children_of(home) -> list[str]:
    """Command lines of living processes that belong to this home."""
    found = []
    for process in os.listdir("/proc"):
        if process.isdigit():
            try:
                with open(f"/proc/{process}/environ", "rb") as file:
                    mine = str(home).encode() in file.read()
                if mine and int(process) != os.getpid():
                    with open(f"/proc/{process}/cmdline", "rb") as file:
                        found.append(file.read().replace(b"\0", b" ").decode())
            except OSError:
                continue
    return [line for line in found if "prefect" in line or "mlflow" in line]


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    folder = tmp_path_factory.mktemp("up")
    ports = free_ports(2)
    environment = environment_of(folder, ports)
    process = start(environment)
    deadline = time.monotonic() + PATIENCE
    lines = []
    while time.monotonic() < deadline:
        line = process.stdout.readline()
        lines.append(line)
        if not line or "Ctrl-C" in line:
            break
    assert process.poll() is None, "".join(lines)
    yield process, ports, folder, "".join(lines)
    if process.poll() is None:
        process.kill()


def test_both_addresses_are_printed_and_answer(running):
    _, (prefect, mlflow), _, printed = running
    assert f"http://127.0.0.1:{prefect}" in printed
    assert f"http://127.0.0.1:{mlflow}" in printed
    assert read(f"http://127.0.0.1:{prefect}/api/health") is True
    assert urllib.request.urlopen(f"http://127.0.0.1:{mlflow}/health", timeout=10).status == 200


def test_the_scheduled_deployments_are_served(running):
    _, (prefect, _), _, _ = running
    deployments = {one["name"]: one for one in read(f"http://127.0.0.1:{prefect}/api/deployments/filter", {})}
    assert set(deployments) == {"weekly", "nightly", "life"}
    crons = {name: [one["schedule"]["cron"] for one in made["schedules"]] for name, made in deployments.items()}
    assert crons == {"weekly": ["0 3 * * 0"], "nightly": ["0 2 * * *"], "life": []}
    limits = read(f"http://127.0.0.1:{prefect}/api/v2/concurrency_limits/filter", {})
    assert {one["name"]: one["limit"] for one in limits}["troth-promotion"] == 1


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_a_browser_shows_the_deployments(running, tmp_path):
    _, (prefect, _), _, _ = running
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--dump-dom"]
    page = subprocess.run(
        [
            CHROMIUM,
            *flags,
            f"--user-data-dir={tmp_path}",
            "--virtual-time-budget=20000",
            f"http://127.0.0.1:{prefect}/deployments",
        ],
        capture_output=True,
        text=True,
        timeout=120,
    ).stdout
    assert "weekly" in page
    assert "nightly" in page


def test_a_second_one_on_the_same_ports_is_refused(running):
    _, ports, folder, _ = running
    done = subprocess.run(
        [sys.executable, "-c", "from troth.app import main; main()", "up"],
        env=environment_of(folder, ports),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 2
    assert str(ports[0]) in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_ctrl_c_ends_everything(running):
    process, ports, folder, _ = running
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    assert children_of(folder / "home") == []
    assert not (folder / "home" / "up.json").exists()
    for port in ports:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
