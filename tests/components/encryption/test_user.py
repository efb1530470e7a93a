"""A user's keys, cards and grants as files, and the proxy's list of who has them."""

import json
import stat

import pytest

from components.encryption import Malformed, WrongKey
from components.encryption.enrolment import DAY, Enrolment, Scheme
from components.encryption.user import (
    CARD_FILE,
    GRANT_FILE,
    KEY_FILE,
    Grant,
    make_user,
    read_card,
    read_grant,
    read_user,
)
from components.errors import InvalidInput


@pytest.mark.parametrize("passphrase", [None, "four words of it"])
def test_keys_are_read_as_they_were_made_and_closed_to_others(tmp_path, passphrase):
    made = make_user(tmp_path, "ada", passphrase=passphrase)
    read = read_user(tmp_path, passphrase=passphrase)

    assert read == made
    assert read_card(tmp_path / CARD_FILE) == made.card
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600
    assert made.seed.hex() not in (tmp_path / CARD_FILE).read_text() + repr(made)
    assert (made.seed.hex().encode() in (tmp_path / KEY_FILE).read_bytes()) == (passphrase is None)


def test_a_key_is_never_without_its_card(tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("components.encryption.user.create_once", killed)
        with pytest.raises(KeyboardInterrupt):
            make_user(tmp_path, "ada")
    assert not (tmp_path / KEY_FILE).exists()
    assert read_card(tmp_path / CARD_FILE) != make_user(tmp_path, "ada").card == read_card(tmp_path / CARD_FILE)


def test_keys_are_never_replaced(tmp_path):
    make_user(tmp_path, "ada")
    before = (tmp_path / KEY_FILE).read_bytes()
    with pytest.raises(InvalidInput, match="exists already"):
        make_user(tmp_path, "ada")
    assert (tmp_path / KEY_FILE).read_bytes() == before


def test_a_protected_key_opens_with_its_passphrase_alone(tmp_path):
    make_user(tmp_path, "ada", passphrase="right")
    with pytest.raises(InvalidInput, match="passphrase"):
        read_user(tmp_path)
    with pytest.raises(WrongKey):
        read_user(tmp_path, passphrase="wrong")


def test_a_key_that_others_can_read_is_refused(tmp_path):
    make_user(tmp_path, "ada")
    (tmp_path / KEY_FILE).chmod(0o640)
    with pytest.raises(InvalidInput, match="0640"):
        read_user(tmp_path)


@pytest.mark.parametrize("name", ["", "Ada", "../ada", "a/b", "-a", "a" * 64, "a b", "ä", "a@b", "a\n"])
def test_a_name_that_could_lead_elsewhere_is_refused(tmp_path, name):
    with pytest.raises(InvalidInput, match="name"):
        make_user(tmp_path, name)


def test_another_users_grant_is_refused(tmp_path):
    (tmp_path / GRANT_FILE).write_text(Grant("bob", bytes(32)).text())
    assert read_grant(tmp_path, "bob").proxy == bytes(32)
    with pytest.raises(InvalidInput, match="bob"):
        read_grant(tmp_path, "ada")


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"user": 3}', '{"user": "ada", "opens": "00", "signs": "00"}', "\0"])
def test_what_is_no_card_is_refused(tmp_path, text):
    (tmp_path / CARD_FILE).write_text(text)
    with pytest.raises(InvalidInput):
        read_card(tmp_path / CARD_FILE)
    make_user(tmp_path, "ada")
    (tmp_path / KEY_FILE).write_text(text)
    with pytest.raises(Malformed):
        read_user(tmp_path)


def test_epochs_rise_with_rotation_and_with_issuing_after_revocation(tmp_path):
    users = Enrolment(tmp_path / "users.json")
    first, second = make_user(tmp_path / "1", "ada").card, make_user(tmp_path / "2", "ada").card

    assert users.issue(first, days=1, now=0).epoch == 1
    assert users.issue(first, days=9, now=5).expires == DAY
    with pytest.raises(InvalidInput, match="another card"):
        users.issue(second, days=1)
    assert users.rotate("ada", days=2, now=10) == users.find("ada")
    assert (users.find("ada").epoch, users.find("ada").expires) == (2, 10 + 2 * DAY)
    assert users.find("ada").state(11) == "active"
    assert users.find("ada").state(10 + 2 * DAY) == "expired"
    users.revoke("ada")
    users.revoke("ada")
    assert users.find("ada").state(11) == "revoked"
    with pytest.raises(InvalidInput, match="revoked"):
        users.rotate("ada", days=1)
    again = users.issue(second, days=1, now=20)
    assert (again.epoch, again.card, again.revoked) == (3, second, False)
    # Keys that only the secret made necessary end when they did.
    kept = users.rotate("ada", days=None, after=7, now=30)
    assert (kept.epoch, kept.issued, kept.expires) == (8, 30, again.expires)


def test_what_goes_live_is_counted_and_only_for_keys_that_are_good(tmp_path):
    users, scheme = Enrolment(tmp_path / "users.json"), Scheme(mode="hidden")
    ada = users.issue(make_user(tmp_path / "1", "ada").card, days=1)
    first = users.goes_live(ada, "care", scheme, "aa", now=100)
    assert users.goes_live(ada, "care", scheme, "aa", now=200) == first
    second = users.goes_live(ada, "care", scheme, "bb", now=100)
    # A rollback is a change like any other, and a clock set back does not count back.
    assert first < second < users.goes_live(ada, "care", scheme, "aa", now=50)
    assert Enrolment(users.path).find("ada").models["care"].scheme == scheme

    rotated = users.rotate("ada", days=1)
    assert users.goes_live(ada, "care", scheme, "cc") is None
    assert users.goes_live(rotated, "care", scheme, "cc", now=300) == 300
    users.revoke("ada")
    assert users.goes_live(rotated, "care", scheme, "dd") is None
    assert users.find("ada").models["care"].fingerprint == "cc"
    users.withdrawn("ada", "care")
    assert users.find("ada").models == {}


def test_the_list_survives_and_is_nobodys_elses(tmp_path):
    users = Enrolment(tmp_path / "proxy" / "users.json")
    for name in ("bob", "ada"):
        users.issue(make_user(tmp_path / name, name).card, days=1)
    assert [one.user for one in Enrolment(users.path).users()] == ["ada", "bob"]
    assert stat.S_IMODE(users.path.stat().st_mode) == 0o600
    with pytest.raises(InvalidInput, match="carol"):
        users.rotate("carol", days=1)
    users.path.write_text(json.dumps({"ada": {"epoch": 1}}))
    with pytest.raises(InvalidInput, match="backup"):
        users.users()
