"""Clients and a real server of several processes: the plain model's predictions, whatever happens meanwhile."""

import asyncio
import json
import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from components.encryption import Malformed, WrongKey
from components.encryption.bundle import Opened
from components.encryption.client import AsyncEncryptedModelClient, EncryptedModelClient, RefusedByServer
from components.encryption.client.exchange import Exchange, Received
from components.encryption.request import JSON_LENGTH
from components.encryption.server import LIVE, REVOKED, Former, put_file
from components.encryption.server.protocol import read_asked, write_asked
from components.errors import InvalidInput
from tests.components.encryption.trial_server import MODEL, grant, schema_of, terms_of, user


@pytest.fixture(scope="module", autouse=True)
def _shelved(lasting, published):
    """Users by what they ask: two ask the same binary model."""
    for name, kind in {"ada": "binary", "bob": "binary", "mia": "multiclass", "rae": "regression"}.items():
        lasting.publish(name, published(kind, user=name), kind=kind)
    lasting.publish("hal", published("binary", "hidden", user="hal"), kind="binary")


def plain(cases, kind: str, count: int) -> np.ndarray:
    case = cases[kind]
    return case.booster.inplace_predict(case.rows[:count])


def keeps_asking(client, frame, expected, *, until: threading.Event) -> tuple[threading.Thread, list]:
    """A thread that asks again and again, and what went otherwise than expected."""
    troubles = []

    def ask() -> None:
        while not until.is_set():
            try:
                found = client.predict(frame)
                if np.abs(found - expected).max() > 1e-5:
                    troubles.append(found)
            except Exception as trouble:
                troubles.append(trouble)
                return

    thread = threading.Thread(target=ask)
    thread.start()
    return thread, troubles


@pytest.mark.parametrize(("name", "kind"), [("ada", "binary"), ("mia", "multiclass"), ("rae", "regression")])
def test_predictions_are_the_plain_models(asking, frame_of, cases, name, kind):
    frame = frame_of(cases[kind].rows[:40], kind)
    found = asking(name).predict(frame.assign(unused="x")[list(reversed(frame.columns)) + ["unused"]])
    tolerance = 1e-5 * max(1.0, float(np.abs(plain(cases, kind, 40)).max()))
    np.testing.assert_allclose(found, plain(cases, kind, 40), atol=tolerance)


def test_probabilities_are_of_every_class(asking, frame_of, cases):
    two = asking("ada").predict_proba(frame_of(cases["binary"].rows[:5]))
    three = asking("mia").predict_proba(frame_of(cases["multiclass"].rows[:5], "multiclass"))
    assert (two.shape, three.shape) == ((5, 2), (5, 3))
    np.testing.assert_allclose(two[:, 1], plain(cases, "binary", 5), atol=1e-5)
    np.testing.assert_allclose([*two.sum(axis=1), *three.sum(axis=1)], 1, atol=1e-6)
    with pytest.raises(InvalidInput, match="probabilities"):
        asking("rae").predict_proba(frame_of(cases["regression"].rows[:1], "regression"))


def test_more_rows_than_a_query_holds(asking, frame_of, cases):
    rows = np.tile(cases["binary"].rows, (4, 1))
    expected = np.tile(plain(cases, "binary", 300), 4)
    np.testing.assert_allclose(asking("ada").predict(frame_of(rows)), expected, atol=1e-5)


def test_many_questions_at_once(server, frame_of, cases):
    async def ask() -> np.ndarray:
        async with AsyncEncryptedModelClient(server.address, MODEL, user("bob"), grant("bob")) as client:
            parts = [client.predict(frame_of(cases["binary"].rows[k : k + 5])) for k in range(0, 100, 5)]
            both = await client.predict_proba(frame_of(cases["binary"].rows[:3]))
            assert both.shape == (3, 2)
            return np.concatenate(await asyncio.gather(*parts))

    np.testing.assert_allclose(asyncio.run(ask()), plain(cases, "binary", 100), atol=1e-5)


def test_two_users_ask_the_same_model_and_cannot_read_one_another(asking, frame_of, cases, lasting):
    frame = frame_of(cases["binary"].rows[:3])
    ada, bob = asking("ada"), asking("bob")
    np.testing.assert_allclose(ada.predict(frame), bob.predict(frame), atol=1e-9)
    query = ada.exchange.opened.client.encrypt(cases["binary"].rows[:3])
    answer = lasting_model(lasting, "ada").answer(query)
    with pytest.raises(WrongKey):
        bob.exchange.opened.client.decrypt(answer)
    with pytest.raises(WrongKey):
        lasting_model(lasting, "bob").answer(query)


def lasting_model(lasting, name):
    from components.encryption import read_model

    return read_model((lasting.shelf / lasting.entries[name].artifact).read_bytes())


def test_a_stranger_learns_nothing(server, frame_of, cases):
    with EncryptedModelClient(server.address, MODEL, user("eve"), grant("eve")) as eve:
        with pytest.raises(RefusedByServer) as refused:
            eve.predict(frame_of(cases["binary"].rows[:1]))
        assert (refused.value.status, refused.value.reason) == (401, "signature")
    thief = replace(user("eve"), user="ada")
    with EncryptedModelClient(server.address, MODEL, thief, grant("ada")) as eve, pytest.raises(RefusedByServer):
        eve.open()


def test_a_client_that_does_not_know_this_proxy_stops(server):
    other = replace(grant("ada"), proxy=bytes(31) + b"\x02")
    with (
        EncryptedModelClient(server.address, MODEL, user("ada"), other) as client,
        pytest.raises(WrongKey, match="not signed"),
    ):
        client.open()


def test_rotation_while_requests_run_disturbs_nobody(asking, frame_of, cases, lasting, published):
    client, stop = asking("ada"), threading.Event()
    thread, troubles = keeps_asking(client, frame_of(cases["binary"].rows[:3]), plain(cases, "binary", 3), until=stop)
    for epoch in (2, 3):
        time.sleep(0.4)
        before = lasting.entries["ada"]
        former = (*before.former, Former(before.version, before.epoch, before.fingerprint))
        made = published("binary", user="ada", epoch=epoch)
        lasting.publish("ada", made, kind="binary", version=str(epoch), epoch=epoch)
        lasting.change("ada", former=former)
    time.sleep(0.6)
    stop.set()
    thread.join(30)
    assert troubles == []
    assert client.exchange.opened.terms.epoch == 3


def test_a_server_cannot_lead_a_client_back(asking, frame_of, cases, lasting, published):
    """To an older epoch, to an older champion, or from mode `hidden` to `order`, though the proxy signed all of it."""
    client, frame = asking("bob"), frame_of(cases["binary"].rows[:1])
    earlier = lasting.entries["bob"]
    kept = [(lasting.shelf / digest).read_bytes() for digest in (earlier.artifact, earlier.bundle)]
    later = lasting.publish("bob", published("binary", "hidden", user="bob"), kind="binary", version="2")
    client.predict(frame)
    for content in kept:
        put_file(lasting.shelf, content)
    lasting.put(earlier)
    with pytest.raises(WrongKey, match="mode order.* after .*mode hidden"):
        client.predict(frame)
    # What the server says of an old version beside a new bundle is no word of the proxy's.
    lasting.put(replace(earlier, word=later.word))
    with pytest.raises(WrongKey, match="not signed"):
        client.predict(frame)
    # A rollback that the proxy means has a word of its own.
    lasting.publish("bob", published("binary", user="bob"), kind="binary", version="1")
    client.predict(frame)
    assert client.exchange.opened.terms.mode == "order"


def test_an_answer_that_comes_late_is_no_older_bundle(lasting, published, frame_of):
    """Two questions of one client, of which the first one's bundle is overtaken by a rotation."""
    exchange = Exchange("http://127.0.0.1", MODEL, user("bob"), grant("bob"))
    bundles = []
    for epoch in (1, 2):
        entry = lasting.publish("bob", published("binary", user="bob", epoch=epoch), kind="binary", epoch=epoch)
        bundles.append(Received(200, {"troth-live": entry.word}, (lasting.shelf / entry.bundle).read_bytes()))
    first, second = exchange.renew(), exchange.renew()
    next(first), next(second)
    epochs = []
    for dialogue, received in ((second, bundles[1]), (first, bundles[0])):
        with pytest.raises(StopIteration) as end:
            dialogue.send(received)
        epochs.append(end.value.value.terms.epoch)
    assert epochs == [2, 2]
    third = exchange.renew()
    next(third)
    with pytest.raises(WrongKey, match="epoch 1.* after .*epoch 2"):
        third.send(bundles[0])


def test_nothing_is_decrypted_before_everything_is_answered(published, lasting, cases):
    made = published("stumps", "hidden")
    opened = Opened(terms_of("ada", made), 1, schema_of("binary"), made.client)
    asked = Exchange("http://127.0.0.1", MODEL, user("ada"), grant("ada"))._asked(opened, cases["stumps"].rows[:9])
    done, sent = [], next(asked)
    while not done:
        query = read_asked(sent.body, sent.headers[JSON_LENGTH]).query
        body, length = write_asked(made.model.answer(query))
        try:
            sent = asked.send(Received(200, {JSON_LENGTH: length}, body))
        except StopIteration as end:
            done.append(end.value)
    np.testing.assert_allclose(done[0], cases["stumps"].margins(cases["stumps"].rows[:9]), atol=1e-4)

    asked = Exchange("http://127.0.0.1", MODEL, user("ada"), grant("ada"))._asked(opened, cases["stumps"].rows[:9])
    next(asked)
    nonsense = Received(200, {JSON_LENGTH: "0"}, write_asked(b"no answer")[0])
    asked.send(nonsense), asked.send(nonsense)
    with pytest.raises(Malformed):
        asked.send(nonsense)


def test_a_busy_server_is_asked_again_when_it_says_and_at_last_believed():
    exchange = Exchange("http://server", MODEL, user("ada"), grant("ada"))
    dialogue, pauses = exchange.renew(), []
    body = json.dumps({"error": "too many long questions are waiting; ask again", "reason": "busy"}).encode()
    next(dialogue)
    for said in ("2", "3600", "-1", "soon", ""):
        pauses.append(dialogue.send(Received(503, {"retry-after": said}, body)).pause)
    with pytest.raises(RefusedByServer, match="too many long questions") as refused:
        dialogue.send(Received(503, {}, body))
    assert refused.value.reason == "busy"
    assert pauses == [2, 5, 0.5, 0.5, 0.5]


def test_a_quota_of_the_minute_is_waited_for_and_one_of_the_day_is_not():
    body = b'{"error": "no rows left", "reason": "quota"}'
    dialogue = Exchange("http://127.0.0.1", MODEL, user("ada"), grant("ada")).renew()
    next(dialogue)
    assert dialogue.send(Received(429, {"retry-after": "37"}, body)).pause == 37
    with pytest.raises(RefusedByServer, match="no rows left"):
        dialogue.send(Received(429, {"retry-after": "40000"}, body))


def test_a_servers_words_cannot_steer_a_terminal():
    said = json.dumps({"error": "\x1b]0;owned\x07\x1b[2Jpay\u009b\u202ehere\n", "reason": "\x1b[1m"}).encode()
    dialogue = Exchange("http://127.0.0.1", MODEL, user("ada"), grant("ada")).renew()
    next(dialogue)
    with pytest.raises(RefusedByServer) as refused:
        dialogue.send(Received(403, {}, said))
    assert "pay" in str(refused.value)
    assert (str(refused.value) + refused.value.reason).isprintable()


def test_the_two_lines_of_the_module_are_enough(server, frame_of, cases):
    client = EncryptedModelClient(server.address, MODEL, user("ada"), grant("ada"))
    np.testing.assert_allclose(client.predict(frame_of(cases["binary"].rows[:2])), plain(cases, "binary", 2), atol=1e-5)
    client.__exit__()


def test_an_answer_has_a_largest_size(server, monkeypatch):
    monkeypatch.setattr("components.encryption.client.model._MOST_BYTES", 100)
    with (
        EncryptedModelClient(server.address, MODEL, user("ada"), grant("ada")) as client,
        pytest.raises(Malformed, match="larger"),
    ):
        client.open()


def test_revocation_while_requests_run_ends_them_with_the_reason(asking, frame_of, cases, lasting):
    client, stop = asking("mia"), threading.Event()
    thread, troubles = keeps_asking(
        client, frame_of(cases["multiclass"].rows[:3], "multiclass"), plain(cases, "multiclass", 3), until=stop
    )
    time.sleep(0.4)
    lasting.change("mia", state=REVOKED)
    thread.join(30)
    stop.set()
    assert [(one.status, one.reason) for one in troubles] == [(403, "revoked")]
    lasting.change("mia", state=LIVE)


def test_a_worker_killed_in_mid_request_is_replaced_and_the_request_answered(asking, server, frame_of, cases):
    client, frame = asking("hal"), frame_of(cases["binary"].rows[:4])
    client.open()
    found = []
    thread = threading.Thread(target=lambda: found.append(client.predict(frame)))
    before = server.pids()
    thread.start()
    time.sleep(0.2)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    thread.join(90)
    np.testing.assert_allclose(found[0], plain(cases, "binary", 4), atol=1e-4)
    assert not set(before) & set(server.pids())


@pytest.mark.parametrize("are_new", [False, True])
def test_workers_end_when_nobody_follows_the_registry_for_them(server, are_new):
    """As after `kill -9` of the first process, whose children would answer revoked users for ever."""
    workers = server.pids()
    if are_new:
        # They have only begun to start when the first process dies.
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while len(set(server.pids()) - set(workers)) < len(workers):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        workers = server.pids()
        time.sleep(0.5)
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait()
    deadline = time.monotonic() + 60
    while any(is_running(pid) for pid in workers):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    server.start()


def is_running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_a_server_that_lost_power_forgets_nothing_that_matters(asking, server, frame_of, cases):
    client, frame = asking("rae"), frame_of(cases["regression"].rows[:2], "regression")
    client.predict(frame)
    server.kill()
    started = time.monotonic()
    with pytest.raises(RefusedByServer, match="does not answer") as refused:
        client.predict(frame)
    assert refused.value.reason == "silent"
    assert time.monotonic() - started < 30
    server.start()
    np.testing.assert_allclose(client.predict(frame), plain(cases, "regression", 2), rtol=1e-5)


def test_what_a_person_gets_wrong_is_one_sentence(asking, frame_of, cases):
    frame = frame_of(cases["regression"].rows[:1], "regression")
    client = asking("rae")
    with pytest.raises(InvalidInput, match="marker"):
        client.predict(frame.drop(columns="marker"))
    with pytest.raises(InvalidInput, match="dose"):
        client.predict(frame.assign(dose="many"))
    with pytest.raises(InvalidInput, match="no rows"):
        client.predict(pd.DataFrame(columns=frame.columns))
    for address in ("http://models.example.org", "models.example.org", "ftp://127.0.0.1"):
        with pytest.raises(InvalidInput, match="example|ftp"):
            EncryptedModelClient(address, MODEL, user("ada"), grant("ada"))


def test_the_server_ends_when_it_is_told_to(server):
    assert server.stop() == 0
