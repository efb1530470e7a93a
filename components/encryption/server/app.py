"""The server as a web application: Open Inference Protocol v2 over encrypted models, for signed requests alone.

    POST /v2/models/{model}[/versions/{version}]/infer     GET /v2/health/live, /v2/health/ready, /v2: open to anybody
    GET  /v2/models/{model}[/versions/{version}][/ready]   GET /v2/models/{model}/bundle: the user's, sealed
                                                           GET /metrics: from this machine alone
A model's name is the plain model's; which encrypted model is meant follows from who asks. Short answers are computed
where they arrive; long ones in threads and in turns (`turns`), so that others are heard meanwhile.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version as installed

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from components.encryption.publish import EncryptedModel
from components.encryption.refusal import Malformed, WrongKey
from components.encryption.request import JSON_LENGTH
from components.encryption.server.admission import Admission, Caller
from components.encryption.server.loopback import is_loopback
from components.encryption.server.observed import Log, Metrics, fault
from components.encryption.server.protocol import EXTENSIONS, Asked, metadata, read_asked, write_answer
from components.encryption.server.refused import Refused
from components.encryption.server.shelf import Entry
from components.encryption.server.turns import Turns

AT_ONCE = 64
"""Rows of mode `order`, times classes, that are answered without a thread: some thirty milliseconds."""


@dataclass(frozen=True)
class Limits:
    """What requests may cost a worker."""

    most_bytes: int = 8 * 2**20
    """Of a body."""
    most_bytes_at_once: int = 64 * 2**20
    """Of all bodies that are coming in."""
    most_bytes_of_a_user: int = 16 * 2**20
    """Of these one user's, who may be slow on purpose."""
    body_seconds: float = 30.0
    threads: int = 2
    """For long answers."""
    long_at_once: int = 32
    """Long questions that are being answered or wait."""
    long_of_a_user: int = 4
    """Of these one user's, who are answered one after another."""
    cores: int = 1
    """For one answer of mode `hidden`."""
    stale_seconds: float = 300.0
    """How long the registry may be silent before the server says that it is not ready."""


class Application:
    """The routes and what they share."""

    def __init__(self, admission: Admission, limits: Limits, metrics: Metrics, log: Log) -> None:
        self.admission, self.limits, self.metrics, self.log = admission, limits, metrics, log
        self._turns = Turns(limits.threads, most=limits.long_at_once, most_a_user=limits.long_of_a_user)
        self._loads = CapacityLimiter(1)
        self._coming: Counter[str] = Counter()

    async def server(self, request: Request) -> Response:
        return JSONResponse({"name": "troth", "version": installed("troth"), "extensions": EXTENSIONS})

    async def live(self, request: Request) -> Response:
        return JSONResponse({"live": True})

    async def ready(self, request: Request) -> Response:
        self.admission.shelf.refresh()
        silent = time.time() - self.admission.shelf.as_of
        is_ready = silent < self.limits.stale_seconds
        return JSONResponse({"ready": is_ready}, status_code=200 if is_ready else 503)

    async def measured(self, request: Request) -> Response:
        if not is_loopback(request.client.host if request.client else ""):
            raise HTTPException(404)
        return Response(self.metrics.page(), media_type="text/plain; version=0.0.4")

    async def model(self, request: Request) -> Response:
        entry = (await self._called(request))[0].entry
        return JSONResponse(metadata(entry))

    async def model_ready(self, request: Request) -> Response:
        entry = (await self._called(request))[0].entry
        return JSONResponse({"name": entry.model, "ready": True})

    async def bundle(self, request: Request) -> Response:
        entry = (await self._called(request))[0].entry
        content = _on_the_shelf(self.admission.shelf.file, entry.bundle)
        headers = {"troth-version": entry.version, "troth-live": entry.word}
        return Response(content, media_type="application/octet-stream", headers=headers)

    async def infer(self, request: Request) -> Response:
        caller, body = await self._called(request)
        asked = read_asked(body, request.headers.get(JSON_LENGTH))
        rows = self.admission.rows(caller.entry, asked.query)
        model = await self._loaded(caller.entry)
        if len(asked.query) - 24 != model.query_length(rows):
            raise Refused(400, "malformed", f"the query is not of the length that {rows} rows have")
        is_long = caller.entry.mode == "hidden" or rows * model.outputs > AT_ONCE
        with self._turns.place(caller.entry.user) if is_long else nullcontext():
            self.admission.spend(caller, rows)
            content, headers = await self._answered(model, caller.entry, asked, is_long)
        self.metrics.rows(caller.entry.mode, rows)
        request.state.facts |= {"rows": rows, "bytes": len(content)}
        return Response(content, headers=headers)

    async def _called(self, request: Request) -> tuple[Caller, bytes]:
        """Who asks, and the body."""
        scope, parts = request.scope, request.path_params
        target = scope["raw_path"].decode("latin-1") + ("?" + scope["query_string"].decode("latin-1")) * bool(
            scope["query_string"]
        )
        caller = self.admission.caller(request.method, target, request.headers, parts["model"])
        entry = caller.entry
        request.state.facts |= {"user": entry.user, "model": entry.model, "version": entry.version}
        self.admission.version(entry, parts.get("version"))
        body = await self._body(request, entry.user)
        self.admission.body(caller, body)
        return caller, body

    async def _body(self, request: Request, user: str) -> bytes:
        """The body, as long as it is not too long and does not take too long."""
        most = self.limits.most_bytes
        if request.headers.get("content-encoding", "identity") != "identity":
            raise Refused(415, "encoding", "the body is compressed; send it as it is")
        said = request.headers.get("content-length", "0")
        if said.isascii() and said.isdecimal() and int(said[:20]) > most:
            raise _too_large(most)
        parts, length = [], 0
        try:
            async with asyncio.timeout(self.limits.body_seconds):
                async for part in request.stream():
                    length += len(part)
                    self._coming[user] += len(part)
                    if length > most:
                        raise _too_large(most)
                    is_one_users = self._coming[user] > self.limits.most_bytes_of_a_user
                    if is_one_users or self._coming.total() > self.limits.most_bytes_at_once:
                        raise Refused(503, "busy", "too much is coming in at once; ask again", retry_after=1)
                    parts.append(part)
        except TimeoutError:
            raise Refused(408, "slow", f"the body took longer than {self.limits.body_seconds:.0f} s") from None
        except ClientDisconnect:
            raise Refused(400, "malformed", "the body ends early") from None
        finally:
            self._coming[user] -= length
            self._coming += Counter()  # forgets whoever has nothing coming
        return b"".join(parts)

    async def _loaded(self, entry: Entry) -> EncryptedModel:
        shelf = self.admission.shelf
        if found := shelf.loaded(entry):
            return found
        self.metrics.loaded()
        return await to_thread.run_sync(_on_the_shelf, shelf.load, entry, limiter=self._loads)

    async def _answered(self, model: EncryptedModel, entry: Entry, asked: Asked, is_long: bool) -> tuple[bytes, dict]:
        answering = partial(model.answer, threads=self.limits.cores) if entry.mode == "hidden" else model.answer
        try:
            answer = await self._turns.take(entry.user, answering, asked.query) if is_long else answering(asked.query)
        except Malformed as error:
            raise Refused(400, "malformed", str(error)) from None
        except WrongKey as error:
            raise Refused(409, "wrong_key", str(error)) from None
        return write_answer(asked, entry, answer)


def _too_large(most: int) -> Refused:
    return Refused(413, "too_large", f"the body is larger than {most} bytes; ask fewer rows at a time")


def _on_the_shelf(read: Callable, what: object):
    try:
        return read(what)
    except FileNotFoundError:
        # The index was replaced between two looks at it.
        raise Refused(409, "superseded", "another version has just become live; fetch its bundle") from None


def create_app(
    admission: Admission, *, limits: Limits | None = None, metrics: Metrics | None = None, log: Log | None = None
) -> FastAPI:
    """The application over an admission; one for each worker."""
    here = Application(admission, limits or Limits(), metrics or Metrics(), log or Log())
    # FastAPI's own pages would describe routes whose bodies are bytes.
    app = FastAPI(lifespan=partial(_lifespan, here), docs_url=None, redoc_url=None, openapi_url=None)
    named = "/v2/models/{model}"
    # Routes are tried in this order, so what is asked most comes first.
    for place in (named, f"{named}/versions/{{version}}"):
        app.add_route(f"{place}/infer", _observed(here, here.infer), methods=["POST"])
    for path, what in {
        "/v2": here.server,
        "/v2/health/live": here.live,
        "/v2/health/ready": here.ready,
        "/metrics": here.measured,
        f"{named}/bundle": here.bundle,
    }.items():
        app.add_route(path, _observed(here, what), methods=["GET"])
    for place in (named, f"{named}/versions/{{version}}"):
        app.add_route(place, _observed(here, here.model), methods=["GET"])
        app.add_route(f"{place}/ready", _observed(here, here.model_ready), methods=["GET"])

    async def unknown(request: Request, error: HTTPException) -> Response:
        reason = {404: "address", 405: "method"}.get(error.status_code, "malformed")
        here.metrics.request("unknown", error.status_code, reason, 0.0)
        sentence = "there is no such address, or not for this method; see the Open Inference Protocol v2"
        return _refusal(Refused(error.status_code, reason, sentence))

    app.add_exception_handler(HTTPException, unknown)
    return app


def _observed(here: Application, answer: Callable[[Request], Awaitable[Response]]) -> Callable:
    """A route that answers refusals as the protocol wants them, and tells of every request."""
    route = answer.__name__

    async def observed(request: Request) -> Response:
        start = time.perf_counter()
        request.state.facts = {}
        reason = ""
        try:
            response = await answer(request)
        except HTTPException:
            raise
        except Refused as refused:
            reason, response = refused.reason, _refusal(refused)
        except Exception as error:
            here.log.line("fault", route=route, **fault(error))
            reason = "fault"
            response = JSONResponse({"error": "the server is at fault; see its log", "reason": reason}, 500)
        seconds = time.perf_counter() - start
        here.metrics.request(route, response.status_code, reason, seconds)
        if route not in ("live", "ready", "measured"):
            facts = request.state.facts | ({"reason": reason} if reason else {})
            here.log.line("request", route=route, status=response.status_code, ms=round(1000 * seconds, 3), **facts)
        return response

    return observed


def _refusal(refused: Refused) -> Response:
    headers = {"retry-after": str(refused.retry_after)} if refused.retry_after is not None else None
    content = {"error": refused.sentence, "reason": refused.reason}
    return JSONResponse(content, status_code=refused.status, headers=headers)


@asynccontextmanager
async def _lifespan(here: Application, app: FastAPI) -> AsyncIterator[None]:
    here.log.line("started")
    yield
    here.log.line("stopped")
