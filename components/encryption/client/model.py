"""A model that only its user can ask: data frames in, predictions out, encrypted on the way to the server and back.

client = EncryptedModelClient("https://server:8180", "rand_hie", read_user(folder), read_grant(folder, "ada"))
client.predict(frame)
"""

import asyncio
import ssl
import time
from collections.abc import Generator
from functools import cached_property
from typing import Self
from urllib.parse import urlsplit

import httpx
import numpy as np
import pandas as pd

from components.data.frame import features_of
from components.encryption.bundle import Opened
from components.encryption.client.exchange import Dialogue, Exchange, Received, Sent
from components.encryption.refusal import Malformed
from components.encryption.server.loopback import is_loopback
from components.encryption.user import Grant, UserKeys
from components.errors import InvalidInput

_TIMEOUT = httpx.Timeout(120.0, connect=5.0)
_MOST_BYTES = 256 * 2**20


class _Reading:
    """What both clients make of rows and of margins."""

    def __init__(self, address: str, model: str, keys: UserKeys, grant: Grant, *, authority: str | None = None) -> None:
        """`authority`: a PEM file of the certificates that vouch for the server; the system's unless given."""
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidInput(f"'{address}' is no server's address; write it like https://server:8180")
        if parts.scheme == "http" and not is_loopback(parts.hostname):
            raise InvalidInput(f"{address} is plain HTTP to another machine; use https")
        self.exchange = Exchange(address.rstrip("/"), model, keys, grant)
        self._options = {"base_url": self.exchange.address, "timeout": _TIMEOUT, "trust_env": False}
        self._options["headers"] = {"accept-encoding": "identity"}
        if authority:
            self._options["verify"] = ssl.create_default_context(cafile=authority)

    def _scores(self, data: pd.DataFrame) -> Dialogue[np.ndarray]:
        opened, margins = yield from self.exchange.margins(lambda opened: self._rows(data, opened))
        return opened.client.meaning.predict(margins)

    def _probabilities(self, data: pd.DataFrame) -> Dialogue[np.ndarray]:
        opened = self.exchange.opened or (yield from self.exchange.renew())
        if opened.schema.label.kind == "regression":
            raise InvalidInput(f"model '{self.exchange.model}' predicts a number, no probabilities; use predict")
        scores = yield from self._scores(data)
        return np.stack([1 - scores, scores], axis=1) if scores.ndim == 1 else scores

    def _rows(self, data: pd.DataFrame, opened: Opened) -> np.ndarray:
        if not len(data):
            raise InvalidInput("the data have no rows; give at least one")
        return features_of(data, opened.schema, model=self.exchange.model).features


class EncryptedModelClient(_Reading):
    """Asks and waits; for one thread at a time."""

    @cached_property
    def _http(self) -> httpx.Client:
        return httpx.Client(**self._options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        self._http.close()

    def open(self) -> Opened:
        """Fetch the live bundle: what the model reads, and under which terms."""
        return self._held(self.exchange.renew())

    def predict(self, data: pd.DataFrame) -> np.ndarray:
        """Scores of rows in the schema's raw columns, as the plain model gives them.

        Probabilities of the positive class (n,), of each class (n, K), or the predicted value (n,) for regression.

        Raises
        ------
        InvalidInput
            The data lack columns or hold what is no number; the server refuses or does not answer (`RefusedByServer`).
        """
        return self._held(self._scores(data))

    def predict_proba(self, data: pd.DataFrame) -> np.ndarray:
        """(n, K) probabilities of every class; raises as `predict`, and for regression."""
        return self._held(self._probabilities(data))

    def _held(self, dialogue: Dialogue):
        received = None
        while True:
            try:
                sent = dialogue.send(received)
            except StopIteration as end:
                return end.value
            received = self._send(sent)

    def _send(self, sent: Sent) -> Received:
        time.sleep(sent.pause)
        try:
            with self._http.stream(sent.method, sent.target, headers=sent.headers, content=sent.body) as got:
                parts = _Parts()
                for part in got.iter_raw():
                    parts.take(part)
        except httpx.TransportError as trouble:
            return _none(trouble)
        return Received(got.status_code, got.headers, parts.whole())


class AsyncEncryptedModelClient(_Reading):
    """Asks while others go on; any number of questions at once."""

    @cached_property
    def _http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(**self._options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_) -> None:
        await self._http.aclose()

    async def predict(self, data: pd.DataFrame) -> np.ndarray:
        """As `EncryptedModelClient.predict`."""
        return await self._held(self._scores(data))

    async def predict_proba(self, data: pd.DataFrame) -> np.ndarray:
        """As `EncryptedModelClient.predict_proba`."""
        return await self._held(self._probabilities(data))

    async def _held(self, dialogue: Dialogue):
        received = None
        while True:
            # Encryption takes the processor as long as it takes; other tasks go on meanwhile.
            sent, result = await asyncio.to_thread(_next, dialogue, received)
            if sent is None:
                return result
            received = await self._send(sent)

    async def _send(self, sent: Sent) -> Received:
        await asyncio.sleep(sent.pause)
        try:
            async with self._http.stream(sent.method, sent.target, headers=sent.headers, content=sent.body) as got:
                parts = _Parts()
                async for part in got.aiter_raw():
                    parts.take(part)
        except httpx.TransportError as trouble:
            return _none(trouble)
        return Received(got.status_code, got.headers, parts.whole())


def _next(dialogue: Generator, received: Received | None) -> tuple[Sent | None, object]:
    """The next request, or the result: no thread may hand on StopIteration."""
    try:
        return dialogue.send(received), None
    except StopIteration as end:
        return None, end.value


class _Parts:
    """A response's body as it comes, up to what memory is spared for it."""

    def __init__(self) -> None:
        self._parts, self._room = [], _MOST_BYTES

    def take(self, part: bytes) -> None:
        self._room -= len(part)
        if self._room < 0:
            raise Malformed(f"the server's answer is larger than {_MOST_BYTES} bytes; ask whoever runs it")
        self._parts.append(part)

    def whole(self) -> bytes:
        return b"".join(self._parts)


def _none(trouble: BaseException) -> Received:
    """No response; a certificate that does not verify is no silence, and the same the next time."""
    cause = trouble
    while cause := cause.__cause__ or cause.__context__:
        if isinstance(cause, ssl.SSLCertVerificationError):
            told = f"{cause.verify_message}; name who vouches for it with --authority, or turn back"
            return Received(0, trouble=f"its certificate does not verify ({told})", is_final=True)
    return Received(0, trouble=type(trouble).__name__)
