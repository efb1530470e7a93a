"""A shelf is followed while it changes, holds what is needed and no more, and nothing that could be read."""

import errno

import numpy as np
import pytest

from components.encryption import Malformed
from components.encryption.forest import read_forest
from components.encryption.server import has_file, put_file, read_index, shelf, sweep
from components.encryption.server.shelf import Shelf


def test_a_new_live_version_is_found_without_a_restart(stand, published):
    reader = Shelf(stand.shelf)
    assert reader.find("care", "ada") is None
    first = stand.publish("ada", published("binary"), kind="binary")
    assert reader.find("care", "ada") == first
    second = stand.publish("ada", published("binary", epoch=2), kind="binary", version="2", epoch=2)
    assert reader.find("care", "ada") == second
    assert reader.load(second).fingerprint.hex() == second.fingerprint
    assert not has_file(stand.shelf, first.artifact)


def test_few_models_are_kept_in_memory(stand, published):
    entries = [stand.publish(name, published("binary", user=name), kind="binary") for name in ("ada", "bob")]
    reader = Shelf(stand.shelf, most_models=1)
    for entry in entries:
        reader.load(entry)
    assert reader.loaded(entries[0]) is None
    assert reader.loaded(entries[1])


def test_what_is_asked_stays_and_what_nobody_asks_goes(stand, published):
    ada, bob, cyd = (
        stand.publish(name, published("binary", user=name), kind="binary") for name in ("ada", "bob", "cyd")
    )
    reader = Shelf(stand.shelf, most_models=2)
    reader.load(ada), reader.load(bob)
    assert reader.loaded(ada)
    reader.load(cyd)
    assert (reader.loaded(bob), bool(reader.loaded(ada))) == (None, True)


@pytest.mark.parametrize("content", ["", "{", "[3]", '[{"user": "ada"}]', "null"])
def test_a_damaged_index_is_empty_until_the_next_look(stand, published, content):
    entry = stand.publish("ada", published("binary"), kind="binary")
    reader = Shelf(stand.shelf)
    (stand.shelf / "index.json").write_text(content)
    assert (reader.find("care", "ada"), read_index(stand.shelf)) == (None, [])
    stand.put(entry)
    assert reader.find("care", "ada") == entry


def test_a_damaged_file_is_noticed(stand, published):
    entry = stand.publish("ada", published("binary"), kind="binary")
    path = stand.shelf / entry.artifact
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(Malformed, match="damaged"):
        Shelf(stand.shelf).load(entry)
    # Whoever follows the registry sees that it is missing.
    assert not has_file(stand.shelf, entry.artifact)


def test_an_artifact_under_other_keys_than_the_index_says_is_refused(stand, published):
    entry = stand.publish("ada", published("binary"), kind="binary")
    wrong = stand.change("ada", fingerprint="00" * 16)
    assert read_index(stand.shelf) == [wrong]
    assert wrong.artifact == entry.artifact
    with pytest.raises(Malformed, match="another key"):
        Shelf(stand.shelf).load(wrong)


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(shelf.os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        put_file(tmp_path, b"content")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_behind_is_swept_away(stand, published):
    stand.publish("ada", published("binary"), kind="binary")
    before = set(stand.shelf.iterdir())
    (stand.shelf / f".{'0' * 64}.0123456789abcdef").write_bytes(b"half a file")
    sweep(stand.shelf)
    assert set(stand.shelf.iterdir()) == before


@pytest.mark.parametrize("mode", ["order", "hidden"])
def test_nothing_on_the_shelf_tells_a_threshold_a_leaf_or_a_name(stand, published, cases, mode):
    publication = published("multiclass", mode)
    stand.publish("ada", publication, kind="multiclass")
    content = b"".join(path.read_bytes() for path in sorted(stand.shelf.iterdir()))
    forest = read_forest(cases["multiclass"].booster)
    thresholds = forest.threshold[~np.isnan(forest.threshold)]
    secrets = [name.encode() for name in (*forest.features, "town 3", "high")]
    secrets += [value.tobytes() for value in thresholds if value not in (0, 1, 2, 3, 4)]
    secrets += [value.tobytes() for value in forest.value[forest.is_leaf]]
    secrets += [np.float32(value).tobytes() for value in forest.value[forest.is_leaf]]
    # A word of four octets is met by chance once in 2^32 places; the artifact has some 2^20.
    assert sum(secret in content for secret in set(secrets)) <= 1
