"""A user's side of the conversation without the network: which requests to send, and what responses mean.

Rows are asked in parts, each a query of its own; nothing is decrypted before all have been answered, so that a server
cannot time how long that takes. A refusal that says other keys are live now is answered by fetching the bundle and
encrypting again; a response that no honest server gives raises, and so does a bundle that was live before one seen.
Requests that a dying server cut off are signed and sent again, since asking twice changes nothing.
"""

import json
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar
from urllib.parse import quote

import numpy as np

from components.encryption.bundle import Opened, open_bundle
from components.encryption.refusal import Malformed, WrongKey
from components.encryption.request import JSON_LENGTH, sign
from components.encryption.server.protocol import read_answer, write_asked
from components.encryption.user import Grant, UserKeys
from components.errors import InvalidInput

OUTDATED = frozenset({"superseded", "wrong_epoch", "wrong_key"})
"""Refusals after which newer keys may help."""
ROWS = {"order": 512, "hidden": 4}
"""Rows of a query: a tenth of a second and a few seconds of the server's."""
_ATTEMPTS, _PAUSE, _MOST_PAUSE = 6, 0.5, 5.0
_BUSY = (0, 502, 503, 504)
_MINUTE = 60.0
"""What a quota of rows a minute takes to be there again, seconds; one of a day is not waited for."""
LIVE_WORD = "troth-live"
"""The header beside a bundle, with the proxy's word that it is live."""
T = TypeVar("T")


class RefusedByServer(InvalidInput):
    """The server's refusal; `reason` is its word for programs."""

    def __init__(self, sentence: str, *, status: int, reason: str) -> None:
        super().__init__(sentence)
        self.status, self.reason = status, reason


@dataclass(frozen=True)
class Sent:
    """A request to send after `pause` seconds."""

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    pause: float = 0.0


@dataclass(frozen=True)
class Received:
    """A response that came, or none: status 0, and what was in the way; `is_final` where asking again is of no use.

    Header names are in small letters.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    trouble: str = ""
    is_final: bool = False


Dialogue = Generator[Sent, Received, T]
"""What to send, one after the other, each answered by what came; in the end a result."""


@dataclass
class Exchange:
    """What one user knows of one model; `opened` is the newest bundle."""

    address: str
    model: str
    keys: UserKeys
    grant: Grant
    opened: Opened | None = None

    def renew(self) -> Dialogue[Opened]:
        """Fetch and open the live bundle.

        Raises
        ------
        RefusedByServer
            The server refused, or does not answer.
        Malformed, WrongKey
            It is no bundle for this user and model from the proxy, or was live before one seen when it was asked for.
        """
        before = self.opened
        received = yield from self._answered(Sent("GET", self._target("bundle")))
        opened = open_bundle(received.body, received.headers.get(LIVE_WORD, ""), self.keys, self.grant, self.model)
        if before and opened.serial < before.serial:
            raise WrongKey(
                f"the server handed out a bundle of change {opened.serial} (mode {opened.terms.mode}, epoch "
                f"{opened.terms.epoch}) after one of change {before.serial} (mode {before.terms.mode}, epoch "
                f"{before.terms.epoch}); ask the proxy which is live"
            )
        # Another question may have fetched a newer one meanwhile.
        if self.opened is None or self.opened.serial <= opened.serial:
            self.opened = opened
        return self.opened

    def margins(self, encoded: Callable[[Opened], np.ndarray]) -> Dialogue[tuple[Opened, np.ndarray]]:
        """Margins (n, K) of the rows that `encoded` makes (n, F) for a bundle, and that bundle.

        All rows are answered by one model: where another becomes live meanwhile, all are asked again.
        """
        opened = self.opened or (yield from self.renew())
        for is_last in (False, True):
            try:
                return opened, (yield from self._asked(opened, encoded(opened)))
            except RefusedByServer as refused:
                if is_last or refused.reason not in OUTDATED:
                    raise
                opened = yield from self.renew()
        raise AssertionError("the last attempt returns or raises")

    def _asked(self, opened: Opened, rows: np.ndarray) -> Dialogue[np.ndarray]:
        size, answered = ROWS[opened.terms.mode], []
        parts = [rows[start : start + size] for start in range(0, len(rows), size)]
        for part in parts:
            body, json_length = write_asked(opened.client.encrypt(part))
            headers = {JSON_LENGTH: json_length, "content-type": "application/octet-stream"}
            answered.append((yield from self._answered(Sent("POST", self._target("infer"), headers, body))))
        return np.concatenate([_margins(opened, one, len(part)) for one, part in zip(answered, parts, strict=True)])

    def _answered(self, sent: Sent) -> Dialogue[Received]:
        """A good response; a server that is dying or busy is asked again, under a new signature.

        So is one whose quota is of the minute, when it is over: a table of any length is answered in the end.
        """
        pause = _PAUSE
        for attempt in range(_ATTEMPTS):
            length = sent.headers.get(JSON_LENGTH, "")
            signed = sign(self.keys, sent.method, sent.target, sent.body, json_length=length, now=time.time())
            received = yield replace(sent, headers={**sent.headers, **signed}, pause=pause if attempt else 0.0)
            if received.status == 200:
                return received
            said = _said(received.headers.get("retry-after", ""))
            pause = max(_PAUSE, min(said, _MOST_PAUSE))
            if received.status == 429 and 0 < said <= _MINUTE:
                pause = said
            elif received.status not in _BUSY or received.is_final:
                break
        raise _refusal(self.address, received)

    def _target(self, what: str) -> str:
        return f"/v2/models/{quote(self.model, safe='')}/{what}"


def _margins(opened: Opened, received: Received, rows: int) -> np.ndarray:
    try:
        answer = read_answer(received.body, received.headers.get(JSON_LENGTH, ""))
    except ValueError:
        raise Malformed("the server's answer does not follow the protocol; ask whoever runs it") from None
    margins = opened.client.decrypt(answer)
    if len(margins) != rows:
        raise Malformed(f"the server answered {len(margins)} rows instead of {rows}; ask whoever runs it")
    return margins


def _refusal(address: str, received: Received) -> RefusedByServer:
    if received.status == 0:
        if received.is_final:
            return RefusedByServer(f"server {address} cannot be trusted: {received.trouble}", status=0, reason="tls")
        sentence = f"server {address} does not answer ({received.trouble}); is 'troth serve' running there?"
        return RefusedByServer(sentence, status=0, reason="silent")
    try:
        said = json.loads(received.body)
        sentence, reason = _printable(said["error"], 300), _printable(said["reason"], 40)
    except (ValueError, KeyError, TypeError):
        sentence, reason = f"it said {received.status} and nothing else; is it a Troth server?", "other"
    return RefusedByServer(f"server {address} refused: {sentence}", status=received.status, reason=reason)


def _said(seconds: str) -> float:
    return float(seconds) if seconds.isascii() and seconds.isdecimal() else 0.0


def _printable(said: object, most: int) -> str:
    """A server's words without what a terminal would obey."""
    return "".join(letter for letter in str(said)[:most] if letter.isprintable())
