"""Encrypted versions in a real registry: what is live for whom, after changes of champion, and crashes."""

import json

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

import tasks.publications
from components.encryption.enrolment import Scheme
from components.errors import InvalidInput
from tasks.promotion import rollback
from tasks.proxy import grant_for
from tasks.publication_store import (
    ARTIFACT,
    FILES,
    users_of,
    versions_of,
)
from tasks.publications import NotPublished, publish_champion
from tests.tasks.conftest import NAME, SCHEMA, rows, table_of, train
from tests.tasks.trial_proxy import Proxy, artifacts_of


@pytest.fixture
def proxy(place, tmp_path):
    place.decide("1")
    return Proxy(place, tmp_path)


def test_a_version_says_what_it_is_and_answers_as_the_champion(proxy):
    (made,) = proxy.publish("ada")

    assert (made.version, made.epoch, made.source, made.changed) == ("1", 1, f"models:/{NAME}/1", True)
    version = proxy.store.get_model_version(made.name, made.version)
    assert version.tags["troth.source_sha256"] == proxy.digests["1"]
    assert json.loads(version.tags["troth.scheme"]) == {"mode": "order", "bits": 2048, "cut_points": "decoys"}
    assert json.loads(version.tags["troth.leakage"])["within_bounds"] is True
    assert all(bound is None or success <= bound for success, bound in made.leaks.values())
    assert {"threshold by range", "threshold by grid", "order of queries", "collusion"} <= set(made.leaks)

    opened = proxy.opened("ada", "1")
    assert opened.schema == SCHEMA
    assert opened.terms.fingerprint == version.tags["troth.fingerprint"]
    features = table_of(rows(5, 20)).features
    model = mlflow.pyfunc.load_model(proxy.store.get_model_version_download_uri(made.name, made.version))
    answer = model.predict(pd.DataFrame({"query": [opened.client.encrypt(features)]}))["answer"][0]
    scores = opened.client.meaning.predict(opened.client.decrypt(answer))
    np.testing.assert_allclose(scores, train(0).inplace_predict(features), atol=1e-5)


def test_nothing_in_the_registry_is_pickled_or_tells_the_master(proxy):
    proxy.publish("ada")
    master = (proxy.folder / "proxy" / "master.key").read_bytes()
    files = [
        path
        for path in (proxy.folder / "published", *artifacts_of(proxy))
        for path in path.rglob("*")
        if path.is_file()
    ]
    assert {path.name for path in files} >= {"encrypted.npz", "bundle.sealed", "leakage.json"}
    for path in files:
        content = path.read_bytes()
        assert path.suffix not in (".pkl", ".pickle")
        assert master not in content
        assert proxy.users["ada"].seed not in content


def test_publishing_again_changes_nothing(proxy):
    proxy.publish("ada", "bob")
    again = proxy.publish("ada", "bob")
    assert [(one.user, one.version, one.changed) for one in again] == [("ada", "1", False), ("bob", "1", False)]
    assert publish_champion(proxy.client, proxy.settings, NAME)[0].changed is False
    assert len(versions_of(proxy.store, f"{NAME}-for-ada")) == 1


def test_another_scheme_is_another_version(proxy):
    proxy.publish("ada")
    (made,) = proxy.publish("ada", scheme=Scheme(mode="hidden"))
    assert (made.version, made.changed) == ("2", True)
    assert (proxy.live("ada")[0], proxy.previous("ada")) == ("2", "1")
    # Whoever republishes without a word keeps the scheme.
    assert [one.version for one in publish_champion(proxy.client, proxy.settings, NAME)] == ["2"]


def test_a_new_champion_is_published_for_all_users_and_a_rollback_takes_up_the_old_version(proxy):
    proxy.publish("ada", "bob")
    proxy.decide("2", over="1")
    done = publish_champion(proxy.client, proxy.settings, NAME)
    assert [(one.user, one.version, one.source) for one in done] == [
        ("ada", "2", f"models:/{NAME}/2"),
        ("bob", "2", f"models:/{NAME}/2"),
    ]
    rollback(proxy.client, proxy.settings, name=NAME, why="alerts doubled")
    assert [one.version for one in publish_champion(proxy.client, proxy.settings, NAME)] == ["1", "1"]
    assert proxy.live("ada") == ("1", "1", f"models:/{NAME}/1")
    assert proxy.previous("ada") == "2"
    assert len(versions_of(proxy.store, f"{NAME}-for-ada")) == 2
    # A client that has seen version 2 takes version 1 for live again, by a later word.
    assert proxy.opened("ada", "2").serial < proxy.opened("ada", "1").serial


def test_the_grid_of_a_new_champion_holds_the_former_one(proxy):
    proxy.publish("ada")
    proxy.decide("2", over="1")
    publish_champion(proxy.client, proxy.settings, NAME)
    one, two = (proxy.opened("ada", version).client.columns.grid.edges for version in ("1", "2"))
    assert all(np.isin(before, after).all() for before, after in zip(one, two, strict=True))
    found = proxy.store.get_model_version(f"{NAME}-for-ada", "2").tags["troth.leakage"]
    success, bound = json.loads(found)["leaks"]["cut points by versions"]
    assert success <= bound == 0.25
    # Of how many came how many are cuts depends on the key; that all who stayed are there does not.
    assert two.shape[1] >= one.shape[1]


@pytest.mark.parametrize("name", ["carol", "Ada"])
def test_a_user_without_keys_is_named(proxy, name):
    with pytest.raises(InvalidInput, match=name):
        proxy.publish("bob", name)
    assert users_of(proxy.store) == []


def test_there_is_nothing_to_publish_without_a_champion(new_place, tmp_path, monkeypatch):
    place = new_place()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place.settings.tracking_uri)
    proxy = Proxy(place, tmp_path)
    with pytest.raises(InvalidInput, match="no champion"):
        proxy.publish("ada")
    assert publish_champion(proxy.client, proxy.settings, NAME) == []


@pytest.mark.parametrize("step", ["store_version", "_point"])
def test_a_crash_is_made_good_by_the_next_attempt(proxy, monkeypatch, step):
    proxy.publish("ada")
    proxy.decide("2", over="1")

    def crash(*_):
        raise SystemExit("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(tasks.publications, step, crash)
        with pytest.raises(SystemExit):
            publish_champion(proxy.client, proxy.settings, NAME)
    assert proxy.live("ada")[2] == f"models:/{NAME}/1"
    publish_champion(proxy.client, proxy.settings, NAME)
    assert proxy.live("ada") == ("2", "1", f"models:/{NAME}/2")
    assert len(versions_of(proxy.store, f"{NAME}-for-ada")) == 2


@pytest.fixture
def failing_for(monkeypatch):
    """A function after which nothing can be encrypted for a user, and one after which it can."""
    make = tasks.publications._make

    def fail(user: str, error: Exception) -> None:
        def failing(*arguments):
            if arguments[4].user == user:
                raise error
            return make(*arguments)

        monkeypatch.setattr(tasks.publications, "_make", failing)

    fail.no_more = lambda: monkeypatch.setattr(tasks.publications, "_make", make)
    return fail


def test_who_cannot_be_published_for_keeps_nobody_else_on_the_old_champion(proxy, failing_for):
    proxy.publish("ada", "bob")
    proxy.decide("2", over="1")
    failing_for("ada", InvalidInput("tokens lie on a line"))
    with pytest.raises(NotPublished) as failure:
        publish_champion(proxy.client, proxy.settings, NAME)
    assert failure.value.failed == {(NAME, "ada"): "tokens lie on a line"}
    # Ada's keys are good, so she goes on with what she had.
    assert (proxy.live("ada")[2], proxy.live("bob")[2]) == (f"models:/{NAME}/1", f"models:/{NAME}/2")
    failing_for.no_more()
    publish_champion(proxy.client, proxy.settings, NAME)
    assert proxy.live("ada")[2] == f"models:/{NAME}/2"


def test_a_store_in_trouble_is_still_known_by_its_kind(proxy, failing_for):
    """So that the stage is tried again, as after any passing trouble."""
    failing_for("ada", MlflowException("away"))
    with pytest.raises(MlflowException, match="away") as failure:
        proxy.publish("ada", "bob")
    assert failure.value.__cause__.failed.keys() == {(NAME, "ada")}
    assert proxy.live("bob")[0] == "1"


def test_files_that_cannot_be_looked_at_are_not_made_anew(proxy, monkeypatch):
    proxy.publish("ada")

    def silent(*_, **__):
        raise ConnectionError("nothing answers at https://user:secret@store")

    with monkeypatch.context() as patch:
        for name in ("download_artifacts", "list_artifacts"):
            patch.setattr(f"tasks.publication_store.{name}", silent)
        with pytest.raises(ConnectionError) as failure:
            proxy.publish("ada")
    told = failure.value.__cause__
    assert told.failed.keys() == {(NAME, "ada")}
    assert "secret" not in str(told) + str(failure.value)
    assert len(versions_of(proxy.store, f"{NAME}-for-ada")) == 1


def test_an_artifact_that_was_changed_is_made_anew(proxy):
    proxy.publish("ada")
    (folder,) = artifacts_of(proxy)
    (folder / FILES[ARTIFACT]).write_bytes(b"something else")
    assert [one.version for one in proxy.publish("ada")] == ["2"]


def test_a_lost_master_secret_is_not_replaced(proxy):
    (proxy.folder / "proxy" / "master.key").unlink()
    with pytest.raises(InvalidInput, match="backup"):
        proxy.publish("ada")


@pytest.mark.slow
def test_the_master_secret_can_be_under_a_passphrase(place, tmp_path, monkeypatch):
    place.decide("1")
    monkeypatch.setenv("TROTH_PASSPHRASE", "four words of it")
    proxy = Proxy(place, tmp_path)
    proxy.publish("ada")
    monkeypatch.delenv("TROTH_PASSPHRASE")
    with pytest.raises(InvalidInput, match="TROTH_PASSPHRASE"):
        grant_for(proxy.settings, "ada")
