"""What `prepare_environment` makes of the home folder it finds."""

import os

import pytest

from components.errors import InvalidInput
from components.secret_file import close_to_others
from tasks.environment import prepare_environment
from tasks.settings import Settings


def modes(*paths) -> list[int]:
    return [path.stat().st_mode & 0o7777 for path in paths]


def test_a_home_of_an_earlier_version_is_closed_to_others(tmp_path, monkeypatch):
    monkeypatch.setattr("tasks.environment.os.environ", dict(os.environ))
    home = tmp_path / "home"
    keys = home / "keys"
    keys.mkdir(parents=True)
    for name in ("rows.key", "ledger.key", "ledger.pub"):
        (keys / name).write_bytes(b"x")
    for path, mode in ((home, 0o755), (keys, 0o755), (keys / "rows.key", 0o644), (keys / "ledger.key", 0o640)):
        path.chmod(mode)
    (keys / "ledger.pub").chmod(0o644)
    prepare_environment(Settings(home=str(home)))

    assert modes(home, keys) == [0o700, 0o700]
    assert modes(keys / "rows.key", keys / "ledger.key", keys / "ledger.pub") == [0o600, 0o600, 0o644]


def test_what_is_meant_for_everybody_or_is_not_there_is_left_alone(tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    close_to_others(shared)
    close_to_others(tmp_path / "nowhere")

    assert modes(shared) == [0o1777]
    assert not (tmp_path / "nowhere").exists()


def test_what_somebody_else_owns_is_left_alone(tmp_path, monkeypatch):
    theirs = tmp_path / "theirs"
    theirs.mkdir(mode=0o755)
    theirs.chmod(0o755)
    owner = os.geteuid()
    monkeypatch.setattr("components.secret_file.os.geteuid", lambda: owner + 1)
    close_to_others(theirs)

    assert modes(theirs) == [0o755]


def test_a_home_that_cannot_be_made_is_named(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    for home in (file, file / "home"):
        with pytest.raises(InvalidInput, match=f"{home} cannot be made.*TROTH_HOME"):
            prepare_environment(Settings(home=str(home)))
