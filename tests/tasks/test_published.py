"""What a server puts on its shelf, from a real registry that changes, fails and lies."""

import io
import signal
import time
from contextlib import suppress
from threading import Event, Thread

import pytest

import tasks.published
from components.encryption.server import Serving, has_file, read_index
from components.encryption.server.observed import Log
from components.encryption.user import make_user
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
from tasks.serving import serve_published
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


@pytest.fixture
def follow(proxy):
    """A function that makes a follower of the same shelf, as a server that is started again does."""
    said = []

    def follower() -> Follower:
        return Follower(proxy.settings, proxy.folder / "shelf", lambda event, **facts: said.append(event))

    follower.said, follower.shelf = said, proxy.folder / "shelf"
    return follower


@pytest.fixture
def away(monkeypatch):
    """A function after which the store of artifacts does not answer, and one after which it does."""

    def silent(*_, **__):
        raise ConnectionError("nothing answers at https://user:secret@store")

    def leave() -> None:
        for name in ("download_artifacts", "list_artifacts"):
            monkeypatch.setattr(f"tasks.publication_store.{name}", silent)

    leave.back = monkeypatch.undo
    return leave


def shown(shelf) -> list[tuple[str, str, str]]:
    return [(one.user, one.version, one.state) for one in read_index(shelf)]


def behind(proxy, follow):
    """A follower that has not looked since ada's version changed and bob was revoked."""
    proxy.publish("ada", "bob")
    follower = follow()
    follower.look()
    proxy.decide("2", over="1")
    publish_champion(proxy.client, proxy.settings, NAME)
    proxy.enrolment.revoke("bob")
    withdraw(proxy.settings, "bob")
    return follower


def test_while_files_cannot_be_fetched_the_version_before_is_answered_from(proxy, follow, away, monkeypatch):
    follower = behind(proxy, follow)
    away()
    for one in (follower, follower, follow()):
        one.look()
        assert shown(follow.shelf) == [("ada", "1", "live"), ("bob", "2", "revoked")]
        assert all(has_file(follow.shelf, digest) for digest in files_of(follow.shelf, "ada"))
    assert follow.said.count("files_away") == 2  # of each follower once
    away.back()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.settings.tracking_uri)
    follower.look()
    assert shown(follow.shelf)[0] == ("ada", "2", "live")


def files_of(shelf, user: str) -> list[str]:
    (entry,) = (one for one in read_index(shelf) if one.user == user)
    return [entry.artifact, entry.bundle]


def test_what_is_on_the_shelf_is_not_fetched_again(proxy, follow, away):
    proxy.publish("ada")
    follow().look()
    (before,) = read_index(follow.shelf)
    away()
    assert follow().look() == 1
    assert read_index(follow.shelf) == [before]
    assert "files_away" not in follow.said


def test_a_digest_that_is_no_digest_names_no_file(proxy, follow):
    (made,) = proxy.publish("ada")
    follower = follow()
    follower.look()
    proxy.store.set_model_version_tag(made.name, "1", BUNDLE, "index.json")
    assert follow().look() == 0


def test_an_old_card_is_not_answered_while_the_files_of_the_new_one_cannot_be_fetched(proxy, follow, away):
    proxy.publish("ada")
    follower = follow()
    follower.look()
    proxy.enrolment.revoke("ada")
    withdraw(proxy.settings, "ada")
    proxy.enrolment.issue(make_user(proxy.folder / "again", "ada").card, days=30)
    proxy.publish("ada")
    away()
    assert (follower.look(), read_index(follow.shelf)) == (0, [])


def test_a_revocation_waits_for_nobodys_files(proxy, follow, monkeypatch):
    follower = behind(proxy, follow)
    read, meanwhile = tasks.published.read_file, []

    def reading(*arguments):
        meanwhile.append(shown(follow.shelf))
        return read(*arguments)

    monkeypatch.setattr(tasks.published, "read_file", reading)
    follower.look()
    assert meanwhile[0] == [("ada", "1", "live"), ("bob", "2", "revoked")]


def test_a_log_that_cannot_be_written_keeps_nobody_from_following(proxy, follow):
    proxy.publish("ada")
    full = io.TextIOWrapper(io.FileIO("/dev/full", "w"))
    assert Follower(proxy.settings, follow.shelf, Log(full).line).look() == 1
    with suppress(OSError):
        full.close()
    assert Follower(proxy.settings, follow.shelf, Log(full).line).look() == 1

    def broken(*_, **__):
        raise RuntimeError

    proxy.publish("bob")
    assert Follower(proxy.settings, follow.shelf, broken).look() == 2


def test_a_server_that_follows_no_longer_ends(proxy, tmp_path, monkeypatch):
    """And does not answer the revoked."""
    ended = Event()

    def run(_) -> None:
        assert ended.wait(30)

    def dies(*_) -> None:
        raise MemoryError

    monkeypatch.setattr("tasks.serving.run", run)
    monkeypatch.setattr(Follower, "follow", dies)
    before = signal.signal(signal.SIGTERM, lambda *_: ended.set())
    try:
        with pytest.raises(RuntimeError, match="no longer"):
            serve_published(proxy.settings, Serving(folder=str(tmp_path / "serving")))
    finally:
        signal.signal(signal.SIGTERM, before)


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
