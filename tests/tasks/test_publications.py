"""Encrypted versions in a real registry: what is live for whom, after changes of champion and keys, and crashes."""

import json

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest

import tasks.publications
from components.encryption.bundle import open_bundle
from components.encryption.enrolment import Enrolment
from components.encryption.server import REVOKED, read_index
from components.encryption.user import make_user
from components.errors import InvalidInput
from tasks.promotion import rollback
from tasks.proxy import grant_for
from tasks.publication_store import ARTIFACT, BUNDLE, FILES, OF, STATE, USER, read_file, users_of, versions_of
from tasks.publications import Scheme, publish_champion, republish, withdraw
from tasks.published import Follower
from tasks.settings import Publishing
from tests.tasks.conftest import NAME, SCHEMA, Place, rows, table_of, train

QUICK = Scheme(bits=2048)


class Proxy(Place):
    """A place whose settings name a proxy's files, and users with keys."""

    def __init__(self, place: Place, folder, *, uri: str | None = None) -> None:
        publishing = Publishing(
            uri=uri,
            artifacts=str(folder / "published"),
            master=str(folder / "proxy" / "master.key"),
            users=str(folder / "proxy" / "users.json"),
        )
        super().__init__(place.settings.model_copy(update={"publishing": publishing}), place.digests)
        object.__setattr__(self, "users", {})
        object.__setattr__(self, "folder", folder)
        for name in ("ada", "bob"):
            grant_for(self.settings, name)
            self.users[name] = make_user(folder / name, name)
            self.enrolment.issue(self.users[name].card, days=30)

    @property
    def enrolment(self) -> Enrolment:
        return Enrolment(self.folder / "proxy" / "users.json")

    @property
    def store(self):
        from tasks.tracking import client_of

        return client_of(self.settings.published)

    def publish(self, *names: str, scheme: Scheme = QUICK):
        return publish_champion(self.client, self.settings, NAME, wanted=dict.fromkeys(names, scheme))

    def live(self, name: str) -> tuple[str, str, str] | None:
        """Version, epoch and source of what is live for a user."""
        found = self.store.get_registered_model(f"{NAME}-for-{name}").aliases.get("live")
        if found is None:
            return None
        tags = self.store.get_model_version(f"{NAME}-for-{name}", str(found)).tags
        return str(found), tags["troth.epoch"], tags["troth.source"]

    def previous(self, name: str) -> str:
        return str(self.store.get_registered_model(f"{NAME}-for-{name}").aliases["previous"])


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
    assert all(success <= bound for success, bound in made.leaks.values())
    assert {"threshold by range", "threshold by grid", "order of queries", "collusion"} <= set(made.leaks)

    bundle = read_file(proxy.store, proxy.settings, version, BUNDLE)
    opened = open_bundle(bundle, proxy.users["ada"], grant_for(proxy.settings, "ada"), NAME)
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
        path for path in (proxy.folder / "published", *_artifacts(proxy)) for path in path.rglob("*") if path.is_file()
    ]
    assert {path.name for path in files} >= {"encrypted.npz", "bundle.sealed", "leakage.json"}
    for path in files:
        content = path.read_bytes()
        assert path.suffix not in (".pkl", ".pickle")
        assert master not in content
        assert proxy.users["ada"].seed not in content


def _artifacts(proxy):
    from pathlib import Path
    from urllib.parse import unquote, urlsplit

    uri = proxy.store.get_model_version_download_uri(f"{NAME}-for-ada", "1")
    return [Path(unquote(urlsplit(uri).path))]


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


def test_a_rotation_is_a_new_version_for_one_user(proxy):
    proxy.publish("ada", "bob")
    proxy.enrolment.rotate("ada", days=30)
    assert [(one.user, one.version, one.epoch) for one in republish(proxy.client, proxy.settings, "ada")] == [
        ("ada", "2", 2)
    ]
    assert (proxy.live("ada")[1], proxy.live("bob")[1]) == ("2", "1")


def test_a_revoked_user_is_withdrawn_and_not_published_for(proxy):
    proxy.publish("ada", "bob")
    proxy.enrolment.revoke("ada")
    assert withdraw(proxy.settings, "ada") == [f"{NAME}-for-ada"]
    assert withdraw(proxy.settings, "ada") == [f"{NAME}-for-ada"]
    assert proxy.live("ada") is None
    assert proxy.store.get_registered_model(f"{NAME}-for-ada").tags[STATE] == REVOKED
    assert [one.user for one in publish_champion(proxy.client, proxy.settings, NAME)] == ["bob"]
    with pytest.raises(InvalidInput, match="revoked"):
        proxy.publish("ada")


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
        raise RuntimeError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(tasks.publications, step, crash)
        with pytest.raises(RuntimeError):
            publish_champion(proxy.client, proxy.settings, NAME)
    assert proxy.live("ada")[2] == f"models:/{NAME}/1"
    publish_champion(proxy.client, proxy.settings, NAME)
    assert proxy.live("ada") == ("2", "1", f"models:/{NAME}/2")
    assert len(versions_of(proxy.store, f"{NAME}-for-ada")) == 2


def test_an_artifact_that_was_changed_is_made_anew(proxy):
    proxy.publish("ada")
    (folder,) = _artifacts(proxy)
    (folder / FILES[ARTIFACT]).write_bytes(b"something else")
    assert [one.version for one in proxy.publish("ada")] == ["2"]


def test_a_lost_master_secret_is_not_replaced(proxy):
    (proxy.folder / "proxy" / "master.key").unlink()
    with pytest.raises(InvalidInput, match="backup"):
        proxy.publish("ada")


def test_the_master_secret_can_be_under_a_passphrase(place, tmp_path, monkeypatch):
    place.decide("1")
    monkeypatch.setenv("TROTH_PASSPHRASE", "four words of it")
    proxy = Proxy(place, tmp_path)
    proxy.publish("ada")
    monkeypatch.delenv("TROTH_PASSPHRASE")
    with pytest.raises(InvalidInput, match="TROTH_PASSPHRASE"):
        grant_for(proxy.settings, "ada")


def test_a_shelf_follows_the_registry(proxy):
    said = []
    shelf = proxy.folder / "server" / "shelf"
    follower = Follower(proxy.settings, shelf, lambda event, **facts: said.append((event, facts)))
    assert follower.look() == 0
    proxy.publish("ada", "bob")
    assert follower.look() == 2
    proxy.decide("2", over="1")
    publish_champion(proxy.client, proxy.settings, NAME)
    follower.look()
    ada, bob = read_index(shelf)
    assert [(one.user, one.version, one.former[0].version) for one in (ada, bob)] == [
        ("ada", "2", "1"),
        ("bob", "2", "1"),
    ]
    proxy.enrolment.revoke("ada")
    withdraw(proxy.settings, "ada")
    follower.look()
    assert [(one.user, one.state) for one in read_index(shelf)] == [("ada", "revoked"), ("bob", "live")]
    events = len(said)
    follower.look()
    assert len(said) == events


def test_a_version_whose_files_were_changed_is_not_served(proxy):
    said = []
    proxy.publish("ada")
    (folder,) = _artifacts(proxy)
    (folder / FILES[BUNDLE]).write_bytes(b"another bundle")
    follower = Follower(proxy.settings, proxy.folder / "shelf", lambda event, **facts: said.append(event))
    assert (follower.look(), follower.look(), said) == (0, 0, ["not_served"])


def test_encrypted_models_can_have_a_store_of_their_own(place, tmp_path):
    place.decide("1")
    proxy = Proxy(place, tmp_path, uri=f"sqlite:///{tmp_path}/apart/mlflow.db")
    proxy.publish("ada", "bob")
    assert {one.tags[USER] for one in users_of(proxy.store)} == {"ada", "bob"}
    assert [one.name for one in proxy.store.search_registered_models() if OF not in one.tags] == []
    assert [one.name for one in proxy.client.search_registered_models()] == [NAME]
    assert Follower(proxy.settings, tmp_path / "shelf", lambda *_, **__: None).look() == 2
    assert list((tmp_path / "published").rglob("encrypted.npz"))
