"""Who may ask: the checks before anything is computed, from the cheapest to the one that leaves a trace.

    headers → whose → signature → time → revoked, expired → version → kind, key and rows of the query → nonce and quota

Nothing is said of a user before the signature is verified. A nonce is spent by a well-formed inference alone; what else
is asked costs little and says the same again.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from components.encryption.frame import HIDDEN_QUERY, MOST_ROWS, ORDER_QUERY, heading
from components.encryption.request import JSON_LENGTH, Signed, read_signed, signing_text
from components.encryption.server.refused import Refused
from components.encryption.server.shelf import REVOKED, Entry, Shelf
from components.encryption.server.spent import Spent

WINDOW = 60.0
"""Seconds by which a request's time may differ from the server's."""
_QUERY = {"order": ORDER_QUERY, "hidden": HIDDEN_QUERY}


@dataclass(frozen=True)
class Caller:
    """Who asked, by a signature that is verified, and of what."""

    entry: Entry
    signed: Signed


class Admission:
    """One worker's door."""

    def __init__(self, shelf: Shelf, spent: Spent) -> None:
        self.shelf, self.spent = shelf, spent

    def caller(self, method: str, target: str, headers: Mapping[str, str], body: bytes, model: str) -> Caller:
        """Who made a request for `model`.

        Raises
        ------
        Refused
            It is unsigned, or the signature, the time or the keys are not good.
        """
        signed = read_signed(headers)
        if signed is None:
            raise Refused(401, "unsigned", "the request lacks a good troth-user, -time, -nonce or -signature")
        entry = self.shelf.find(model, signed.user)
        json_length = headers.get(JSON_LENGTH, "")
        text = signing_text(method, target, signed.user, signed.time, signed.nonce, json_length, body)
        # One answer for both, so that nobody is told who is a user.
        if entry is None or not _is_signed(entry.signs, signed.signature, text):
            raise Refused(401, "signature", f"no user of model '{model[:80]}' has signed this request")
        now = time.time()
        late = now - signed.time / 1000
        if abs(late) > WINDOW:
            how = f"{abs(late):.0f} s {'old' if late > 0 else 'ahead'}"
            raise Refused(401, "expired", f"the request is {how}, {WINDOW:.0f} s at most; check the clock, sign again")
        if signed.time / 1000 < self.spent.started:
            raise Refused(401, "expired", "the request was made before the server was started; sign it again")
        if entry.state == REVOKED:
            raise Refused(403, "revoked", "the user's keys are revoked; ask the proxy")
        if now >= entry.expires:
            raise Refused(403, "keys_expired", "the user's keys have expired; ask the proxy to rotate them")
        return Caller(entry, signed)

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
        if magic != _QUERY[entry.mode]:
            raise Refused(400, "malformed", f"the query is not of mode '{entry.mode}' or of another version of it")
        if fingerprint.hex() != entry.fingerprint:
            if former := next((one for one in entry.former if one.fingerprint == fingerprint.hex()), None):
                raise _superseded(entry, former.epoch, f"the query is under keys of version {former.version}, which")
            raise Refused(409, "wrong_key", "the query is under keys that were never live for this user and model")
        if not 1 <= rows <= MOST_ROWS:
            raise Refused(400, "malformed", f"the query has {rows} rows; send 1 to {MOST_ROWS}")
        return rows

    def spend(self, caller: Caller, rows: int) -> None:
        """Note the request's nonce and rows; `Refused` where it is a replay or too much."""
        self.spent.spend(caller.signed.user, caller.signed.nonce, rows, now=time.time())


def _is_signed(signs: str, signature: bytes, text: bytes) -> bool:
    """libsodium's verification, which takes half as long as OpenSSL's."""
    try:
        VerifyKey(bytes.fromhex(signs)).verify(text, signature)
    except BadSignatureError:
        return False
    return True


def _superseded(entry: Entry, epoch: int, what: str) -> Refused:
    """The reason is the epoch where that has changed, else the version."""
    live = f"version {entry.version} (epoch {entry.epoch}) is live; fetch its bundle"
    reason = "superseded" if epoch == entry.epoch else "wrong_epoch"
    return Refused(409, reason, f"{what} was of epoch {epoch}, and {live}")
