"""What a server puts on its shelf, from a real registry that changes, fails and lies."""

import time
from threading import Event, Thread

import pytest

from components.encryption.server import read_index
from tasks.promotion import rollback
from tasks.publication_store import (
    BUNDLE,
    FILES,
    LIVE_WORD,
    OF,
    USER,
    users_of,
)
from tasks.publications import publish_champion, withdraw
from tasks.published import Follower
from tests.tasks.conftest import NAME
from tests.tasks.trial_proxy import Proxy, artifacts_of


@pytest.fixture
def proxy(place, tmp_path):
    place.decide("1")
    return Proxy(place, tmp_path)


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


def test_a_version_that_is_live_again_within_one_look_has_its_new_word(proxy):
    """A client that saw version 2 elsewhere in between would take the old word for a step back."""
    shelf = proxy.folder / "server" / "shelf"
    follower = Follower(proxy.settings, shelf, lambda *_, **__: None)
    proxy.publish("ada")
    follower.look()
    before = read_index(shelf)[0]
    proxy.decide("2", over="1")
    publish_champion(proxy.client, proxy.settings, NAME)
    rollback(proxy.client, proxy.settings, name=NAME, why="alerts doubled")
    publish_champion(proxy.client, proxy.settings, NAME)
    follower.look()
    after = read_index(shelf)[0]
    assert (before.version, after.version) == ("1", "1")
    assert after.word == proxy.store.get_model_version(f"{NAME}-for-ada", "1").tags[LIVE_WORD] != before.word


def test_whatever_a_store_raises_is_told_and_waited_for(proxy, monkeypatch):
    said, stop = [], Event()
    settings = proxy.settings.model_copy(
        update={"serving": proxy.settings.serving.model_copy(update={"poll_seconds": 0.01})}
    )
    follower = Follower(settings, proxy.folder / "shelf", lambda event, **facts: said.append((event, facts)))

    def broken(*_):
        if len(said) == 0:
            raise RuntimeError("a driver's own")
        raise LookupError

    with monkeypatch.context() as patch:
        patch.setattr("tasks.published.users_of", broken)
        thread = Thread(target=follower.follow, args=(stop,))
        thread.start()
        wait_until(lambda: said)
    wait_until(lambda: len(said) == 2)
    stop.set()
    thread.join(10)
    assert [event for event, _ in said] == ["registry_silent", "registry_back"]
    assert said[0][1] == {"kind": "RuntimeError"}


def wait_until(is_so) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("tag", ["junk", "00", "zz" * 32, ""])
def test_a_version_whose_tags_were_changed_is_not_served(proxy, tag):
    said = []
    proxy.publish("ada")
    proxy.store.set_registered_model_tag(f"{NAME}-for-ada", "troth.user_key", tag)
    follower = Follower(proxy.settings, proxy.folder / "shelf", lambda event, **facts: said.append(event))
    assert (follower.look(), said) == (0, ["not_served"])


def test_a_version_whose_files_were_changed_is_not_served(proxy):
    said = []
    proxy.publish("ada")
    (folder,) = artifacts_of(proxy)
    (folder / FILES[BUNDLE]).write_bytes(b"another bundle")
    follower = Follower(proxy.settings, proxy.folder / "shelf", lambda event, **facts: said.append(event))
    assert (follower.look(), follower.look(), said) == (0, 0, ["not_served"])


@pytest.mark.slow
def test_encrypted_models_can_have_a_store_of_their_own(place, tmp_path):
    place.decide("1")
    proxy = Proxy(place, tmp_path, uri=f"sqlite:///{tmp_path}/apart/mlflow.db")
    proxy.publish("ada", "bob")
    assert {one.tags[USER] for one in users_of(proxy.store)} == {"ada", "bob"}
    assert [one.name for one in proxy.store.search_registered_models() if OF not in one.tags] == []
    assert [one.name for one in proxy.client.search_registered_models()] == [NAME]
    assert Follower(proxy.settings, tmp_path / "shelf", lambda *_, **__: None).look() == 2
    assert list((tmp_path / "published").rglob("encrypted.npz"))
