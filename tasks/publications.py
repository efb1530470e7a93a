"""Encrypted models in the registry: one registered model for each user of a model, one version for each publication.

A version says in its tags what it was made of and how; the alias `live` says which one is answered with, `previous`
which was before. Publishing what is live already changes nothing, and what was live before is taken up again and not
made anew, so a crash, a retry and a rollback all end where they should. One publication of a model at a time. Everybody
is tried, and who could not be published for is named at the end.

The server can write where it reads, so nothing in the store is taken at its word: for whom, and how, stands in the
proxy's list of users, and a version is taken up again only where the proxy signed its bundle for just that.
"""

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from components.encryption import issue, publish
from components.encryption.bundle import Terms, live_word, make_bundle, proxy_key, read_terms
from components.encryption.enrolment import Enrolled, Scheme
from components.encryption.refusal import Malformed, WrongKey
from components.errors import InvalidInput
from components.secret_file import create_once
from tasks.leakage import measured_leakage, summary
from tasks.loader import LoadedModel, champion_of
from tasks.locks import waiting
from tasks.proxy import enrolment_of, former_grid, keep_grid, master_of, renew_master
from tasks.publication_store import (
    ARTIFACT,
    BUNDLE,
    CHANGE,
    EPOCH,
    EXPIRES,
    FINGERPRINT,
    LEAKAGE,
    LIVE,
    LIVE_WORD,
    OF,
    REVOKED,
    SCHEMA,
    SCHEME,
    SIGNS,
    SOURCE,
    SOURCE_DIGEST,
    STATE,
    USER,
    FilesAway,
    read_file,
    store_version,
    users_of,
    versions_of,
)
from tasks.registry_artifact import text_digest
from tasks.registry_reach import check_reachable
from tasks.settings import Settings
from tasks.tracking import client_of


@dataclass(frozen=True)
class Published:
    """A user's live version; `changed` is False where it was live before. `leaks`: attack → success, bound if any."""

    model: str
    user: str
    name: str
    version: str
    epoch: int
    scheme: str
    source: str
    leaks: dict[str, list[float | None]]
    changed: bool


class NotPublished(InvalidInput):
    """What could not be published; `failed`: model and user → why."""

    def __init__(self, failed: Mapping[tuple[str, str], str]) -> None:
        self.failed = dict(failed)
        told = "; ".join(f"{model} for {user} ({why})" for (model, user), why in failed.items())
        super().__init__(f"not published: {told}; everything else is, so put these right and say the same again")


def publish_champion(
    client: MlflowClient,
    settings: Settings,
    model: str,
    *,
    wanted: dict[str, Scheme] | None = None,
    only: str | None = None,
    tell: Callable[[Published], None] = lambda one: None,
) -> list[Published]:
    """Encrypt the champion of `model` for the users in `wanted`, and for all who may ask it; or for one of them `only`.

    Who was revoked meanwhile is passed over and, where an earlier command did not come to it, withdrawn.

    Raises
    ------
    InvalidInput
        There is no champion that the ledger vouches for, or a wanted user has no keys that are good.
    NotPublished
        The model cannot be encrypted so for some users, who have the old version; the others have the new one. Where a
        store failed it is the cause of the store's own error, which whoever runs this may know how to wait for.
    """
    check_reachable(settings.published)
    store, wanted = client_of(settings.published), wanted or {}
    with waiting(settings, _lock(model)):
        enrolled, done, failed = active_users(settings, wanted), [], {}
        for one in enrolment_of(settings).users():
            if one.revoked and model in one.models:
                _withdraw(store, settings, model, one.user)
        schemes = {user: one.models[model].scheme for user, one in enrolled.items() if model in one.models} | wanted
        if only is not None:
            schemes = {user: scheme for user, scheme in schemes.items() if user == only}
        champion = champion_of(client, settings, model) if schemes else None
        if schemes and champion is None:
            raise InvalidInput(f"model '{model}' has no champion to publish; promote a version first")
        if champion and not isinstance(champion, LoadedModel):
            raise InvalidInput(f"model '{model}' is a language model; only models of tables can be encrypted")
        master = master_of(settings) if schemes else b""
        for user, scheme in sorted(schemes.items()):
            try:
                made = _publish(store, settings, champion, enrolled[user], scheme, master)
            except Exception as error:
                # Whoever revoked the user meanwhile may have written the same at the same time, and waits for the lock.
                if not enrolment_of(settings).find(user).revoked:
                    failed[user] = error
                continue
            if made:
                done.append(made)
                tell(made)
    if failed:
        told = NotPublished({(model, user): _why(error) for user, error in failed.items()})
        if others := [error for error in failed.values() if not isinstance(error, InvalidInput)]:
            told.__cause__ = others[0].__cause__ or others[0].__context__
            raise others[0] from told
        raise told
    return done


def republish(
    client: MlflowClient, settings: Settings, *users: str, tell: Callable[[Published], None] = lambda one: None
) -> list[Published]:
    """All models of users whose keys were renewed, and nobody else's.

    What cannot be published is taken out of service: it would go on under the keys before, which may be a thief's.

    Raises
    ------
    NotPublished
        Some could not be; all were tried.
    """
    store, done, failed = client_of(settings.published), [], {}
    asked = {user: sorted(enrolment_of(settings).find(user).models) for user in users}
    for user, model in ((user, model) for user, models in asked.items() for model in models):
        try:
            done += publish_champion(client, settings, model, only=user, tell=tell)
        except Exception as error:
            told = error if isinstance(error, NotPublished) else error.__cause__
            why = told.failed[model, user] if isinstance(told, NotPublished) else _why(error)
            try:
                _end(store, settings, model, user)
                failed[model, user] = f"{why}; out of service until then"
            except Exception as left:
                failed[model, user] = f"{why}; the keys before are still answered: {_why(left)}"
    if failed:
        raise NotPublished(failed)
    return done


def last_epoch(settings: Settings, user: str) -> int:
    """The last epoch of a user that the registry knows, 0 where it knows none.

    The list of users may be one from a backup. What the registry says can only raise an epoch, by a billion at most.
    """
    check_reachable(settings.published)
    store = client_of(settings.published)
    names = [one.name for one in users_of(store) if one.tags.get(USER) == user]
    told = (version.tags.get(EPOCH, "") for name in names for version in versions_of(store, name))
    return max((int(epoch) for epoch in told if re.fullmatch("[0-9]{1,9}", epoch)), default=0)


def begin_renewal(settings: Settings) -> dict[str, int]:
    """A new master secret; the epochs, by user, of the keys that end with the old one."""
    path, epochs = _renewal(settings), {user: one.epoch for user, one in active_users(settings).items()}
    renew_master(settings)
    path.unlink(missing_ok=True)
    create_once(path, json.dumps({"proxy": _proxy(settings), "epochs": epochs}).encode())
    return epochs


def begun_renewal(settings: Settings) -> dict[str, int] | None:
    """What `begin_renewal` returned, where a renewal under the present master secret was not ended."""
    if not (path := _renewal(settings)).exists():
        return None
    begun = json.loads(path.read_text())
    return begun["epochs"] if begun["proxy"] == _proxy(settings) else None


def end_renewal(settings: Settings) -> None:
    """Nothing is left under the old master secret."""
    _renewal(settings).unlink(missing_ok=True)


def withdraw(settings: Settings, user: str) -> list[str]:
    """Take a revoked user's models out of service, those too that are on their way; their names."""
    check_reachable(settings.published)
    store, live = client_of(settings.published), settings.publishing.live
    # A list of users from a backup does not know what was published since.
    known = [one.tags[OF] for one in users_of(store) if one.tags.get(USER) == user and live in one.aliases]
    models = sorted({*enrolment_of(settings).find(user).models, *known})
    # At once if that goes: a publication for many users holds the lock for minutes, and may be writing the same.
    for model in models:
        with suppress(MlflowException):
            _end(store, settings, model, user)
    names = []
    for model in models:
        with waiting(settings, _lock(model)):
            names.append(_withdraw(store, settings, model, user))
    return names


def _withdraw(store: MlflowClient, settings: Settings, model: str, user: str) -> str:
    name = _end(store, settings, model, user)
    enrolment_of(settings).withdrawn(user, model)
    return name


def _end(store: MlflowClient, settings: Settings, model: str, user: str) -> str:
    """Take a user's model out of service; its name in the registry. The list of users keeps what is to be done."""
    name = settings.publishing.models.format(model=model, user=user)
    try:
        store.set_registered_model_tag(name, STATE, REVOKED)
        store.delete_registered_model_alias(name, settings.publishing.live)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
    return name


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
    store: MlflowClient, settings: Settings, champion: LoadedModel, user: Enrolled, scheme: Scheme, master: bytes
) -> Published | None:
    """A user's live version of a champion; None where the user's keys are no longer those of `user`."""
    name = settings.publishing.models.format(model=champion.name, user=user.user)
    signing = proxy_key(master)
    identity = {
        SOURCE_DIGEST: champion.model_digest,
        SCHEMA: text_digest(champion.schema.model_dump_json()),
        SCHEME: json.dumps(asdict(scheme)),
        EPOCH: str(user.epoch),
    }
    _ensure(store, name, {OF: champion.name, USER: user.user})
    meant = Terms(user.user, champion.name, champion.model_digest, user.epoch, **asdict(scheme), fingerprint="")
    for version in versions_of(store, name):
        if identity.items() <= version.tags.items() and (terms := _signed(store, settings, version, signing, meant)):
            break
    else:
        version, terms = _make(store, settings, name, champion, user, scheme, identity, master)
    serial = enrolment_of(settings).goes_live(user, champion.name, scheme, terms.fingerprint)
    if serial is None:
        return None
    # In this order a server that looks in between finds nothing that does not go together.
    store.set_model_version_tag(name, str(version.version), LIVE_WORD, live_word(terms, serial, signing))
    store.set_registered_model_tag(name, SIGNS, user.card.signs.hex())
    store.set_registered_model_tag(name, EXPIRES, repr(user.expires))
    store.set_registered_model_tag(name, CHANGE, str(serial))
    changed = _point(store, settings, name, str(version.version))
    store.set_registered_model_tag(name, STATE, LIVE)
    if enrolment_of(settings).find(user.user).revoked:
        # Whoever revoked the user meanwhile may have come before this tag, and waits for the lock.
        _end(store, settings, champion.name, user.user)
        return None
    return Published(
        model=champion.name,
        user=user.user,
        name=name,
        version=str(version.version),
        epoch=user.epoch,
        scheme=identity[SCHEME],
        source=version.tags[SOURCE],
        leaks=json.loads(version.tags[LEAKAGE])["leaks"],
        changed=changed,
    )


def _signed(
    store: MlflowClient, settings: Settings, version: ModelVersion, signing: Ed25519PrivateKey, meant: Terms
) -> Terms | None:
    """The terms of a version whose files are there, if the proxy signed its bundle for what is meant."""
    bundle = read_file(store, settings, version, BUNDLE)
    if bundle is None or read_file(store, settings, version, ARTIFACT) is None:
        return None
    try:
        terms = read_terms(bundle, signing.public_key().public_bytes_raw())
    except (Malformed, WrongKey):
        return None
    return terms if replace(terms, fingerprint="") == meant else None


def _make(
    store: MlflowClient,
    settings: Settings,
    name: str,
    champion: LoadedModel,
    user: Enrolled,
    scheme: Scheme,
    identity: dict[str, str],
    master: bytes,
) -> tuple[ModelVersion, Terms]:
    digest = champion.model_digest
    keys = issue(master, user=user.user, model=digest, epoch=user.epoch, bits=scheme.bits, name=champion.name)
    former = former_grid(settings, champion.name)
    made = publish(champion.booster, keys, mode=scheme.mode, cut_points=scheme.cut_points, former=former)
    if made.diluted:
        keep_grid(settings, champion.name, made.forest.features, made.grid)
    report = measured_leakage(store, settings, made, model=champion.name, name=name, digest=digest)
    fingerprint = made.client.fingerprint.hex()
    terms = Terms(user.user, champion.name, digest, user.epoch, **asdict(scheme), fingerprint=fingerprint)
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
    return store_version(store, settings, name, files, tags), terms


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


def _ensure(store: MlflowClient, name: str, tags: dict[str, str]) -> None:
    try:
        store.create_registered_model(name, tags=tags)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        if not tags.items() <= store.get_registered_model(name).tags.items():
            raise InvalidInput(f"registered model '{name}' holds something else; change publishing.models") from None


def _why(error: Exception) -> str:
    """What an exception says, on one line; of a store's, which may be long, the beginning."""
    said = " ".join(str(error).split())
    return said if isinstance(error, InvalidInput | FilesAway) else f"{type(error).__name__}: {said[:200]}"


def _proxy(settings: Settings) -> str:
    """The public half of what the master secret signs with, which tells master secrets apart."""
    return proxy_key(master_of(settings)).public_key().public_bytes_raw().hex()


def _renewal(settings: Settings) -> Path:
    return Path(settings.publishing.users).with_name("renewal.json")


def _lock(model: str) -> str:
    return hashlib.sha256(f"publish {model}".encode()).hexdigest()
