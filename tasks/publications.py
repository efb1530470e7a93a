"""Encrypted models in the registry: one registered model for each user of a model, one version for each publication.

A version says in its tags what it was made of and how; the alias `live` says which one is answered with, `previous`
which was before. Publishing what is live already changes nothing, and what was live before is taken up again and not
made anew, so a crash, a retry and a rollback all end where they should. One publication of a model at a time.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from components.encryption import issue, publish
from components.encryption.bundle import Terms, make_bundle, proxy_key
from components.encryption.enrolment import Enrolled
from components.errors import InvalidInput
from tasks.leakage import measured_leakage, summary
from tasks.loader import LoadedModel, champion_of
from tasks.locks import waiting
from tasks.proxy import enrolment_of, master_of
from tasks.publication_store import (
    ARTIFACT,
    BUNDLE,
    EPOCH,
    EXPIRES,
    FINGERPRINT,
    LEAKAGE,
    LIVE,
    OF,
    REVOKED,
    SCHEMA,
    SCHEME,
    SIGNS,
    SOURCE,
    SOURCE_DIGEST,
    STATE,
    USER,
    is_whole,
    store_version,
    users_of,
    versions_of,
)
from tasks.registry_artifact import text_digest
from tasks.registry_reach import check_reachable
from tasks.settings import Settings
from tasks.tracking import client_of


@dataclass(frozen=True)
class Scheme:
    """How a model is encrypted."""

    mode: str = "order"
    bits: int = 3072
    cut_points: str = "decoys"

    def text(self) -> str:
        return json.dumps({"mode": self.mode, "bits": self.bits, "cut_points": self.cut_points})


def scheme_from(text: str) -> Scheme:
    """Of a version's tag."""
    return Scheme(**json.loads(text))


@dataclass(frozen=True)
class Published:
    """A user's live version; `changed` is False where it was live before. `leaks`: attack → [success, bound]."""

    model: str
    user: str
    name: str
    version: str
    epoch: int
    scheme: str
    source: str
    leaks: dict[str, list[float]]
    changed: bool


def publish_champion(
    client: MlflowClient,
    settings: Settings,
    model: str,
    *,
    wanted: dict[str, Scheme] | None = None,
    tell: Callable[[Published], None] = lambda one: None,
) -> list[Published]:
    """Encrypt the champion of `model` for the users in `wanted`, and for all who have a live version of it.

    Raises
    ------
    InvalidInput
        There is no champion that the ledger vouches for, a wanted user has no keys that are good, or the model cannot
        be encrypted so. Users before the one that failed have the new version, the others the old one.
    """
    check_reachable(settings.published)
    store = client_of(settings.published)
    with waiting(settings, _lock(model)):
        enrolled = active_users(settings, wanted or {})
        before = {user: scheme_from(live.tags[SCHEME]) for user, live in _live(store, settings, model).items()}
        schemes = {user: scheme for user, scheme in (before | (wanted or {})).items() if user in enrolled}
        champion = champion_of(client, settings, model) if schemes else None
        if schemes and champion is None:
            raise InvalidInput(f"model '{model}' has no champion to publish; promote a version first")
        done = []
        for user, scheme in sorted(schemes.items()):
            done.append(_publish(store, settings, champion, enrolled[user], scheme))
            tell(done[-1])
    return done


def republish(client: MlflowClient, settings: Settings, user: str) -> list[Published]:
    """All of a user's models again, as after a rotation."""
    store = client_of(settings.published)
    models = [found.tags[OF] for found in users_of(store) if found.tags[USER] == user]
    done = [one for model in models for one in publish_champion(client, settings, model)]
    return [one for one in done if one.user == user]


def withdraw(settings: Settings, user: str) -> list[str]:
    """Take a revoked user's models out of service; their names."""
    check_reachable(settings.published)
    store, names = client_of(settings.published), []
    for found in users_of(store):
        if found.tags[USER] == user:
            with waiting(settings, _lock(found.tags[OF])):
                store.set_registered_model_tag(found.name, STATE, REVOKED)
                store.delete_registered_model_alias(found.name, settings.publishing.live)
            names.append(found.name)
    return names


def active_users(settings: Settings, wanted: Iterable[str] = ()) -> dict[str, Enrolled]:
    """The users whose keys are good, by name.

    Raises
    ------
    InvalidInput
        A user in `wanted` is not among them.
    """
    now, users = time.time(), {one.user: one for one in enrolment_of(settings).users()}
    for user in wanted:
        if user not in users:
            raise InvalidInput(f"user '{user[:80]}' has no keys; 'troth keys issue {user[:80]} --card FILE' makes some")
        if (state := users[user].state(now)) != "active":
            remedy = f"issue {user} --card FILE" if state == "revoked" else f"rotate {user}"
            raise InvalidInput(f"the keys of user '{user}' are {state}; 'troth keys {remedy}' makes new ones")
    return {user: one for user, one in users.items() if one.state(now) == "active"}


def _publish(
    store: MlflowClient, settings: Settings, champion: LoadedModel, user: Enrolled, scheme: Scheme
) -> Published:
    name = settings.publishing.models.format(model=champion.name, user=user.user)
    identity = {
        SOURCE_DIGEST: champion.model_digest,
        SCHEMA: text_digest(champion.schema.model_dump_json()),
        SCHEME: scheme.text(),
        EPOCH: str(user.epoch),
    }
    _ensure(store, name, {OF: champion.name, USER: user.user})
    alike = (one for one in versions_of(store, name) if identity.items() <= one.tags.items())
    found = next((one for one in alike if is_whole(store, settings, one)), None)
    made = found or _make(store, settings, name, champion, user, scheme, identity)
    changed = _point(store, settings, name, str(made.version))
    for tag, value in {SIGNS: user.card.signs.hex(), EXPIRES: repr(user.expires), STATE: LIVE}.items():
        store.set_registered_model_tag(name, tag, value)
    return Published(
        model=champion.name,
        user=user.user,
        name=name,
        version=str(made.version),
        epoch=user.epoch,
        scheme=scheme.text(),
        source=made.tags[SOURCE],
        leaks=json.loads(made.tags[LEAKAGE])["leaks"],
        changed=changed,
    )


def _make(
    store: MlflowClient,
    settings: Settings,
    name: str,
    champion: LoadedModel,
    user: Enrolled,
    scheme: Scheme,
    identity: dict[str, str],
) -> ModelVersion:
    master, digest = master_of(settings), champion.model_digest
    keys = issue(master, user=user.user, model=digest, epoch=user.epoch, bits=scheme.bits)
    made = publish(champion.booster, keys, mode=scheme.mode, cut_points=scheme.cut_points)
    report = measured_leakage(store, settings, made, model=champion.name, name=name, digest=digest)
    fingerprint = made.client.fingerprint.hex()
    terms = Terms(user.user, champion.name, digest, user.epoch, scheme.mode, fingerprint)
    files = {
        "encrypted.npz": made.model.to_bytes(),
        "bundle.sealed": make_bundle(terms, made.client, champion.schema, user.card, proxy_key(master)),
        "leakage.json": json.dumps(report.document(), indent=1).encode(),
    }
    tags = identity | {
        SOURCE: f"models:/{champion.name}/{champion.version}",
        FINGERPRINT: fingerprint,
        LEAKAGE: summary(report),
        ARTIFACT: hashlib.sha256(files["encrypted.npz"]).hexdigest(),
        BUNDLE: hashlib.sha256(files["bundle.sealed"]).hexdigest(),
    }
    return store_version(store, settings, name, files, tags)


def _point(store: MlflowClient, settings: Settings, name: str, version: str) -> bool:
    """Make a version live, and what was live before `previous`; whether that was a change."""
    names = settings.publishing
    live = store.get_registered_model(name).aliases.get(names.live)
    if str(live) == version:
        return False
    if live is not None:
        store.set_registered_model_alias(name, names.previous, str(live))
    store.set_registered_model_alias(name, names.live, version)
    return True


def _live(store: MlflowClient, settings: Settings, model: str) -> dict[str, ModelVersion]:
    """Each user's live version of a model."""
    alias, found = settings.publishing.live, {}
    for one in users_of(store, model):
        version = one.aliases.get(alias)
        if version is not None:
            found[one.tags[USER]] = store.get_model_version(one.name, str(version))
    return found


def _ensure(store: MlflowClient, name: str, tags: dict[str, str]) -> None:
    try:
        store.create_registered_model(name, tags=tags)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        if not tags.items() <= store.get_registered_model(name).tags.items():
            raise InvalidInput(f"registered model '{name}' holds something else; change publishing.models") from None


def _lock(model: str) -> str:
    return hashlib.sha256(f"publish {model}".encode()).hexdigest()
