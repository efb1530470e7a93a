"""What the server answers over the Open Inference Protocol, and what it refuses: with which status and reason."""

import asyncio
import base64
import io
import json
import time
from contextlib import suppress
from dataclasses import replace

import httpx
import numpy as np
import pytest

from components.encryption import Malformed, WrongKey
from components.encryption.request import JSON_LENGTH
from components.encryption.server import REVOKED, Former
from components.encryption.server.admission import Admission
from components.encryption.server.app import create_app
from components.encryption.server.observed import Log
from components.encryption.server.protocol import read_answer, write_asked
from components.encryption.server.run import SPENT
from components.encryption.server.spent import Quota, Spent, prepare_spent
from tests.components.encryption.trial_server import MODEL, Asking, infer, infer_json, signed, user

ADA = user("ada")


@pytest.fixture
def made(published, stand):
    """Ada's model in mode `order`, live as version 1."""
    publication = published("multiclass")
    stand.publish("ada", publication, kind="multiclass")
    return publication


def assert_refused(response, status: int, reason: str) -> None:
    assert (response.status_code, response.json()["reason"]) == (status, reason), response.text
    assert response.json()["error"]


def tensor(data: str, **changes) -> dict:
    return {"name": "query", "shape": [1], "datatype": "BYTES", "data": [data], **changes}


@pytest.mark.parametrize("mode", ["order", "hidden"])
def test_margins_come_back_as_xgboost_gives_them(http, stand, published, cases, mode):
    http.admission.spent.quota = Quota(10_000, 10_000)
    publication, rows = published("multiclass", mode), cases["multiclass"].rows[:2]
    stand.publish("ada", publication, kind="multiclass")
    response = http(infer(ADA, publication.client.encrypt(rows)))

    assert response.status_code == 200
    answer = read_answer(response.content, response.headers[JSON_LENGTH])
    margins = publication.client.decrypt(answer)
    np.testing.assert_allclose(margins, cases["multiclass"].margins(rows), atol=1e-5 if mode == "order" else 1e-4)


def test_a_batch_of_every_edge_is_answered(http, made, cases):
    rows = cases["multiclass"].edges
    response = http(infer(ADA, made.client.encrypt(rows)))
    margins = made.client.decrypt(read_answer(response.content, response.headers[JSON_LENGTH]))
    np.testing.assert_allclose(margins, cases["multiclass"].margins(rows), atol=1e-5)


def test_json_goes_the_same_way(http, made, cases):
    rows = cases["multiclass"].rows[:3]
    data = base64.b64encode(made.client.encrypt(rows)).decode()
    response = http(infer_json(ADA, {"id": "seven", "inputs": [tensor(data)]}))
    said = response.json()

    assert (said["model_name"], said["model_version"], said["id"]) == (MODEL, "1", "seven")
    assert [one["name"] for one in said["outputs"]] == ["answer"]
    margins = made.client.decrypt(base64.b64decode(said["outputs"][0]["data"][0]))
    np.testing.assert_allclose(margins, cases["multiclass"].margins(rows), atol=1e-5)


def test_json_in_and_binary_out_if_asked(http, made, cases):
    data = base64.b64encode(made.client.encrypt(cases["multiclass"].rows[:1])).decode()
    outputs = [{"name": "answer", "parameters": {"binary_data": True}}]
    response = http(infer_json(ADA, {"inputs": [tensor(data)], "outputs": outputs}))
    assert len(made.client.decrypt(read_answer(response.content, response.headers[JSON_LENGTH]))) == 1


def test_metadata_and_health(http, made):
    for target in (f"/v2/models/{MODEL}", f"/v2/models/{MODEL}/versions/1"):
        said = http(signed(ADA, "GET", target)).json()
        assert (said["name"], said["versions"], said["platform"]) == (MODEL, ["1"], "troth_order")
        assert said["inputs"] == [{"name": "query", "datatype": "BYTES", "shape": [1]}]
        assert http(signed(ADA, "GET", f"{target}/ready")).json()["ready"] is True
    assert http.plain("GET", "/v2").json()["extensions"] == ["binary_tensor_data"]
    assert http.plain("GET", "/v2/health/live").json() == {"live": True}
    assert http.plain("GET", "/v2/health/ready").json() == {"ready": True}


def test_a_server_that_never_heard_of_a_registry_is_not_ready(http):
    assert http.plain("GET", "/v2/health/ready").status_code == 503


def test_the_size_of_an_answer_says_nothing(http, made, cases):
    sizes = {len(http(infer(ADA, made.client.encrypt(cases["multiclass"].rows[k : k + 1]))).content) for k in range(20)}
    assert len(sizes) == 1


def test_a_replay_is_refused(http, made, cases):
    asking = infer(ADA, made.client.encrypt(cases["multiclass"].rows[:1]))
    assert http(asking).status_code == 200
    assert_refused(http(asking), 409, "replay")
    assert http(infer(ADA, made.client.encrypt(cases["multiclass"].rows[:1]))).status_code == 200


@pytest.mark.parametrize("seconds", [-61, 61, -1e9])
def test_a_request_of_another_time_is_refused(http, made, cases, seconds):
    query = made.client.encrypt(cases["multiclass"].rows[:1])
    assert_refused(http(infer(ADA, query, now=time.time() + seconds)), 401, "expired")


def test_a_request_from_before_the_start_is_refused(http, made, cases):
    query = made.client.encrypt(cases["multiclass"].rows[:1])
    assert_refused(http(infer(ADA, query, now=time.time() - 30)), 401, "expired")


def test_a_server_started_while_its_clock_was_ahead_answers_once_it_is_set(http, stand, made, cases):
    prepare_spent(stand.shelf.parent / SPENT, now=time.time() + 3600)
    spent = Spent(stand.shelf.parent / SPENT, http.admission.spent.quota, keep=180)
    transport = httpx.ASGITransport(create_app(Admission(http.admission.shelf, spent), log=Log(http.log)))
    query, recorded = made.client.encrypt(cases["multiclass"].rows[:1]), time.time() - 30

    async def statuses(*asked: Asking) -> list[int]:
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            sent = [(one.method, one.target, {"headers": one.headers, "content": one.body}) for one in asked]
            return [(await client.request(*where, **what)).status_code for *where, what in sent]

    assert asyncio.run(statuses(infer(ADA, query, now=recorded))) == [401]
    time.sleep(0.01)  # requests tell whole milliseconds
    # What was made before the server knew better stays refused.
    assert asyncio.run(statuses(infer(ADA, query), infer(ADA, query, now=recorded))) == [200, 401]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"troth_signature": None}, "unsigned"),
        ({"troth_signature": "00"}, "unsigned"),
        ({"troth_nonce": "zz" * 16}, "unsigned"),
        ({"troth_time": "-1"}, "unsigned"),
        ({"troth_time": "1" * 40}, "unsigned"),
        ({"troth_time": "٣"}, "unsigned"),
        ({"troth_digest": None}, "unsigned"),
        ({"troth_digest": "00" * 31}, "unsigned"),
        ({"troth_digest": "00" * 32}, "signature"),
        ({"troth_user": None}, "signature"),
        ({"troth_user": "bob"}, "signature"),
        ({"troth_nonce": "00" * 16}, "signature"),
        ({"troth_signature": "00" * 64}, "signature"),
        ({"inference_header_content_length": "3"}, "signature"),
    ],
)
def test_a_signature_covers_everything(http, made, cases, changes, reason):
    asking = infer(ADA, made.client.encrypt(cases["multiclass"].rows[:1]))
    bent = asking.bent(**{name: value if value is None else value.encode() for name, value in changes.items()})
    assert_refused(http(bent), 401, reason)
    assert http(asking).status_code == 200


def test_a_changed_body_or_address_is_not_signed(http, made, cases):
    asking = infer(ADA, made.client.encrypt(cases["multiclass"].rows[:1]))
    for changed in (
        replace(asking, body=asking.body + b" "),
        replace(asking, target=asking.target + "?a=1"),
        replace(asking, target=asking.target.replace("/infer", "/versions/1/infer")),
    ):
        assert_refused(http(changed), 401, "signature")


def test_nobody_asks_anothers_model(http, stand, published, made, cases):
    other = published("multiclass", user="bob")
    stand.publish("bob", other, kind="multiclass")
    rows = cases["multiclass"].rows[:1]
    # Bob's signature leads to Bob's model, which is under other keys than Ada's query.
    assert_refused(http(infer(user("bob"), made.client.encrypt(rows))), 409, "wrong_key")
    response = http(infer(user("bob"), other.client.encrypt(rows)))
    answer = read_answer(response.content, response.headers[JSON_LENGTH])
    np.testing.assert_allclose(other.client.decrypt(answer), cases["multiclass"].margins(rows), atol=1e-5)
    with pytest.raises((WrongKey, Malformed)):
        made.client.decrypt(answer)


def test_revoked_and_expired_keys_are_told_so(http, stand, made, cases):
    query = made.client.encrypt(cases["multiclass"].rows[:1])
    stand.change("ada", expires=time.time() - 1)
    assert_refused(http(infer(ADA, query)), 403, "keys_expired")
    stand.change("ada", state=REVOKED)
    assert_refused(http(infer(ADA, query)), 403, "revoked")
    assert_refused(http(signed(ADA, "GET", f"/v2/models/{MODEL}/bundle")), 403, "revoked")


def test_another_epoch_is_told_apart_from_another_version(http, stand, published, made, cases):
    old = stand.entries["ada"]
    query = made.client.encrypt(cases["multiclass"].rows[:1])
    stand.publish("ada", published("multiclass", epoch=2), kind="multiclass", version="2", epoch=2)
    stand.change("ada", former=(Former("1", 1, old.fingerprint),))
    assert_refused(http(infer(ADA, query)), 409, "wrong_epoch")
    assert_refused(http(infer(ADA, query, version="1")), 409, "wrong_epoch")
    stand.change("ada", epoch=1)
    assert_refused(http(infer(ADA, query)), 409, "superseded")
    assert_refused(http(infer(ADA, query, version="7")), 404, "version")
    assert "epoch 1" in http(infer(ADA, query)).json()["error"]


def test_compressed_bodies_are_refused(http, made):
    asking = signed(ADA, "POST", f"/v2/models/{MODEL}/infer", b"x").bent(content_encoding="gzip")
    assert_refused(http(asking), 415, "encoding")


@pytest.mark.parametrize(
    "query",
    [b"", b"TrO1", bytes(24), b"TrO1" + bytes(20), b"TrH1" + bytes(40)],
    ids=["empty", "short", "no magic", "zeros", "other mode"],
)
def test_what_is_no_query_is_refused(http, made, query):
    response = http(infer(ADA, query))
    assert (response.status_code, response.json()["reason"]) in {(400, "malformed"), (409, "wrong_key")}


@pytest.mark.parametrize("rows", [0, 2, 4096, 4097, 2**32 - 1])
def test_rows_that_do_not_fit_the_length_are_refused(http, made, cases, rows):
    query = bytearray(made.client.encrypt(cases["multiclass"].rows[:1]))
    query[20:24] = rows.to_bytes(4, "little")
    assert_refused(http(infer(ADA, bytes(query))), 400, "malformed")


def test_an_unknown_category_token_is_malformed(http, made, cases):
    query = bytearray(made.client.encrypt(cases["multiclass"].rows[:1]))
    query[24:] = b"\x01" * (len(query) - 24)
    assert_refused(http(infer(ADA, bytes(query))), 400, "malformed")


@pytest.mark.parametrize("place", [0, 32])
def test_points_that_are_none_are_refused(http, stand, published, cases, place):
    http.admission.spent.quota = Quota(10_000, 10_000)
    publication = published("binary", "hidden")
    stand.publish("ada", publication, kind="binary")
    query = bytearray(publication.client.encrypt(cases["binary"].rows[:1]))
    query[24 + place : 24 + place + 32] = b"\xff" * 32
    response = http(infer(ADA, bytes(query)))
    # A decoy's point is not looked at.
    assert response.status_code in (200, 400)
    query[24:] = b"\xff" * (len(query) - 24)
    assert_refused(http(infer(ADA, bytes(query))), 400, "malformed")


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        {},
        {"inputs": []},
        {"inputs": "query"},
        {"inputs": [3]},
        {"inputs": [tensor("AAAA"), tensor("AAAA")]},
        {"inputs": [tensor("AAAA", name="rows")]},
        {"inputs": [tensor("AAAA", shape=[2])]},
        {"inputs": [tensor("AAAA", datatype="FP32")]},
        {"inputs": [tensor("=not base64=")]},
        {"inputs": [{"name": "query", "shape": [1], "datatype": "BYTES", "data": [[1, 2]]}]},
        {"inputs": [{"name": "query", "shape": [1], "datatype": "BYTES"}]},
        {"inputs": [tensor("AAAA", parameters=[])], "id": 3},
        {"inputs": [tensor("AAAA")], "id": "x" * 300},
    ],
    ids=range(19),
)
def test_what_does_not_follow_the_protocol_is_malformed(http, made, document):
    assert_refused(http(infer_json(ADA, document)), 400, "malformed")


@pytest.mark.parametrize("length", ["-1", "1e3", "99999999", "0", "7", "1" + "0" * 4400])
def test_a_binary_body_with_wrong_lengths_is_malformed(http, made, length):
    body, _ = write_asked(b"query")
    assert_refused(http(signed(ADA, "POST", f"/v2/models/{MODEL}/infer", body, json_length=length)), 400, "malformed")


def test_unknown_addresses_and_methods(http, made):
    assert_refused(http.plain("GET", "/v2/models"), 404, "address")
    assert_refused(http.plain("GET", "/docs"), 404, "address")
    assert_refused(http.plain("PUT", f"/v2/models/{MODEL}/infer"), 405, "method")


def test_logs_and_metrics_tell_of_requests_and_no_secret(http, made, cases):
    asking = infer(ADA, made.client.encrypt(cases["multiclass"].rows[:2]))
    http(asking)
    http(asking)
    http(asking.bent(troth_user="mallory's name"))
    lines = [json.loads(line) for line in http.log.getvalue().splitlines()]
    told = [tuple(line.get(fact) for fact in ("status", "reason", "user", "rows")) for line in lines]
    assert told == [(200, None, "ada", 2), (409, "replay", "ada", None), (401, "signature", None, None)]

    page = http.plain("GET", "/metrics").text
    assert 'troth_requests_total{reason="replay",route="infer",status="409"} 1.0' in page
    assert 'troth_rows_total{mode="order"} 2.0' in page
    both = http.log.getvalue() + page
    secrets = [asking.headers["troth-nonce"], asking.headers["troth-signature"], asking.body[-16:].hex(), "mallory"]
    for secret in secrets:
        assert secret not in both


def test_a_log_that_cannot_be_written_refuses_nobody(http, made, cases):
    """A full disk, then a stream that was closed."""
    query = made.client.encrypt(cases["multiclass"].rows[:1])
    full = io.TextIOWrapper(io.FileIO("/dev/full", "w"))
    transport = httpx.ASGITransport(create_app(http.admission, log=Log(full)))

    async def ask(asking: Asking) -> int:
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            sent = {"headers": asking.headers, "content": asking.body}
            return (await client.request(asking.method, asking.target, **sent)).status_code

    assert asyncio.run(ask(infer(ADA, query))) == 200
    with suppress(OSError):
        full.close()
    assert asyncio.run(ask(infer(ADA, query))) == 200


def test_a_fault_of_the_servers_tells_where_and_not_what(http, stand, made, cases):
    entry = stand.entries["ada"]
    (stand.shelf / entry.artifact).write_bytes(b"secret words")
    response = http(infer(ADA, made.client.encrypt(cases["multiclass"].rows[:1])))
    assert response.status_code == 500
    assert "secret" not in response.text + http.log.getvalue()
    fault = next(line for line in map(json.loads, http.log.getvalue().splitlines()) if line["event"] == "fault")
    assert (fault["kind"], fault["where"].split(":")[0]) == ("Malformed", "shelf.py")
