"""What was spent is spent for every worker: nonces, and rows of the minute and the day."""

import multiprocessing
import os
import re
import sqlite3
from contextlib import closing

import pytest

import components.encryption.server.spent as book_of_spent
from components.encryption.server.refused import Refused
from components.encryption.server.spent import Quota, Spent, prepare_spent
from components.errors import InvalidInput

NOW = 1_800_000_000.0


def opened(path, *, minute: int = 100, day: int = 1000) -> Spent:
    return Spent(path, Quota(minute, day), keep=180)


def reasons(spent: Spent, *requests) -> list[str]:
    found = []
    for user, nonce, rows, now in requests:
        try:
            spent.spend(user, nonce, rows, now=now)
            found.append("")
        except Refused as refused:
            found.append(refused.reason)
    return found


@pytest.fixture
def path(tmp_path):
    prepare_spent(tmp_path / "spent.db", now=NOW)
    return tmp_path / "spent.db"


def test_a_nonce_is_spent_once_for_each_user_and_whoever_looks(path):
    one, other = opened(path), opened(path)
    assert reasons(one, ("ada", b"n" * 16, 1, NOW), ("bob", b"n" * 16, 1, NOW)) == ["", ""]
    assert reasons(other, ("ada", b"n" * 16, 1, NOW), ("ada", b"m" * 16, 1, NOW)) == ["replay", ""]


def test_users_whose_names_begin_alike_do_not_share_nonces(path):
    assert reasons(opened(path), ("a", b"b" + b"n" * 15, 1, NOW), ("ab", b"n" * 15, 1, NOW)) == ["", ""]


def test_rows_are_counted_by_minute_and_day_and_refusals_are_not(path):
    spent, minute = opened(path, minute=10, day=25), NOW // 60 * 60
    asked = [("ada", bytes([k]) * 16, 6, minute) for k in range(2)]
    assert reasons(spent, *asked) == ["", "quota"]
    assert reasons(spent, ("ada", b"2" * 16, 4, minute), ("bob", b"3" * 16, 10, minute)) == ["", ""]
    later = [("ada", bytes([k + 10]) * 16, 10, minute + 60 * (k + 1)) for k in range(2)]
    assert reasons(spent, *later) == ["", "quota"]
    assert reasons(spent, ("ada", b"9" * 16, 10, minute + 86_400)) == [""]


def test_nonces_are_kept_as_long_as_they_matter(path):
    spent = opened(path)
    reasons(spent, ("ada", b"1" * 16, 1, NOW))
    assert reasons(spent, ("ada", b"1" * 16, 1, NOW + 179)) == ["replay"]
    reasons(spent, ("ada", b"2" * 16, 1, NOW + 400))
    assert spent._book.execute("SELECT count(*) FROM nonces").fetchone() == (1,)


def test_a_new_start_forgets_nothing_and_remembers_when_it_was(path):
    reasons(opened(path), ("ada", b"1" * 16, 60, NOW))
    prepare_spent(path, now=NOW + 5)
    spent = opened(path)
    assert spent.started == NOW + 5
    # A request whose clock was ahead is no older than the start; it was answered all the same.
    assert reasons(spent, ("ada", b"1" * 16, 1, NOW + 10), ("ada", b"2" * 16, 50, NOW + 10)) == ["replay", "quota"]


@pytest.mark.parametrize("content", [b"", b"no database at all " * 300])
def test_a_damaged_file_is_made_anew(path, content):
    path.write_bytes(content)
    prepare_spent(path, now=NOW)
    assert reasons(opened(path), ("ada", b"1" * 16, 1, NOW)) == [""]


def test_a_file_that_another_holds_is_kept(path):
    reasons(opened(path), ("ada", b"1" * 16, 1, NOW))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(InvalidInput, match=re.escape(str(path))):
            prepare_spent(path, now=NOW)
    assert reasons(opened(path), ("ada", b"1" * 16, 1, NOW)) == ["replay"]


def test_a_file_for_which_there_is_no_room_is_kept(path, monkeypatch):
    reasons(opened(path), ("ada", b"1" * 16, 1, NOW))
    connect = sqlite3.connect

    def full(*arguments, **options):
        book = connect(*arguments, **options)
        book.execute(f"PRAGMA max_page_count = {book.execute('PRAGMA page_count').fetchone()[0]}")
        return book

    monkeypatch.setattr(sqlite3, "connect", full)
    monkeypatch.setattr(book_of_spent, "_TABLES", book_of_spent._TABLES + "CREATE TABLE IF NOT EXISTS more (one BLOB);")
    with pytest.raises(InvalidInput, match="full"):
        prepare_spent(path, now=NOW)
    monkeypatch.undo()
    assert reasons(opened(path), ("ada", b"1" * 16, 1, NOW)) == ["replay"]


def _spend_all(path, nonces, accepted) -> None:
    found = reasons(opened(path, minute=10**6, day=10**6), *(("ada", nonce, 1, NOW) for nonce in nonces))
    accepted.put(sum(reason == "" for reason in found))


def test_processes_at_once_accept_each_nonce_once_and_lose_no_row(path):
    context = multiprocessing.get_context("spawn")
    nonces, accepted = [os.urandom(16) for _ in range(300)], context.Queue()
    workers = [context.Process(target=_spend_all, args=(path, nonces, accepted)) for _ in range(3)]
    for worker in workers:
        worker.start()
    assert sum(accepted.get(timeout=60) for _ in workers) == len(nonces)
    for worker in workers:
        worker.join()
    (rows,) = opened(path)._book.execute("SELECT in_day FROM used").fetchone()
    assert rows == len(nonces)
