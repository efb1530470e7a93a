"""`troth up` for real: servers answer, deployments are there, a HOLD is answered by clicking, Ctrl-C ends it all."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from functools import partial

import pyarrow.csv
import pytest
import yaml
from websockets.sync.client import connect

pytestmark = pytest.mark.slow

PATIENCE = 240  # seconds; a cold start migrates two databases
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NO_BROWSER = "not tried in a browser: neither 'chromium' nor 'chromium-browser' is on the PATH"


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


def start(environment, *words: object) -> subprocess.Popen:
    command = [sys.executable, "-c", "from troth.app import main; main()", *map(str, words)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    # Whoever runs tests in a shell's background ignores Ctrl-C, and so would all they start.
    heeds = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    return subprocess.Popen(command, env=environment, text=True, preexec_fn=heeds, **pipes)


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
    process = start(environment, "up")
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
        process.send_signal(signal.SIGINT)
        process.wait(60)


def test_both_addresses_are_printed_and_answer(running):
    _, (prefect, mlflow), _, printed = running
    assert f"http://127.0.0.1:{prefect}" in printed
    assert f"http://127.0.0.1:{mlflow}" in printed
    assert read(f"http://127.0.0.1:{prefect}/api/health") is True
    assert urllib.request.urlopen(f"http://127.0.0.1:{mlflow}/health", timeout=10).status == 200


def test_the_scheduled_deployments_are_served(running):
    _, (prefect, _), _, _ = running
    deployments = {one["name"]: one for one in read(f"http://127.0.0.1:{prefect}/api/deployments/filter", {})}
    assert set(deployments) == {"weekly", "nightly", "private", "life"}
    crons = {name: [one["schedule"]["cron"] for one in made["schedules"]] for name, made in deployments.items()}
    assert crons == {"weekly": ["0 3 * * 0"], "nightly": ["0 2 * * *"], "private": [], "life": []}
    limits = read(f"http://127.0.0.1:{prefect}/api/v2/concurrency_limits/filter", {})
    assert {one["name"]: one["limit"] for one in limits}["troth-promotion"] == 1


@pytest.mark.skipif(CHROMIUM is None, reason=NO_BROWSER)
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


@pytest.mark.skipif(CHROMIUM is None, reason=NO_BROWSER)
def test_a_hold_is_answered_by_clicking(running, tmp_path, people, people_schema):
    _, ports, folder, _ = running
    environment = environment_of(folder, ports)
    schema = tmp_path / "people.yaml"
    schema.write_text(yaml.safe_dump(people_schema(), sort_keys=False))

    def run(seed: int, *words: str, **policy) -> subprocess.Popen:
        table, rules = tmp_path / f"{seed}.csv", tmp_path / f"{seed}.yaml"
        pyarrow.csv.write_csv(people(600, seed=seed), table)
        rules.write_text(yaml.safe_dump({"name": "test", "beats_constant": {}, **policy}))
        options = ("--data", table, "--schema", schema, "--policy", rules, "--set", "rounds=10", *words)
        return start(environment, "run", "tabular", *options)

    first = run(1)
    said = first.communicate(timeout=PATIENCE)[0]
    assert first.returncode == 0, said
    assert "do not exist" not in said  # the limit on promotions
    asking = run(2, "--ask", minimum_rows=100_000)
    paused = wait_for(lambda: paused_run(ports[0]) or asking.poll() is not None and asking.communicate())
    with a_page(tmp_path / "browser", f"http://127.0.0.1:{ports[0]}/runs/flow-run/{paused}") as page:
        page.click("button", "Resume")
        page.click("[role=dialog] .p-toggle__control")
        page.write("[role=dialog] textarea", 0, "Ann")
        page.write("[role=dialog] textarea", 1, "the ward agrees")
        assert "version 2 of people" in page.evaluate("document.querySelector('[role=dialog]').innerText")
        page.click("[role=dialog] button", "Submit")
        said = asking.communicate(timeout=PATIENCE)[0]
    assert asking.returncode == 0, said
    assert "champion by a person's word, after v1" in said
    shown = start(environment, "ledger", "show", "people", "--last", 2).communicate(timeout=PATIENCE)[0]
    assert "override" in shown
    assert shown.count("Ann") == shown.count("the ward agrees") == 2


def paused_run(port: int) -> str | None:
    paused = {"flow_runs": {"state": {"type": {"any_": ["PAUSED"]}}}}
    found = read(f"http://127.0.0.1:{port}/api/flow_runs/filter", paused)
    return found[0]["id"] if found else None


def wait_for(look):
    """What `look` returns, once it is something."""
    deadline = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.3)
    return found


class Page:
    """A page of a browser, driven over the DevTools protocol."""

    def __init__(self, socket) -> None:
        self.socket, self.sent = socket, 0

    def call(self, method: str, **parameters) -> dict:
        self.sent += 1
        self.socket.send(json.dumps({"id": self.sent, "method": method, "params": parameters}))
        while (answer := json.loads(self.socket.recv(timeout=60))).get("id") != self.sent:
            pass
        return answer["result"]

    def evaluate(self, expression: str):
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def click(self, selector: str, text: str = "") -> None:
        found = f"[...document.querySelectorAll('{selector}')].find(one => one.innerText.trim().startsWith('{text}'))"
        wait_for(lambda: self.evaluate(f"{found} ? ({found}.click(), true) : false"))

    def write(self, selector: str, number: int, text: str) -> None:
        wait_for(lambda: self.evaluate(f"document.querySelectorAll('{selector}')[{number}] !== undefined"))
        self.evaluate(f"document.querySelectorAll('{selector}')[{number}].focus()")
        self.call("Input.insertText", text=text)


@contextmanager
def a_page(profile, address: str):
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--remote-debugging-port=0",
    ]
    browser = subprocess.Popen(
        [CHROMIUM, *flags, f"--user-data-dir={profile}", address], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for((profile / "DevToolsActivePort").exists)
        port = wait_for((profile / "DevToolsActivePort").read_text().split)[0]
        pages = wait_for(lambda: [one for one in read(f"http://127.0.0.1:{port}/json") if one["type"] == "page"])
        with connect(pages[0]["webSocketDebuggerUrl"], max_size=None) as socket:
            yield Page(socket)
    finally:
        browser.terminate()
        browser.wait(60)


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
