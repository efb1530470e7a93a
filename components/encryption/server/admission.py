"""Who may ask: the checks before anything is computed, from the cheapest to the one that leaves a trace.

    headers → whose → signature → time → revoked, expired → version → body → kind, key, rows of the query → nonce, quota

Nothing is said of a user before the signature is verified, and nobody's body is taken in before. A nonce is spent by a
well-formed inference alone; what else is asked costs little and says the same again.
"""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from components.encryption.frame import HIDDEN_QUERY, MOST_ROWS_OF, ORDER_QUERY, heading
from components.encryption.request import JSON_LENGTH, Signed, read_signed, signing_text
from components.encryption.server.refused import Refused
from components.encryption.server.shelf import REVOKED, Entry, Shelf
from components.encryption.server.spent import Spent

WINDOW = 60.0
"""Seconds by which a request's time may differ from the server's."""
SILENCE = 3600.0
"""Seconds after which a server that no longer hears of revocations answers nobody."""
COST = {"order": 1, "hidden": 1000}
"""What a row counts for in a user's quota, by mode: what it costs the server."""
_QUERY = {"order": ORDER_QUERY, "hidden": HIDDEN_QUERY}
_NOBODY = bytes.fromhex("5866666666666666666666666666666666666666666666666666666666666666")
"""A key to verify against where there is no such user, so that it takes as long."""


@dataclass(frozen=True)
class Caller:
    """Who asked, by a signature that is verified, and of what."""

    entry: Entry
    signed: Signed


class Admission:
    """One worker's door."""

    def __init__(self, shelf: Shelf, spent: Spent, *, silence: float = SILENCE) -> None:
        self.shelf, self.spent, self.silence = shelf, spent, silence
        self._started = spent.started

    def caller(self, method: str, target: str, headers: Mapping[str, str], model: str) -> Caller:
        """Who makes a request for `model`, by its head alone.

        Raises
        ------
        Refused
            It is unsigned, or the signature, the time or the keys are not good; or the server knows too little.
        """
        signed = read_signed(headers)
        if signed is None:
            raise Refused(401, "unsigned", "the request lacks a good troth-user, -time, -nonce, -digest or -signature")
        entry = self.shelf.find(model, signed.user)
        json_length = headers.get(JSON_LENGTH, "")
        text = signing_text(method, target, signed.user, signed.time, signed.nonce, json_length, signed.digest)
        # One answer for both, after the same work, so that nobody is told who is a user.
        is_signed = _is_signed(bytes.fromhex(entry.signs) if entry else _NOBODY, signed.signature, text)
        if entry is None or not is_signed:
            raise Refused(401, "signature", f"no user of model '{model[:80]}' has signed this request")
        now = time.time()
        late = now - signed.time / 1000
        if abs(late) > WINDOW:
            how = f"{abs(late):.0f} s {'old' if late > 0 else 'ahead'}"
            raise Refused(401, "expired", f"the request is {how}, {WINDOW:.0f} s at most; check the clock, sign again")
        # A server that was started while its clock was ahead was started before now all the same.
        self._started = min(self._started, now)
        if signed.time / 1000 < self._started:
            raise Refused(401, "expired", "the request was made before the server was started; sign it again")
        if now - self.shelf.as_of > self.silence:
            raise Refused(503, "stale", "the server has heard of no registry for too long; ask whoever runs it")
        if entry.state == REVOKED:
            raise Refused(403, "revoked", "the user's keys are revoked; ask the proxy")
        if now >= entry.expires:
            raise Refused(403, "keys_expired", "the user's keys have expired; ask the proxy to rotate them")
        return Caller(entry, signed)

    def body(self, caller: Caller, body: bytes) -> None:
        """Raise `Refused` unless a body is the one that was signed."""
        if hashlib.sha256(body).digest() != caller.signed.digest:
            raise Refused(401, "signature", "the body is not the one that was signed")

    def version(self, entry: Entry, version: str | None) -> None:
        """Raise `Refused` unless `version` is the live one."""
        if version is None or version == entry.version:
            return
        if former := next((one for one in entry.former if one.version == version), None):
            raise _superseded(entry, former.epoch, f"version {former.version}")
        raise Refused(404, "version", f"version {version[:20]} is none of this user's; version {entry.version} is live")

    def rows(self, entry: Entry, query: bytes) -> int:
        """Rows that a query says it has.

        Raises
        ------
        Refused
            It is no query, or under other keys than the live ones.
        """
        found = heading(query)
        if found is None:
            raise Refused(400, "malformed", f"a query of {len(query)} bytes is shorter than its header")
        magic, fingerprint, rows = found
        if magic not in _QUERY.values():
            raise Refused(400, "malformed", "the query is of no mode that there is, or of another version")
        if fingerprint.hex() != entry.fingerprint:
            if former := next((one for one in entry.former if one.fingerprint == fingerprint.hex()), None):
                raise _superseded(entry, former.epoch, f"the query is under keys of version {former.version}, which")
            raise Refused(409, "wrong_key", "the query is under keys that were never live for this user and model")
        if magic != _QUERY[entry.mode]:
            raise Refused(400, "malformed", f"the query is not of mode '{entry.mode}'")
        most = MOST_ROWS_OF[entry.mode]
        if not 1 <= rows <= most:
            raise Refused(400, "malformed", f"the query has {rows} rows; send 1 to {most}")
        return rows

    def spend(self, caller: Caller, rows: int) -> None:
        """Note the request's nonce and rows; `Refused` where it is a replay or too much."""
        cost = COST[caller.entry.mode]
        self.spent.spend(caller.signed.user, caller.signed.nonce, rows * cost, now=time.time())


def _is_signed(signs: bytes, signature: bytes, text: bytes) -> bool:
    """libsodium's verification, which takes half as long as OpenSSL's."""
    try:
        VerifyKey(signs).verify(text, signature)
    except BadSignatureError:
        return False
    return True


def _superseded(entry: Entry, epoch: int, what: str) -> Refused:
    """The reason is the epoch where that has changed, else the version."""
    live = f"version {entry.version} (epoch {entry.epoch}) is live; fetch its bundle"
    reason = "superseded" if epoch == entry.epoch else "wrong_epoch"
    return Refused(409, reason, f"{what} was of epoch {epoch}, and {live}")
