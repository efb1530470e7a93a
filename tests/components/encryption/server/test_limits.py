"""What a server spends on whom: bodies, rows, time, and answers while it hears of no registry."""

import asyncio
import os
import time
from contextlib import ExitStack

import httpx
import numpy as np
import pytest
from nacl.signing import VerifyKey

from components.encryption.server.app import Limits, create_app
from components.encryption.server.refused import Refused
from components.encryption.server.spent import Quota
from components.encryption.server.turns import Turns
from tests.components.encryption.trial_server import MODEL, Asking, infer, signed, user

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


def test_a_body_is_not_taken_in_before_it_is_known_whose_it_is(http, made, cases):
    asking = infer(ADA, made.client.encrypt(cases["multiclass"].rows[:1]))
    read = []

    async def body():
        read.append(1)
        yield asking.body

    for headers in ({}, asking.bent(troth_user="bob").headers, asking.bent(troth_signature="00" * 64).headers):
        assert_refused(
            http.plain("POST", asking.target, headers=headers, content=body()),
            401,
            "unsigned" if not headers else "signature",
        )
    assert not read
    assert http.plain("POST", asking.target, headers=asking.headers, content=body()).status_code == 200
    assert read


def test_bodies_that_come_in_together_are_limited(stand, made, cases, http):
    """Two that may come alone, but not at once; what was refused or has ended no longer counts."""
    limits = Limits(most_bytes=2**20, most_bytes_at_once=30_000)
    app = create_app(http.admission, limits=limits)
    query = made.client.encrypt(cases["multiclass"].rows[:300])
    assert 15_000 < len(query) < 30_000

    async def slowly(asking, begun: asyncio.Event, other: asyncio.Event):
        yield asking.body[:-1]
        begun.set()
        await other.wait()
        yield asking.body[-1:]

    async def ask_both() -> list[int]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as client:

            async def ask(begun: asyncio.Event, other: asyncio.Event) -> int:
                asking = infer(ADA, query)
                answer = client.post(asking.target, headers=asking.headers, content=slowly(asking, begun, other))
                status = (await answer).status_code
                begun.set()
                return status

            one, other = asyncio.Event(), asyncio.Event()
            both = await asyncio.gather(ask(one, other), ask(other, one))
            done = asyncio.Event()
            done.set()
            return [*sorted(both), await ask(asyncio.Event(), done)]

    assert asyncio.run(ask_both()) == [200, 503, 200]


def test_whoever_is_no_user_is_verified_all_the_same(http, made, cases, monkeypatch):
    """Against somebody's key, so that time does not tell users from others."""
    verified = []
    monkeypatch.setattr(VerifyKey, "verify", lambda self, *_: verified.append(bytes(self)))
    query = made.client.encrypt(cases["multiclass"].rows[:1])
    assert_refused(http(infer(user("zed"), query)), 401, "signature")
    assert len(verified) == 1
    assert http(infer(user("ada"), query)).status_code == 200
    assert len(verified) == 2


def test_a_server_that_hears_of_nothing_answers_nobody(http, stand, made, cases):
    query, index = made.client.encrypt(cases["multiclass"].rows[:1]), stand.shelf / "index.json"
    for silent, status, ready in ((400, 200, 503), (4000, 503, 503), (0, 200, 200)):
        os.utime(index, (time.time() - silent,) * 2)
        assert http(infer(ADA, query)).status_code == status
        assert http.plain("GET", "/v2/health/ready").status_code == ready
        assert http(signed(ADA, "GET", f"/v2/models/{MODEL}/bundle")).status_code == status
    os.utime(index, (time.time() - 4000,) * 2)
    assert_refused(http(infer(ADA, query)), 503, "stale")


def test_quotas_count_rows(http, made, cases):
    rows = np.tile(cases["multiclass"].rows, (2, 1))[:450]
    query = made.client.encrypt(rows)
    assert [http(infer(ADA, query)).status_code for _ in range(2)] == [200, 200]
    response = http(infer(ADA, query))
    assert_refused(response, 429, "quota")
    assert 0 < int(response.headers["retry-after"]) <= 86_400
    assert http(infer(ADA, made.client.encrypt(rows[:10]))).status_code == 200


def test_a_row_of_mode_hidden_counts_as_what_it_costs(http, stand, published, cases):
    """Of 1000 rows a minute it is all; and no request has more than a thread can answer in seconds."""
    made = published("stumps", "hidden")
    stand.publish("ada", made, kind="binary")
    query = made.client.encrypt(cases["stumps"].rows[:1])
    assert [http(infer(ADA, query)).status_code for _ in range(2)] == [200, 429]
    assert_refused(http(infer(ADA, made.client.encrypt(cases["stumps"].rows[:17]))), 400, "malformed")
    assert http(signed(ADA, "GET", f"/v2/models/{MODEL}")).json()["parameters"]["most_rows"] == 16


def test_a_user_with_many_long_questions_keeps_nobody_waiting(http, stand, published, cases):
    """One thread: of ada's four three wait in turn, a fifth is refused unspent, bob is answered after the first."""
    rows, queries = cases["stumps"].rows[:3], {}
    for name in ("ada", "bob"):
        made = published("stumps", "hidden", user=name)
        stand.publish(name, made, kind="binary")
        queries[name] = made.client.encrypt(rows)
    http.admission.spent.quota = Quota(10**9, 10**9)
    app = create_app(http.admission, limits=Limits(threads=1))
    answered = []

    async def ask(client, asking: Asking, who: str):
        response = await client.post(asking.target, headers=asking.headers, content=asking.body)
        answered.append((who, response.status_code))
        return response

    async def ask_all():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as client:
            asked = [infer(user("ada"), queries["ada"]) for _ in range(5)]
            await ask(client, infer(user("bob"), queries["bob"]), "warm")
            await ask(client, infer(user("ada"), queries["ada"]), "warm")
            adas = [asyncio.create_task(ask(client, one, "ada")) for one in asked]
            while ("ada", 503) not in answered:
                await asyncio.sleep(0)
            await ask(client, infer(user("bob"), queries["bob"]), "bob")
            responses = await asyncio.gather(*adas)
            (refused,) = (place for place, one in enumerate(responses) if one.status_code == 503)
            assert_refused(responses[refused], 503, "busy")
            assert int(responses[refused].headers["retry-after"]) > 0
            assert (await ask(client, asked[refused], "again")).status_code == 200

    asyncio.run(ask_all())
    assert [who for who, status in answered if status == 200] == [*("warm",) * 2, "ada", "bob", *("ada",) * 3, "again"]


def test_slow_bodies_of_one_user_are_refused_before_they_keep_others_out(http, stand, published, cases):
    query = {}
    for name in ("ada", "bob"):
        made = published("stumps", "hidden", user=name)
        stand.publish(name, made, kind="binary")
        query[name] = made.client.encrypt(cases["stumps"].rows[:1])
    http.admission.spent.quota = Quota(10**9, 10**9)
    share = len(query["ada"]) * 3
    app = create_app(http.admission, limits=Limits(most_bytes_of_a_user=share, most_bytes_at_once=2 * share))
    go = asyncio.Event()

    async def slowly(body: bytes):
        yield body[:-1]
        await go.wait()
        yield body[-1:]

    async def ask_all():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server") as client:

            async def ask(name: str, *, slow: bool):
                asked = infer(user(name), query[name])
                content = slowly(asked.body) if slow else asked.body
                return await client.post(asked.target, headers=asked.headers, content=content)

            adas = [asyncio.create_task(ask("ada", slow=True)) for _ in range(6)]
            refused, _ = await asyncio.wait(adas, timeout=20, return_when=asyncio.FIRST_COMPLETED)
            bobs = await ask("bob", slow=False)
            go.set()
            return bobs.status_code, sorted(one.status_code for one in await asyncio.gather(*adas)), len(refused)

    bobs, adas, refused = asyncio.run(ask_all())
    assert bobs == 200
    assert refused >= 1
    assert {200, 503} == set(adas)


def test_those_who_wait_are_few_whoever_they_are():
    turns = Turns(1, most=3, most_a_user=2)
    with ExitStack() as held:
        for name in ("ada", "ada", "bob"):
            held.enter_context(turns.place(name))
        for name in ("ada", "carol"):
            with pytest.raises(Refused) as refused, turns.place(name):
                pass
            assert (refused.value.status, refused.value.reason) == (503, "busy")
    with turns.place("carol"):
        pass


def test_counts_are_shown_to_this_machine_alone(http, made):
    async def from_afar() -> int:
        transport = httpx.ASGITransport(http.app, client=("192.0.2.7", 4711))
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            return (await client.get("/metrics")).status_code

    assert (http.plain("GET", "/metrics").status_code, asyncio.run(from_afar())) == (200, 404)


def test_what_is_too_large_is_not_read(http, made):
    response = http(infer(ADA, bytes(2**20)))
    assert_refused(response, 413, "too_large")
