"""Rotation, revocation, a new master secret, a store that lies: nobody is answered who must not be."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Thread

import pytest
from mlflow.exceptions import MlflowException

import tasks.publications
from components.encryption import WrongKey
from components.encryption.server import REVOKED
from components.encryption.user import make_user
from components.errors import InvalidInput
from tasks.proxy import grant_for, renew_master
from tasks.publication_store import (
    ARTIFACT,
    BUNDLE,
    EPOCH,
    OF,
    SCHEME,
    STATE,
    USER,
)
from tasks.publications import (
    NotPublished,
    begin_renewal,
    begun_renewal,
    end_renewal,
    last_epoch,
    publish_champion,
    republish,
    withdraw,
)
from tests.tasks.conftest import NAME
from tests.tasks.trial_proxy import QUICK, Proxy


@pytest.fixture
def proxy(place, tmp_path):
    place.decide("1")
    return Proxy(place, tmp_path)


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
    assert withdraw(proxy.settings, "ada") == []
    assert proxy.live("ada") is None
    assert proxy.store.get_registered_model(f"{NAME}-for-ada").tags[STATE] == REVOKED
    assert [one.user for one in publish_champion(proxy.client, proxy.settings, NAME)] == ["bob"]
    with pytest.raises(InvalidInput, match="revoked"):
        proxy.publish("ada")


def test_a_user_revoked_in_the_middle_of_a_publication_is_not_live_after_it(proxy, monkeypatch):
    """The first publication for bob: nothing of his is in the registry yet when he is revoked."""
    make = tasks.publications._make

    def meanwhile(*arguments):
        if arguments[4].user == "bob":
            proxy.enrolment.revoke("bob")
            assert withdraw(proxy.settings, "bob") == []
        return make(*arguments)

    monkeypatch.setattr(tasks.publications, "_make", meanwhile)
    assert [one.user for one in proxy.publish("ada", "bob")] == ["ada"]
    assert (proxy.live("bob"), proxy.live("ada")[0]) == (None, "1")


def test_a_user_revoked_just_before_the_alias_moves_is_withdrawn_after_it(proxy, monkeypatch):
    point, waiting = tasks.publications._point, []

    def meanwhile(*arguments):
        proxy.enrolment.revoke("ada")
        waiting.append(other.submit(withdraw, proxy.settings, "ada"))
        return point(*arguments)

    monkeypatch.setattr(tasks.publications, "_point", meanwhile)
    with ThreadPoolExecutor() as other:
        proxy.publish("ada")
        assert waiting[0].result() == [f"{NAME}-for-ada"]
    assert proxy.live("ada") is None


@pytest.mark.parametrize("loser", ["publication", "withdrawal"])
def test_both_writing_the_same_at_the_same_time_harms_neither(proxy, monkeypatch, loser):
    """The store fails one of them."""
    end, point, withdrawn = tasks.publications._end, tasks.publications._point, []

    def fail_once(*arguments):
        monkeypatch.setattr(tasks.publications, "_end", end)
        raise MlflowException("UNIQUE constraint failed")

    def meanwhile(*arguments):
        if arguments[2] != f"{NAME}-for-ada":
            return point(*arguments)
        proxy.enrolment.revoke("ada")
        if loser == "publication":
            raise MlflowException("UNIQUE constraint failed")
        monkeypatch.setattr(tasks.publications, "_end", fail_once)
        withdrawn.append(other.submit(withdraw, proxy.settings, "ada"))
        while tasks.publications._end is fail_once:
            time.sleep(0.01)
        return point(*arguments)

    monkeypatch.setattr(tasks.publications, "_point", meanwhile)
    with ThreadPoolExecutor() as other:
        assert [one.user for one in proxy.publish("ada", "bob")] == ["bob"]
        for one in withdrawn or [other.submit(withdraw, proxy.settings, "ada")]:
            assert one.result() == [f"{NAME}-for-ada"]
    assert (proxy.live("ada"), proxy.live("bob")[0]) == (None, "1")


def test_a_revocation_that_was_cut_short_is_finished_by_the_next_publication(proxy):
    proxy.publish("ada", "bob")
    proxy.enrolment.revoke("ada")
    assert [one.user for one in publish_champion(proxy.client, proxy.settings, NAME)] == ["bob"]
    assert proxy.live("ada") is None
    assert proxy.store.get_registered_model(f"{NAME}-for-ada").tags[STATE] == REVOKED


def test_a_rotation_that_was_cut_short_is_finished_and_asks_for_nobody_else(proxy, monkeypatch):
    proxy.publish("ada", "bob")
    proxy.enrolment.rotate("ada", days=30)
    make = tasks.publications._make

    def failing(*arguments):
        if arguments[4].user == "bob":
            raise InvalidInput("bob's cannot be made")
        return make(*arguments)

    monkeypatch.setattr(tasks.publications, "_make", failing)
    proxy.enrolment.rotate("bob", days=30)
    assert [one.epoch for one in republish(proxy.client, proxy.settings, "ada")] == [2]
    monkeypatch.undo()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", proxy.settings.tracking_uri)
    publish_champion(proxy.client, proxy.settings, NAME)
    assert (proxy.live("ada")[1], proxy.live("bob")[1]) == ("2", "2")


def refuse_to_make(monkeypatch, *users: str) -> None:
    """Nothing can be encrypted for them from here on."""
    make = tasks.publications._make

    def failing(*arguments):
        if arguments[4].user in users:
            raise InvalidInput("tokens lie on a line")
        return make(*arguments)

    monkeypatch.setattr(tasks.publications, "_make", failing)


def test_what_cannot_be_renewed_is_withdrawn_and_keeps_nothing_else_under_the_old_keys(proxy, monkeypatch):
    proxy.publish("ada", "bob")
    begin_renewal(proxy.settings)
    for name in ("ada", "bob"):
        proxy.enrolment.rotate(name, days=None)
    with monkeypatch.context() as patch:
        refuse_to_make(patch, "ada")
        with pytest.raises(NotPublished) as failure:
            republish(proxy.client, proxy.settings, "ada", "bob")
    assert failure.value.failed.keys() == {(NAME, "ada")}
    assert (proxy.live("ada"), proxy.live("bob")[1]) == (None, "2")
    assert proxy.store.get_registered_model(f"{NAME}-for-ada").tags[STATE] == REVOKED
    # Ada's model is still hers, and the next publication is it too.
    republish(proxy.client, proxy.settings, "ada", "bob")
    assert (proxy.live("ada")[1], proxy.live("bob")[1]) == ("2", "2")


def test_a_renewal_that_was_not_ended_is_gone_on_with(proxy):
    epochs = begin_renewal(proxy.settings)
    assert epochs == begun_renewal(proxy.settings) == {"ada": 1, "bob": 1}
    proxy.enrolment.rotate("ada", days=None)
    assert begun_renewal(proxy.settings) == epochs
    renew_master(proxy.settings)
    assert begun_renewal(proxy.settings) is None
    begin_renewal(proxy.settings)
    end_renewal(proxy.settings)
    assert begun_renewal(proxy.settings) is None


def test_a_list_from_a_backup_gives_no_key_out_again(proxy):
    proxy.publish("ada", "bob")
    backup = proxy.enrolment.path.read_text()
    (before,) = publish_rotated(proxy, "ada")
    fingerprint = proxy.opened("ada", before.version).terms.fingerprint
    proxy.enrolment.path.write_text(backup)
    assert last_epoch(proxy.settings, "ada") == 2
    (after,) = publish_rotated(proxy, "ada")
    assert (before.epoch, after.epoch) == (2, 3)
    assert proxy.opened("ada", after.version).terms.fingerprint != fingerprint
    # A list from before she was enrolled.
    proxy.enrolment.path.unlink()
    made = proxy.enrolment.issue(proxy.users["ada"].card, days=30, after=last_epoch(proxy.settings, "ada"))
    assert made.epoch == 4


def test_a_revocation_reaches_what_a_list_from_a_backup_does_not_know(proxy):
    backup = proxy.enrolment.path.read_text()
    proxy.publish("ada")
    proxy.enrolment.path.write_text(backup)
    proxy.enrolment.revoke("ada")
    assert withdraw(proxy.settings, "ada") == [f"{NAME}-for-ada"]
    assert proxy.live("ada") is None


def publish_rotated(proxy, name: str):
    proxy.enrolment.rotate(name, days=30, after=last_epoch(proxy.settings, name))
    return republish(proxy.client, proxy.settings, name)


@pytest.mark.parametrize("epoch", ["9" * 40, "-1", "junk", "٣"])
def test_what_a_store_says_of_epochs_is_bounded(proxy, epoch):
    (made,) = proxy.publish("ada")
    proxy.store.set_model_version_tag(made.name, made.version, EPOCH, epoch)
    assert last_epoch(proxy.settings, "ada") == 0


def test_a_new_card_is_refused_while_the_old_one_is_still_answered(proxy):
    proxy.publish("ada")
    proxy.enrolment.revoke("ada")
    card = make_user(proxy.folder / "again", "ada").card
    with pytest.raises(InvalidInput, match="withdrawn"):
        proxy.enrolment.issue(card, days=30)
    withdraw(proxy.settings, "ada")
    assert proxy.live("ada") is None
    assert proxy.enrolment.issue(card, days=30).epoch == 2
    assert proxy.live("ada") is None


def test_a_revocation_waits_for_no_publication_for_others(proxy, monkeypatch):
    proxy.publish("ada", "bob")
    proxy.decide("2", over="1")
    make, revoking = tasks.publications._make, []

    def meanwhile(*arguments):
        if arguments[4].user == "bob":
            proxy.enrolment.revoke("ada")
            revoking.append(Thread(target=withdraw, args=(proxy.settings, "ada")))
            revoking[0].start()
            deadline = time.monotonic() + 30
            while proxy.live("ada") is not None:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        return make(*arguments)

    monkeypatch.setattr(tasks.publications, "_make", meanwhile)
    publish_champion(proxy.client, proxy.settings, NAME)
    revoking[0].join(60)
    assert (proxy.live("ada"), proxy.live("bob")[0]) == (None, "2")
    assert proxy.enrolment.find("ada").models == {}


def test_a_user_revoked_while_the_alias_moves_is_out_of_service_before_the_next_is_encrypted(proxy, monkeypatch):
    point, make, found = tasks.publications._point, tasks.publications._make, []

    def pointing(*arguments):
        if not found:
            proxy.enrolment.revoke("ada")
        return point(*arguments)

    def making(*arguments):
        if arguments[4].user == "bob":
            found.append((proxy.live("ada"), proxy.store.get_registered_model(f"{NAME}-for-ada").tags[STATE]))
        return make(*arguments)

    monkeypatch.setattr(tasks.publications, "_point", pointing)
    monkeypatch.setattr(tasks.publications, "_make", making)
    proxy.publish("ada", "bob")
    assert found == [(None, REVOKED)]


def test_nothing_that_the_server_writes_into_the_store_is_believed(proxy):
    """It could weaken a scheme, enrol a user, or put an older artifact in the place of a new one."""
    (made,) = proxy.publish("ada", scheme=QUICK)
    proxy.store.set_model_version_tag(made.name, "1", SCHEME, json.dumps({"mode": "order", "bits": 1024}))
    carol = make_user(proxy.folder / "carol", "carol")
    proxy.enrolment.issue(carol.card, days=30)
    proxy.store.create_registered_model("other", tags={OF: NAME, USER: "carol"})
    proxy.store.create_model_version("other", source="file:///nothing", tags={SCHEME: json.dumps({"mode": "order"})})
    proxy.store.set_registered_model_alias("other", "live", "1")
    (again,) = publish_champion(proxy.client, proxy.settings, NAME)
    assert (again.user, json.loads(again.scheme)) == ("ada", {"mode": "order", "bits": 2048, "cut_points": "decoys"})

    # The tags of a version of the new champion on the files of the old one.
    proxy.decide("2", over="1")
    old = proxy.store.get_model_version(made.name, again.version)
    (new,) = publish_champion(proxy.client, proxy.settings, NAME)
    tags = proxy.store.get_model_version(made.name, new.version).tags
    for tag in (ARTIFACT, BUNDLE):
        tags[tag] = old.tags[tag]
    forged = proxy.store.create_model_version(made.name, source=old.source, tags=tags)
    proxy.store.set_registered_model_alias(made.name, "live", forged.version)
    (after,) = publish_champion(proxy.client, proxy.settings, NAME)
    assert (after.version, after.changed) == (new.version, True)


def test_a_new_master_secret_makes_everything_anew(proxy):
    proxy.publish("ada", "bob")
    before = proxy.opened("ada", "1")
    grant = grant_for(proxy.settings, "ada")
    renew_master(proxy.settings)
    with pytest.raises(WrongKey):
        proxy.opened("ada", "1")
    assert grant_for(proxy.settings, "ada") != grant
    # Whoever forgets to rotate is published for anew all the same.
    done = publish_champion(proxy.client, proxy.settings, NAME)
    assert [(one.user, one.version, one.changed) for one in done] == [("ada", "2", True), ("bob", "2", True)]
    after = proxy.opened("ada", "2")
    assert after.client.secret.p not in (before.client.secret.p, before.client.secret.q)
