"""A page for one patient: values are typed, encrypted in this process, and only then sent; the answer is read here.

It is served to this machine alone, at an address that holds a secret made at the start, so that other users of the
machine and other pages in the browser cannot ask in its name. The page has no script and loads nothing.
"""

import hmac
import math
import secrets
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from urllib.parse import parse_qs

import pandas as pd
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, Response
from jinja2 import Environment, FileSystemLoader
from starlette.concurrency import run_in_threadpool

from components.data.schema import Feature, Schema
from components.encryption.bundle import Opened
from components.encryption.client.exchange import Received, Sent
from components.encryption.client.model import EncryptedModelClient
from components.errors import InvalidInput

_MOST_BYTES = 2**16
_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
}


@dataclass(frozen=True)
class Field:
    """One feature as the form shows it."""

    name: str
    label: str
    note: str
    options: tuple[str, ...] | None
    value: str


@dataclass(frozen=True)
class Shown:
    """A prediction in words and bars, and what was seen of it outside: bytes."""

    headline: str
    sentence: str
    bars: tuple[tuple[str, float], ...]
    sent: str
    sent_bytes: int
    received_bytes: int


class WatchedClient(EncryptedModelClient):
    """A client that remembers its last request and response, so that the page can show what left the machine."""

    last: tuple[Sent, Received] | None = None

    def _send(self, sent: Sent) -> Received:
        self.last = sent, super()._send(sent)
        return self.last[1]


def create_page(client: WatchedClient, opened: Opened, *, port: int) -> tuple[FastAPI, str]:
    """The page's application, and the address to open."""
    key, lock = secrets.token_urlsafe(24), Lock()
    template = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True).get_template("page.html.j2")
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}

    def is_ours(request: Request) -> bool:
        given = request.query_params.get("key", "")
        return request.headers.get("host") in hosts and hmac.compare_digest(given.encode(), key.encode())

    def rendered(values: dict[str, str], shown: Shown | None = None, trouble: str = "") -> HTMLResponse:
        fields = [_field(name, feature, values.get(name, "")) for name, feature in opened.schema.features.items()]
        about = {"schema": opened.schema, "terms": client.exchange.opened.terms, "server": client.exchange.address}
        page = template.render(**about, fields=fields, shown=shown, trouble=trouble, key=key)
        return HTMLResponse(page, headers=_HEADERS, status_code=422 if trouble else 200)

    @app.get("/")
    def empty(request: Request) -> Response:
        return rendered({}) if is_ours(request) else _closed()

    @app.post("/")
    async def asked(request: Request) -> Response:
        if not is_ours(request):
            return _closed()
        if int(request.headers.get("content-length") or _MOST_BYTES + 1) > _MOST_BYTES:
            return PlainTextResponse("too much", 413, headers=_HEADERS)
        form = parse_qs((await request.body()).decode(errors="replace"), max_num_fields=10_000)
        values = {name: form.get(name, [""])[0].strip() for name in opened.schema.features}

        def answer() -> Shown:
            with lock:
                return _ask(client, opened.schema, values)

        try:
            return rendered(values, await run_in_threadpool(answer))
        except InvalidInput as error:
            return rendered(values, trouble=str(error))

    return app, f"http://127.0.0.1:{port}/?key={key}"


def _closed() -> Response:
    return PlainTextResponse("open the address that 'troth page' printed", 403, headers=_HEADERS)


def _field(name: str, feature: Feature, value: str) -> Field:
    return Field(name, name.replace("_", " "), feature.note, feature.categories, value)


def _ask(client: WatchedClient, schema: Schema, values: dict[str, str]) -> Shown:
    row = {name: _read(name, feature, values[name]) for name, feature in schema.features.items()}
    score = client.predict(pd.DataFrame([row]).astype(_types(schema)))[0]
    sent, received = client.last
    seen = (sent.body[-96:].hex(" ", 2), len(sent.body), len(received.body))
    label = schema.label
    match label.kind:
        case "binary":
            word = "at or above" if score >= label.threshold else "below"
            sentence = (
                f"{word} {_percent(label.threshold)}, from where the model says {label.column} = {label.positive}"
            )
            return Shown(_percent(score), sentence, ((label.column.replace("_", " "), float(score)),), *seen)
        case "multiclass":
            bars = tuple(zip(label.classes, map(float, score), strict=True))
            best = max(bars, key=lambda bar: bar[1])
            return Shown(best[0], f"{label.column}, with {_percent(best[1])}", bars, *seen)
        case _:
            return Shown(f"{score:.5g}", f"{label.column}, give or take {label.tolerance:g}", (), *seen)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _read(name: str, feature: Feature, text: str) -> float | str | None:
    if not text:
        return math.nan if feature.kind == "numeric" else None
    if feature.kind != "numeric":
        return text
    try:
        # Python's own "1_000" is nobody's way of writing a number.
        return float(text.replace("_", " "))
    except ValueError:
        raise InvalidInput(f"{name.replace('_', ' ')} is no number; leave it empty where it is not known") from None


def _types(schema: Schema) -> dict[str, str]:
    return {name: "float64" if one.kind == "numeric" else "object" for name, one in schema.features.items()}
