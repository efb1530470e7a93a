"""A store of one's own: whoever is first makes it whole, whoever comes meanwhile waits, whoever dies leaves nothing."""

import multiprocessing
import os
import signal
import threading
from contextlib import contextmanager

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric

from tasks import embedded_store
from tasks.embedded_store import EmbeddedClient, ensure_store
from tasks.references import Run
from tasks.settings import Registry, Settings, Tracking
from tasks.tracking import client_of, close_run, find_stage, stage_run


@pytest.fixture
def bare(tmp_path) -> Settings:
    uri = f"sqlite:///{tmp_path}/new/mlflow.db"
    return Settings(home=str(tmp_path), tracking=Tracking(uri=uri), registry=Registry(uri=uri))


def _die_while_making(settings: Settings) -> None:
    embedded_store.MlflowClient = lambda uri: (MlflowClient(uri), os.kill(os.getpid(), signal.SIGKILL))
    ensure_store(settings)


def _use(settings: Settings, outcomes) -> None:
    ensure_store(settings)
    outcomes.put(len(MlflowClient(settings.tracking_uri, settings.registry_uri).search_registered_models()))


@pytest.mark.slow
def test_a_death_on_the_way_and_several_first_users_at_once_leave_a_store_that_works(bare, tmp_path):
    context = multiprocessing.get_context("spawn")
    dying = context.Process(target=_die_while_making, args=(bare,))
    dying.start()
    dying.join()
    assert dying.exitcode == -signal.SIGKILL
    assert not (tmp_path / "new" / "mlflow.db").exists()

    outcomes = context.Queue()
    users = [context.Process(target=_use, args=(bare, outcomes)) for _ in range(3)]
    for user in users:
        user.start()
    assert [outcomes.get(timeout=180) for _ in users] == [0, 0, 0]
    for user in users:
        user.join()
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"mlflow.db", ".mlflow.db.lock"}


def test_servers_and_stores_that_exist_are_left_alone(bare, tmp_path):
    path = tmp_path / "new" / "mlflow.db"
    path.parent.mkdir()
    path.write_bytes(b"somebody's")
    ensure_store(bare)
    assert path.read_bytes() == b"somebody's"
    ensure_store(bare.model_copy(update={"tracking": Tracking(uri="http://127.0.0.1:9")}))


def test_only_calls_to_files_put_signals_off(bare):
    server = "http://127.0.0.1:9"
    assert type(client_of(bare)) is EmbeddedClient
    for tracking, registry in [(server, server), (server, bare.registry_uri), (bare.tracking_uri, server)]:
        settings = bare.model_copy(update={"tracking": Tracking(uri=tracking), "registry": Registry(uri=registry)})
        assert type(client_of(settings)) is MlflowClient


def test_ctrl_c_while_a_stage_ends_leaves_it_ended(bare, monkeypatch):
    client = client_of(bare)
    experiment = client.create_experiment("trials")
    parent = client.create_run(experiment).info.run_id
    run = Run(run_id=parent, experiment_id=experiment, name="run", model="model", champion=None)
    write = EmbeddedClient.log_batch

    def interrupted(self, *arguments, **options):
        monkeypatch.setattr(EmbeddedClient, "log_batch", write)
        write(self, *arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(EmbeddedClient, "log_batch", interrupted)
    with pytest.raises(KeyboardInterrupt), stage_run(client, run, "train"):
        pass
    assert find_stage(client, parent, experiment, "train").info.status == "KILLED"


@contextmanager
def ended_by_ctrl_c(seconds: float):
    """A timer of so many seconds, to be started in the block, which it ends as Ctrl-C does."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            yield threading.Timer(seconds, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.slow
def test_ctrl_c_at_any_moment_leaves_a_store_that_can_be_written_to(bare):
    client = client_of(bare)
    experiment = client.create_experiment("trials")
    for trial in range(60):
        run = client.create_run(experiment).info.run_id
        with ended_by_ctrl_c(0.001 * trial) as timer:
            try:
                timer.start()
                while True:
                    client.log_batch(run, metrics=[Metric("trial", trial, 0, 0)])
                    client.update_run(run, status="RUNNING")
            except KeyboardInterrupt:
                close_run(client, run, "KILLED")
                raise
        assert client.get_run(run).info.status == "KILLED"
