"""What a language run registers: files that run nothing when opened, from which MLflow's own server answers."""

import json
import os
import pickle
import pickletools
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import mlflow
import pytest
import torch
from mlflow.artifacts import download_artifacts

from components.data.texts.corpus import Labels
from components.language.model import BiLSTMParameters, new_model
from components.language.told import answers_to
from tasks.language.register import log_language
from tasks.language.served import Served
from tasks.registry import register

ROOT = Path(__file__).parents[2]
ASKED = ["book a flight to oslo", "goede morgen", "what is the weather in\u2028New York…"]
PICKLED = (".pkl", ".pickle", ".joblib", ".dill", ".pt", ".pth", ".bin", ".npy", ".npz")


@pytest.fixture
def model():
    labels = Labels(("fly", "greet", "weather"), ("city",), public=True)
    return new_model(BiLSTMParameters(embedding=8, hidden=6, dropout=0.0, words=300), labels, seed=1)


@pytest.fixture
def registered(home, client, model):
    """The address of a small model, as the flow registers it."""
    run = client.create_run(client.create_experiment("requests"))
    logged = log_language(client, run_id=run.info.run_id, model=model)
    version = register(client, home, name="requests", logged=logged, tags={})
    return f"models:/requests/{version}"


def holds_code(path: Path) -> str | None:
    """Why a file might run something when it is opened: its name, an archive (as torch saves), or a whole pickle."""
    content = path.read_bytes()
    if path.suffix in PICKLED:
        return path.suffix
    if zipfile.is_zipfile(path) or content[:2] == b"PK":
        return "archive"
    if content[:1] == b"\x80":
        return "pickle by its first byte"
    try:
        end = [place for _, _, place in pickletools.genops(content)][-1]
    except Exception:
        return None
    return "pickle to its last byte" if end == len(content) - 1 else None


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_would_be_seen_under_any_name(tmp_path, protocol):
    path = tmp_path / "model.json"
    path.write_bytes(pickle.dumps({"weights": [1.0, 2.0], "path": Path("x")}, protocol=protocol))
    assert holds_code(path)
    torch.save({"weights": torch.ones(2)}, path)
    assert holds_code(path)


def test_a_registered_model_holds_no_pickle_and_nothing_to_fetch_by_the_products_name(registered, tmp_path):
    folder = Path(download_artifacts(registered, dst_path=str(tmp_path / "fetched")))
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"MLmodel", "model.safetensors", "model.json", "requirements.txt"}
    assert {path: why for path in files if (why := holds_code(path))} == {}
    assert [path.name for path in files if path.suffix == ".py"] == ["served.py"]
    flavour = mlflow.models.Model.load(str(folder)).flavors["python_function"]
    assert flavour["loader_module"] == "mlflow.pyfunc.loaders.code_model"
    assert Path(flavour["model_code_path"]).name == "served.py"

    requirements = (folder / "requirements.txt").read_text().split()
    assert all("==" in one for one in requirements)
    for name in ("requirements.txt", "conda.yaml", "python_env.yaml"):
        assert "troth" not in (folder / name).read_text().lower(), name


def test_where_troth_is_missing_the_model_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "components.language.save", None)
    with pytest.raises(RuntimeError, match="--env-manager local"):
        Served().load_context(None)


@pytest.fixture
def server(registered, tmp_path):
    """`mlflow models serve` in a process of its own; the address that answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["-m", "mlflow", "models", "serve", "-m", registered, "--env-manager", "local", "-p", str(port)]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    log = (tmp_path / "served.log").open("w")
    process = subprocess.Popen(
        [sys.executable, *command],
        env=os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)},
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        until = time.monotonic() + 240
        while not answers(f"{address}/ping"):
            assert process.poll() is None, (tmp_path / "served.log").read_text()
            assert time.monotonic() < until, (tmp_path / "served.log").read_text()
            time.sleep(0.5)
        yield address
    finally:
        os.killpg(process.pid, 15)
        process.wait(timeout=60)
        log.close()


def answers(address: str) -> bool:
    try:
        return urllib.request.urlopen(address, timeout=5).status == 200
    except OSError:
        return False


def asked(address: str, rows: list[dict]) -> dict:
    body = json.dumps({"dataframe_records": rows}).encode()
    request = urllib.request.Request(f"{address}/invocations", body, {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request, timeout=120))


@pytest.mark.slow
def test_mlflows_own_server_answers_as_the_model_does(server, model):
    told = asked(server, [{"utterance": text} for text in ASKED])["predictions"]
    for one, expected in zip(told, answers_to(model, ASKED), strict=True):
        assert one["intent"] == expected["intent"]
        assert one["scores"] == pytest.approx(expected["scores"], abs=1e-6)
        assert one["slots"] == expected["slots"]
    for wrong in ([{"utterance": 5}], [{"said": "hello"}]):
        with pytest.raises(urllib.error.HTTPError) as refused:
            asked(server, wrong)
        assert refused.value.code == 400
    assert answers(f"{server}/ping")
