"""A user's side of the conversation without the network: which requests to send, and what responses mean.

Rows are asked in parts, each a query of its own. A refusal that says other keys are live now is answered by fetching
the bundle and encrypting again; a response that no honest server gives raises, and so does a return to an older epoch.
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
_ATTEMPTS, _PAUSE = 6, 0.5
_BUSY = (0, 502, 503, 504)
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
    """A response that came, or none: status 0, and what was in the way. Header names in small letters."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    trouble: str = ""


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
            It is no bundle for this user and model from the proxy, or of an older epoch than one seen before.
        """
        received = yield from self._answered(Sent("GET", self._target("bundle")))
        opened, before = open_bundle(received.body, self.keys, self.grant, self.model), self.opened
        if before and opened.terms.epoch < before.terms.epoch:
            raise WrongKey(
                f"the server handed out a bundle of epoch {opened.terms.epoch} after one of {before.terms.epoch}; "
                "ask the proxy which is live"
            )
        self.opened = opened
        return opened

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
        size, found = ROWS[opened.terms.mode], []
        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            body, json_length = write_asked(opened.client.encrypt(part))
            headers = {JSON_LENGTH: json_length, "content-type": "application/octet-stream"}
            received = yield from self._answered(Sent("POST", self._target("infer"), headers, body))
            found.append(_margins(opened, received, len(part)))
        return np.concatenate(found)

    def _answered(self, sent: Sent) -> Dialogue[Received]:
        """A good response; a server that is dying or busy is asked again, under a new signature."""
        for attempt in range(_ATTEMPTS):
            length = sent.headers.get(JSON_LENGTH, "")
            signed = sign(self.keys, sent.method, sent.target, sent.body, json_length=length, now=time.time())
            received = yield replace(sent, headers={**sent.headers, **signed}, pause=_PAUSE if attempt else 0.0)
            if received.status == 200:
                return received
            if received.status not in _BUSY:
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
        sentence = f"server {address} does not answer ({received.trouble}); is 'troth serve' running there?"
        return RefusedByServer(sentence, status=0, reason="silent")
    try:
        said = json.loads(received.body)
        sentence, reason = str(said["error"])[:300], str(said["reason"])[:40]
    except (ValueError, KeyError, TypeError):
        sentence, reason = f"it said {received.status} and nothing else; is it a Troth server?", "other"
    return RefusedByServer(f"server {address} refused: {sentence}", status=received.status, reason=reason)
