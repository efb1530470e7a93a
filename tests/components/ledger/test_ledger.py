import json
import multiprocessing
import os
import threading
from dataclasses import fields, replace

import pytest

from components.errors import InvalidInput
from components.ledger import (
    Action,
    Entry,
    Head,
    Ledger,
    Reading,
    Statement,
    signing_key,
    standing,
    trusted_keys,
    verify,
)
from components.ledger.entry import hash_of, read_line, seal

NAMES = [field.name for field in fields(Entry)]


def saying(version: str = "1", action: Action = Action.PROMOTED, **said) -> Statement:
    defaults = {
        "replaces": None,
        "model_digest": "m" * 64,
        "schema_digest": "s" * 64,
        "data_digest": "d" * 64,
        "verdict": "PROMOTE",
        "policy": "strict",
        "policy_digest": "p" * 64,
        "reasons": ("fine", "naïve"),
        "run": "r1",
        "who": "ann",
        "why": "",
    }
    return Statement(action=action, version=version, **defaults | said)


@pytest.fixture
def key(tmp_path):
    return signing_key(tmp_path / "keys" / "key", tmp_path / "keys" / "pub")


@pytest.fixture
def keys(key, tmp_path):
    return trusted_keys(tmp_path / "keys" / "pub")


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "ledger", "care")


@pytest.fixture
def written(ledger, key):
    """A ledger of five entries."""
    for version in "12345":
        with ledger.lock():
            ledger.append(saying(version), key)
    return ledger


def problems(ledger, keys, mirror: Head | None = None) -> set[str]:
    return {finding.problem for finding in verify(ledger.read(), model="care", keys=keys, mirror=mirror)}


def rewrite(ledger, change) -> None:
    lines = ledger.path.read_bytes().splitlines(keepends=True)
    ledger.path.write_bytes(b"".join(change(lines)))


def test_what_is_written_is_read_and_sound(written, keys):
    entries = written.entries()
    assert [entry.sequence for entry in entries] == [1, 2, 3, 4, 5]
    assert entries[2].previous_hash == entries[1].hash
    assert entries[0].reasons == ("fine", "naïve")
    head = Head(5, entries[-1].hash)
    assert verify(written.read(), model="care", keys=keys, mirror=head) == ()


def test_the_line_is_canonical_json(written):
    line = written.path.read_bytes().splitlines()[0]
    assert line == json.dumps(json.loads(line), sort_keys=True, separators=(",", ":")).encode()


@pytest.mark.parametrize("line", [2, 4], ids=["middle", "last"])
@pytest.mark.parametrize("name", NAMES)
def test_a_change_to_any_field_is_found(written, keys, name, line):
    def change(lines):
        document = json.loads(lines[line])
        value = document[name]
        document[name] = (
            value + 1
            if isinstance(value, int)
            else [*value, "x"]
            if isinstance(value, list)
            else "hold"
            if name == "action"
            else f"{value or ''}0"
        )
        lines[line] = json.dumps(document, sort_keys=True, separators=(",", ":")).encode() + b"\n"
        return lines

    rewrite(written, change)
    findings = verify(written.read(), model="care", keys=keys, mirror=None)
    assert findings
    assert {finding.sequence for finding in findings} <= {line + 1, line + 2}


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("hash", "signature", "key")])
def test_a_change_with_the_hash_made_to_fit_is_found_by_the_signature(written, keys, name):
    entry = written.entries()[4]
    value = getattr(entry, name)
    changed = replace(
        entry,
        **{
            name: value + 1
            if isinstance(value, int)
            else (*value, "x")
            if isinstance(value, tuple)
            else Action.HOLD
            if name == "action"
            else f"{value}0"
        },
    )
    changed = replace(changed, hash=hash_of(changed))
    rewrite(written, lambda lines: [*lines[:4], changed.line + b"\n"])
    assert "signature" in problems(written, keys)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda lines: lines[1:], "gap"),
        (lambda lines: lines[:2] + lines[3:], "gap"),
        (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], "order"),
        (lambda lines: [*lines[:3], lines[2], *lines[3:]], "order"),
        (lambda lines: [*lines[:2], b"{}\n", *lines[3:]], "unreadable"),
        (lambda lines: [*lines[:2], b"\n", *lines[2:]], "unreadable"),
        (lambda lines: [lines[0].replace(b",", b", "), *lines[1:]], "unreadable"),
        (lambda lines: [lines[0][:-2] + b',"x":1}\n', *lines[1:]], "unreadable"),
    ],
    ids=["first deleted", "deleted", "reordered", "repeated", "emptied", "inserted", "respelled", "extended"],
)
def test_damage_is_found(written, keys, change, found):
    rewrite(written, change)
    assert found in problems(written, keys)


def test_an_entry_of_another_history_under_the_same_key_is_found(written, keys, key):
    second, third = written.entries()[1:3]
    other = seal(saying("7"), model="care", time=third.time, previous=second, key=key)
    rewrite(written, lambda lines: [*lines[:2], other.line + b"\n", *lines[3:]])
    findings = verify(written.read(), model="care", keys=keys, mirror=None)
    assert [(finding.sequence, finding.problem) for finding in findings] == [(4, "chain")]


def test_truncation_shows_only_against_the_mirror(written, keys):
    entries = written.entries()
    rewrite(written, lambda lines: lines[:3])
    assert problems(written, keys) == set()
    assert problems(written, keys, Head(5, entries[4].hash)) == {"head"}
    rewrite(written, lambda lines: [])
    assert problems(written, keys, Head(5, entries[4].hash)) == {"head"}


def test_the_mirror_may_lag_behind_by_one_entry_and_no_more(written, keys):
    entries = written.entries()
    heads = [Head(entry.sequence, entry.hash) for entry in entries]
    assert problems(written, keys, heads[3]) == set()
    assert problems(written, keys, Head(4, entries[4].hash)) == set()
    assert problems(written, keys, heads[2]) == {"head"}
    assert problems(written, keys, Head()) == {"head"}
    assert problems(written, keys, Head(5, "0" * 64)) == {"head"}


def test_a_foreign_key_is_found(written, keys, tmp_path):
    foreign = signing_key(tmp_path / "other", tmp_path / "other.pub")
    with written.lock():
        written.append(saying("6"), foreign)
    assert problems(written, keys) == {"unknown key"}
    last = written.entries()[-1]
    claiming = seal(
        saying("6"),
        model="care",
        time=last.time,
        previous=written.entries()[-2],
        key=replace(foreign, name=next(iter(keys.keys))),
    )
    rewrite(written, lambda lines: [*lines[:5], claiming.line + b"\n"])
    assert problems(written, keys) == {"signature"}


def test_entries_about_another_model_are_found(written, keys):
    assert {f.problem for f in verify(written.read(), model="other", keys=keys, mirror=None)} == {"model"}


@pytest.mark.parametrize("cut", [1, 40, -1])
def test_a_torn_last_line_is_set_aside_by_the_next_writer(written, keys, key, cut):
    lines = written.path.read_bytes().splitlines(keepends=True)
    torn = lines[4][:cut]
    written.path.write_bytes(b"".join(lines[:4]) + torn)
    assert len(written.entries()) == 4
    with written.lock():
        assert written.append(saying("6"), key).sequence == 5
    assert problems(written, keys) == set()
    assert [entry.version for entry in written.entries()] == ["1", "2", "3", "4", "6"]
    assert written.path.with_suffix(".torn").read_bytes() == torn + b"\n"


def test_a_broken_middle_is_an_error_that_names_the_entry(written, key):
    rewrite(written, lambda lines: [*lines[:2], b"rubbish\n", *lines[3:]])
    with pytest.raises(InvalidInput, match="entry 3"):
        written.entries()
    with pytest.raises(InvalidInput, match="entry 3"):
        written.append(saying("6"), key)


def test_every_line_that_is_no_entry_reads_as_none():
    for line in (b"", b"1", b"null", b"[]", b"{}", b"\xff", b'{"action":"fly"}'):
        assert read_line(1, line) == Reading(1, None)


def write_many(folder, keys, count) -> None:
    ledger = Ledger(folder, "care")
    key = signing_key(keys / "key", keys / "pub")
    for _ in range(count):
        with ledger.lock():
            ledger.append(saying(str(os.getpid())), key)


def test_writers_in_many_processes_take_turns_and_make_one_key(tmp_path):
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_many, args=(tmp_path / "l", tmp_path / "k", 10)) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0] * 4
    ledger = Ledger(tmp_path / "l", "care")
    assert len(ledger.entries()) == 40
    assert problems(ledger, trusted_keys(tmp_path / "k" / "pub")) == set()
    assert sorted(path.name for path in (tmp_path / "k").iterdir()) == ["key", "pub"]


def test_threads_take_turns_too(ledger, key):
    def write():
        for _ in range(5):
            with ledger.lock():
                ledger.append(saying(), key)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [entry.sequence for entry in ledger.entries()] == list(range(1, 21))


def entries_of(key, *actions: tuple[Action, str]) -> list[Entry]:
    entries = []
    for action, version in actions:
        previous = entries[-1] if entries else None
        entries.append(seal(saying(version, action), model="care", time="t", previous=previous, key=key))
    return entries


def test_standing_follows_promotions_and_rollbacks(key):
    first = [(Action.PROMOTE, "1"), (Action.PROMOTED, "1"), (Action.HOLD, "9"), (Action.OVERRIDE, "2")]
    pending = standing(entries_of(key, *first))
    assert (pending.champion, pending.previous, pending.pending.version) == ("1", None, "2")
    assert pending.backing("1").action is Action.PROMOTED
    assert pending.backing("2").action is Action.OVERRIDE
    assert pending.backing("9") is None
    done = standing(entries_of(key, *first, (Action.PROMOTED, "2")))
    assert (done.champion, done.previous, done.pending, done.backing("1")) == ("2", "1", None, None)
    back = standing(entries_of(key, *first, (Action.PROMOTED, "2"), (Action.ROLLBACK, "1"), (Action.ROLLED_BACK, "1")))
    assert (back.champion, back.previous, back.pending) == ("1", None, None)
    given_up = standing(entries_of(key, *first, (Action.ABANDON, "2")))
    assert (given_up.champion, given_up.pending) == ("1", None)
    assert standing([]).champion is None
