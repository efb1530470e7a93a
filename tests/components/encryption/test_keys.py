"""Keys: derived the same every time and different for every use; sealed, protected, and refused when wrong."""

import stat

import pytest

from components.encryption import (
    Malformed,
    WrongKey,
    issue,
    master_secret,
    new_user_key,
    public_user_key,
    read_protected,
    seal,
    unseal,
    write_protected,
)
from components.errors import InvalidInput

MASTER = bytes(range(32))


def test_the_same_issue_gives_the_same_keys():
    one, other = (issue(MASTER, user="ada", model="m", epoch=3, bits=2048) for _ in range(2))
    assert one == other
    assert one.paillier.public == other.paillier.public
    assert one.elgamal == other.elgamal


def test_user_model_epoch_size_and_purpose_all_change_the_key():
    issues = [
        issue(MASTER, user=user, model=model, epoch=epoch, bits=bits)
        for user in ("ada", "bob")
        for model in ("m", "mm")
        for epoch in (1, 2)
        for bits in (2048, 3072)
    ]
    issues.append(issue(MASTER[::-1], user="ada", model="m", epoch=1, bits=2048))
    drawn = [one.key(purpose) for one in issues for purpose in ("order", "names")]
    assert len(set(drawn)) == len(drawn)
    assert len({one.elgamal.public for one in issues}) == len(issues)
    assert len({one.decoys for one in issues[:-1]}) == 2


def test_no_secret_is_shown():
    keys = issue(MASTER, user="ada", model="m", epoch=1, bits=2048)
    shown = f"{keys!r} {keys.paillier!r} {keys.elgamal!r}"
    for secret in (keys.root, keys.decoys, keys.elgamal.x):
        assert repr(secret) not in shown
        assert secret.hex() not in shown
    assert str(keys.paillier.p) not in shown


def test_unsafe_sizes_are_refused():
    with pytest.raises(InvalidInput, match="1024"):
        issue(MASTER, user="ada", model="m", epoch=1, bits=1024)
    with pytest.raises(InvalidInput, match="16 bytes"):
        issue(MASTER[:16], user="ada", model="m", epoch=1)


def test_the_master_secret_is_made_once_for_the_proxy_alone(tmp_path):
    path = tmp_path / "proxy" / "master"
    made = master_secret(path)
    assert master_secret(path) == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o640)
    with pytest.raises(InvalidInput, match="0640"):
        master_secret(path)


def test_a_seal_opens_for_its_user_and_context_alone():
    ada, bob = new_user_key(), new_user_key()
    sealed = seal(b"bundle", public_user_key(ada), "ada m 1")
    assert b"bundle" not in sealed
    assert unseal(sealed, ada, "ada m 1") == b"bundle"
    assert seal(b"bundle", public_user_key(ada), "ada m 1") != sealed
    for arguments in ((sealed, bob, "ada m 1"), (sealed, ada, "ada m 2"), (sealed[:-1] + b"\0", ada, "ada m 1")):
        with pytest.raises(WrongKey):
            unseal(*arguments)
    with pytest.raises(Malformed):
        unseal(b"TrS1short", ada, "ada m 1")


def test_keys_that_agree_with_anyone_are_refused():
    for public in (bytes(32), b"short"):
        with pytest.raises(InvalidInput, match="X25519"):
            seal(b"bundle", public, "ada m 1")


def test_a_protected_file_opens_with_its_passphrase_alone(tmp_path):
    path = tmp_path / "ada.key"
    write_protected(path, b"secret", "correct horse")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"secret" not in path.read_bytes()
    assert read_protected(path, "correct horse") == b"secret"
    with pytest.raises(WrongKey, match="passphrase"):
        read_protected(path, "correct house")
    with pytest.raises(InvalidInput, match="exists"):
        write_protected(path, b"other", "correct horse")
    path.chmod(0o644)
    with pytest.raises(InvalidInput, match="0644"):
        read_protected(path, "correct horse")


def test_files_that_are_none_are_refused(tmp_path):
    path = tmp_path / "ada.key"
    with pytest.raises(InvalidInput, match="passphrase"):
        write_protected(path, b"secret", "")
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_protected(path, "any")
    path.write_bytes(b"TrP1")
    path.chmod(0o600)
    with pytest.raises(Malformed):
        read_protected(path, "any")
