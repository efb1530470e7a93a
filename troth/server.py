"""`troth up`: Prefect's server, MLflow's server and a worker on this machine, as one thing that starts and stops.

Each is a process of its own in a group of its own, so that ending it ends what it started too. Everything listens on
loopback unless `mlflow.yaml` says otherwise. If one of them ends by itself, the rest is stopped and its log is named.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Annotated

import typer

from troth.terminal import console

ROOT = Path(__file__).resolve().parent.parent
POOL, LIMIT = "troth", "troth-promotion"
_START_SECONDS, _STOP_SECONDS = 180, 20


def up(
    worker: Annotated[bool, typer.Option(help="Also serve the scheduled deployments of deploy/prefect.yaml.")] = True,
) -> None:
    """Start Prefect and MLflow on this machine and serve the scheduled runs; Ctrl-C ends it all.

    **Examples**

    `troth up` — servers, deployments and a worker

    `troth up --no-worker` — only the two servers, to look at past runs
    """
    from tasks.environment import prepare_environment, running_file
    from tasks.settings import load_settings

    settings = load_settings()
    prepare_environment(settings)
    server = settings.server
    for port, key in ((server.prefect_port, "prefect_port"), (server.mlflow_port, "mlflow_port")):
        _require_free(server.host, port, key)
    prefect_api = f"http://{server.host}:{server.prefect_port}/api"
    mlflow_url = f"http://{server.host}:{server.mlflow_port}"
    environment = os.environ | {
        "PREFECT_API_URL": prefect_api,
        "PREFECT_SERVER_API_HOST": server.host,
        # The UI asks this port; --port alone leaves it asking 4200.
        "PREFECT_SERVER_API_PORT": str(server.prefect_port),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "TROTH_ROOT": str(ROOT),
        "TROTH_CONFIG": os.environ.get("TROTH_CONFIG") or str(ROOT / "mlflow.yaml"),
        "TROTH_HOME": settings.home,
    }
    logs = settings.root / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, _as_interrupt)
    with ExitStack() as stack:
        children: dict[str, subprocess.Popen] = {}
        stack.callback(_stop, children)

        def start(name: str, *command: str) -> None:
            log = stack.enter_context(open(logs / f"{name}.log", "ab"))
            children[name] = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

        if not console.is_terminal:
            console.print("starting Prefect and MLflow …")
        try:
            with console.status("starting Prefect and MLflow …"):
                start(
                    "prefect", "prefect", "server", "start", "--host", server.host, "--port", str(server.prefect_port)
                )
                start(
                    "mlflow",
                    "mlflow",
                    "server",
                    "--host",
                    server.host,
                    "--port",
                    str(server.mlflow_port),
                    "--workers",
                    "1",
                    "--backend-store-uri",
                    settings.tracking_uri,
                    "--registry-store-uri",
                    settings.registry_uri,
                    "--artifacts-destination",
                    settings.tracking.artifacts,
                )
                _wait_until_up(f"{prefect_api}/health", "prefect", children, logs)
                _wait_until_up(f"{mlflow_url}/health", "mlflow", children, logs)
                _make_limit(prefect_api)
            running_file(settings).write_text(json.dumps({"prefect_api": prefect_api, "mlflow": mlflow_url}))
            stack.callback(running_file(settings).unlink, missing_ok=True)
            if worker:
                with console.status("serving the deployments of deploy/prefect.yaml …"):
                    _deploy(environment)
                    start("worker", "prefect", "worker", "start", "--pool", POOL, "--limit", "2")
            console.print(f"Prefect  [link]http://{server.host}:{server.prefect_port}[/link]")
            console.print(f"MLflow   [link]{mlflow_url}[/link]")
            console.print("Ctrl-C ends all of it.", style="dim")
            _watch(children, logs)
        except KeyboardInterrupt:
            console.print("stopping …", style="dim")


def _require_free(host: str, port: int, key: str) -> None:
    from components.errors import InvalidInput

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            raise InvalidInput(
                f"port {port} on {host} is in use; end what uses it (another 'troth up'?), "
                f"or set server.{key} in mlflow.yaml"
            ) from None


def _deploy(environment: dict) -> None:
    def prefect(*command: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "prefect", *command],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"prefect {' '.join(command[:2])} failed: {(done.stderr or done.stdout).strip()[-500:]}")

    prefect("work-pool", "create", POOL, "--type", "process", "--overwrite")
    prefect("--no-prompt", "deploy", "--all", "--prefect-file", "deploy/prefect.yaml")


def _make_limit(prefect_api: str) -> None:
    """The limit that lets one promotion at a time through; it may be there already."""
    body = json.dumps({"name": LIMIT, "limit": 1}).encode()
    request = urllib.request.Request(
        f"{prefect_api}/v2/concurrency_limits/", data=body, headers={"content-type": "application/json"}
    )
    try:
        urllib.request.urlopen(request, timeout=30).close()
    except urllib.error.HTTPError as error:
        if error.code != 409:
            raise RuntimeError(f"the limit {LIMIT} could not be made: {error}") from None


def _wait_until_up(address: str, name: str, children: dict[str, subprocess.Popen], logs: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        _require_alive(children, logs)
        try:
            with urllib.request.urlopen(address, timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.25)
    raise RuntimeError(f"{name} did not answer at {address} within {_START_SECONDS} s; see {logs / name}.log")


def _require_alive(children: dict[str, subprocess.Popen], logs: Path) -> None:
    for name, child in children.items():
        if child.poll() is not None:
            raise RuntimeError(f"{name} ended by itself with code {child.returncode}; see {logs / name}.log")


def _watch(children: dict[str, subprocess.Popen], logs: Path) -> None:
    while True:
        _require_alive(children, logs)
        time.sleep(0.5)


def _stop(children: dict[str, subprocess.Popen]) -> None:
    """End the worker first, so that it can report what it was running to a server that still answers."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # impatience must leave no server behind
    for child in reversed(children.values()):
        _signal(child, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            child.wait(_STOP_SECONDS)
        _signal(child, signal.SIGKILL)


def _signal(child: subprocess.Popen, number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, number)


def _as_interrupt(*_) -> None:
    raise KeyboardInterrupt
