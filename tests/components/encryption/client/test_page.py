"""The page for one patient: what it asks for, shows, and refuses to anyone but whoever started it."""

import asyncio
import html
import re

import httpx
import numpy as np
import pytest

from components.encryption.client.page import WatchedClient, create_page
from tests.components.encryption.trial_server import MODEL, grant, user

PORT = 8181
HERE = f"http://127.0.0.1:{PORT}"


@pytest.fixture(scope="module", autouse=True)
def _shelved(lasting, published):
    for name, kind in {"ada": "binary", "mia": "multiclass", "rae": "regression"}.items():
        lasting.publish(name, published(kind, user=name), kind=kind)


@pytest.fixture
def page(server):
    """A function: the page of a user, as a function that sends a request to it; `page.key` opens it."""
    clients = []

    def start(name: str):
        client = WatchedClient(server.address, MODEL, user(name), grant(name))
        clients.append(client.__enter__())
        app, address = create_page(client, client.open(), port=PORT)

        async def sent(method: str, target: str, **options) -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=HERE) as browser:
                return await browser.request(method, target, **options)

        def send(values: dict | None = None, *, target: str = address, **headers: str) -> httpx.Response:
            method = "GET" if values is None else "POST"
            return asyncio.run(sent(method, target, data=values, headers=headers))

        return send

    yield start
    for client in clients:
        client.__exit__()


def outcome(response: httpx.Response) -> str:
    return re.search(r'<h2 id="outcome">(.*?)</h2>', response.text).group(1)


def test_the_form_asks_for_every_feature(page):
    text = page("ada")().text
    assert [re.search(rf'name="{name}"', text) is not None for name in ("dose", "marker", "visits", "town")] == [
        True
    ] * 4
    assert "<option>town 11</option>" in text
    assert "<script" not in text


@pytest.mark.parametrize(("name", "kind"), [("ada", "binary"), ("mia", "multiclass"), ("rae", "regression")])
def test_the_plain_models_prediction_is_shown(page, cases, name, kind):
    row = np.float32([[0.25, -1.5, 3, 4]])
    response = page(name)({"dose": "0.25", "marker": "-1.5", "visits": "3", "town": "town 4"})
    score = cases[kind].booster.inplace_predict(row)[0]
    expected = {
        "binary": lambda: f"{100 * score:.1f} %",
        "multiclass": lambda: ("low", "middle", "high")[int(np.argmax(score))],
        "regression": lambda: f"{score:.5g}",
    }[kind]()
    assert outcome(response) == expected
    assert 'value="-1.5"' in response.text
    assert "<option selected>town 4</option>" in response.text


def test_what_is_left_empty_is_missing(page, cases):
    score = cases["binary"].booster.inplace_predict(np.float32([[np.nan, np.nan, 2, np.nan]]))[0]
    assert outcome(page("ada")({"visits": "2", "dose": " "})) == f"{100 * score:.1f} %"


@pytest.mark.parametrize("text", ["1_000", "1,5", "0x10"])
def test_what_only_programs_call_a_number_is_none(page, text):
    assert "dose is no number" in page("ada")({"dose": text}).text


def test_what_is_no_number_is_told_and_kept(page):
    response = page("ada")({"dose": "<b>much</b>", "marker": "1"})
    assert response.status_code == 422
    assert "dose is no number" in response.text
    assert "<b>" not in response.text
    assert html.escape("<b>much</b>") in response.text


@pytest.mark.parametrize("target", ["/", "/?key=", "/?key=guess", "/?key=%C3%BC"])
def test_nobody_asks_without_the_address(page, target):
    send = page("ada")
    assert send(target=target).status_code == 403
    assert send({"dose": "1"}, target=target).status_code == 403


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1:1", "localhost"])
def test_another_name_for_this_machine_is_refused(page, host):
    assert page("ada")(host=host).status_code == 403


def test_nothing_is_stored_framed_or_fetched(page):
    headers = page("ada")().headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert (headers["cache-control"], headers["referrer-policy"]) == ("no-store", "no-referrer")


def test_a_refusal_of_the_server_is_shown(page, lasting):
    send = page("rae")
    lasting.change("rae", state="revoked")
    response = send({"dose": "1"})
    assert response.status_code == 422
    assert "revoked" in response.text
