"""A server for tests: users with keys, their models on a shelf, and requests to it made by hand."""

import json
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from components.data.schema import BinaryLabel, Feature, MulticlassLabel, RegressionLabel, Schema
from components.encryption import Publication
from components.encryption.bundle import Terms, live_word, make_bundle, proxy_key
from components.encryption.request import JSON_LENGTH, sign
from components.encryption.server import LIVE, Entry, put_file, put_index
from components.encryption.server.protocol import write_asked
from components.encryption.user import Grant, UserKeys

MASTER = b"m" * 32
MODEL = "care"
GRANT = proxy_key(MASTER).public_key().public_bytes_raw()
_LABELS = {
    "multiclass": MulticlassLabel(column="level", kind="multiclass", classes=("low", "middle", "high")),
    "regression": RegressionLabel(column="cost", kind="regression", tolerance=10),
}


def schema_of(kind: str) -> Schema:
    """Of the models in conftest: three numbers and a town of twelve."""
    towns = tuple(f"town {number}" for number in range(12))
    features = {name: Feature() for name in ("dose", "marker", "visits")}
    features["town"] = Feature(kind="categorical", categories=towns)
    return Schema(name=MODEL, features=features, label=_LABELS.get(kind, BinaryLabel(column="ill")), person="id")


def user(name: str) -> UserKeys:
    """The same keys for the same name."""
    return UserKeys(name, name.encode().ljust(32, b"."))


@dataclass
class Stand:
    """A shelf and what lies on it."""

    shelf: Path
    entries: dict[str, Entry] = field(default_factory=dict)
    serial: int = 0

    def publish(self, name: str, made: Publication, *, kind: str, version: str = "1", epoch: int = 1) -> Entry:
        """Put a publication on the shelf as a user's live version."""
        keys, fingerprint = user(name), made.client.fingerprint.hex()
        terms = terms_of(name, made, epoch=epoch)
        self.serial += 1
        bundle = make_bundle(terms, made.client, schema_of(kind), keys.card, proxy_key(MASTER))
        entry = Entry(
            model=MODEL,
            user=name,
            version=version,
            epoch=epoch,
            mode=made.mode,
            fingerprint=fingerprint,
            artifact=put_file(self.shelf, made.model.to_bytes()),
            bundle=put_file(self.shelf, bundle),
            signs=keys.card.signs.hex(),
            state=LIVE,
            expires=time.time() + 3600,
            word=live_word(terms, self.serial, proxy_key(MASTER)),
        )
        return self.put(entry)

    def put(self, entry: Entry) -> Entry:
        self.entries[entry.user] = entry
        put_index(self.shelf, self.entries.values())
        return entry

    def change(self, name: str, **changes) -> Entry:
        return self.put(replace(self.entries[name], **changes))


def terms_of(name: str, made: Publication, *, epoch: int = 1) -> Terms:
    return Terms(name, MODEL, "d" * 64, epoch, made.mode, 2048, "decoys", made.client.fingerprint.hex())


def grant(name: str) -> Grant:
    return Grant(name, GRANT)


@dataclass(frozen=True)
class Asking:
    """A request that can be bent before it is sent."""

    method: str
    target: str
    body: bytes
    headers: dict[str, str]

    def bent(self, **headers: str | None) -> "Asking":
        """Other headers, under the old signature."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        left = {name: value for name, value in {**self.headers, **named}.items() if value is not None}
        return replace(self, headers=left)


def infer(keys: UserKeys, query: bytes, *, version: str | None = None, now: float | None = None) -> Asking:
    """A signed binary request."""
    body, length = write_asked(query)
    return signed(keys, "POST", _target(version), body, json_length=length, now=now)


def infer_json(keys: UserKeys, document: object) -> Asking:
    """A signed request in JSON, whatever the document."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return signed(keys, "POST", _target(None), body)


def signed(
    keys: UserKeys, method: str, target: str, body: bytes = b"", *, json_length: str = "", now: float | None = None
) -> Asking:
    headers = sign(keys, method, target, body, json_length=json_length, now=time.time() if now is None else now)
    return Asking(method, target, body, headers | ({JSON_LENGTH: json_length} if json_length else {}))


def _target(version: str | None) -> str:
    return f"/v2/models/{MODEL}" + (f"/versions/{version}" if version else "") + "/infer"
