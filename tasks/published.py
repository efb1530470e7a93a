"""From the registry to a server's shelf: what is live, for whom, and the files of it; looked at again and again.

An alias that moves is followed within one look, and a revocation too, which waits for no file. A registry that is away,
whatever is in the way, is told of and waited for; meanwhile the server answers from what it has, for a time. So it does
of a user whose new files cannot be fetched; whose files are others than their tags say is not served. Artifacts are
read as data, by the digest in their tags, and never loaded as the code they come with.
"""

import json
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from threading import Event

from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from nacl.signing import VerifyKey

from components.encryption.server import Entry, Former, has_file, put_file, put_index, read_index, sweep
from tasks.publication_store import (
    ARTIFACT,
    BUNDLE,
    CHANGE,
    EPOCH,
    EXPIRES,
    FINGERPRINT,
    LIVE,
    LIVE_WORD,
    OF,
    REVOKED,
    SCHEME,
    SIGNS,
    STATE,
    USER,
    FilesAway,
    read_file,
    users_of,
    versions_of,
)
from tasks.settings import Settings
from tasks.tracking import client_of

_MOST_FORMER = 50
Tell = Callable[..., None]


class Follower:
    """Fills a shelf from the registry of encrypted models."""

    def __init__(self, settings: Settings, shelf: Path, tell: Tell) -> None:
        """`tell(event, **facts)` is told of troubles and changes; what it raises is passed over."""
        self.settings, self.shelf, self._tell = settings, shelf, tell
        self.client = client_of(settings.published)
        self._entries: dict[str, tuple[tuple, Entry]] = {}
        self._troubled: dict[str, str] = {}
        sweep(shelf)
        self._shown = {(one.model, one.user): one for one in read_index(shelf)}

    def tell(self, event: str, **facts: object) -> None:
        # A log in trouble is no reason to stop hearing of revocations.
        with suppress(Exception):
            self._tell(event, **facts)

    def look(self) -> int:
        """Make the shelf what the registry says; how many entries it has."""
        found = users_of(self.client)
        revoked = [one for one in found if one.tags.get(STATE) == REVOKED]
        others = [one for one in found if one.tags.get(STATE) != REVOKED]
        refused = [entry for one in revoked if (entry := self._entry(one))]
        # First, because the files of others may take long.
        self._show([*refused, *(entry for one in others if (entry := self._before(one)))])
        entries = refused + [entry for one in others if (entry := self._entry(one))]
        self._show(entries)
        return len(entries)

    def follow(self, stop: Event) -> None:
        """Look until told to stop."""
        silent_since = None
        while not stop.wait(self.settings.serving.poll_seconds):
            try:
                self.look()
            except Exception as error:
                # Stores raise what their drivers raise; whatever it is, the next look may succeed.
                if silent_since is None:
                    self.tell("registry_silent", kind=type(error).__name__)
                    silent_since = time.time()
                continue
            if silent_since is not None:
                self.tell("registry_back", seconds=round(time.time() - silent_since))
                silent_since = None

    def _show(self, entries: Iterable[Entry]) -> None:
        self._shown = {(one.model, one.user): one for one in entries}
        put_index(self.shelf, self._shown.values())

    def _before(self, found: RegisteredModel) -> Entry | None:
        """What is on the shelf for a user by now; nothing where the user has another card since."""
        before = self._shown.get((found.tags[OF], found.tags.get(USER, "")))
        return before if before and before.signs == found.tags.get(SIGNS) else None

    def _entry(self, found: RegisteredModel) -> Entry | None:
        """A user's entry; from memory where nothing changed."""
        tags, live = found.tags, found.aliases.get(self.settings.publishing.live)
        # A version that was live, then not, then live again is the same with another word, which the change tells of.
        seen = (str(live), *(tags.get(name) for name in (OF, USER, SIGNS, STATE, EXPIRES, CHANGE)))
        known = self._entries.get(found.name)
        if known and known[0] == seen and all(has_file(self.shelf, digest) for digest in _files(known[1])):
            return known[1]
        self._entries.pop(found.name, None)
        try:
            entry = self._read(found, live)
        except FilesAway as away:
            self._trouble("files_away", found.name, str(live), str(away))
            return self._before(found)
        if entry is None:
            return None
        self._entries[found.name] = seen, entry
        self._troubled.pop(found.name, None)
        said = {name: getattr(entry, name) for name in ("model", "user", "version", "epoch", "state")}
        self.tell("shelf", **said)
        return entry

    def _read(self, found: RegisteredModel, live: int | str | None) -> Entry | None:
        versions = versions_of(self.client, found.name)
        is_revoked = found.tags.get(STATE) == REVOKED
        shown = [one for one in versions if str(one.version) == str(live)] or (versions[:1] if is_revoked else [])
        if not shown or SIGNS not in found.tags:
            return None
        version = shown[0]
        try:
            entry = Entry(
                model=found.tags[OF],
                user=found.tags[USER],
                version=str(version.version),
                epoch=int(version.tags[EPOCH]),
                mode=json.loads(version.tags[SCHEME])["mode"],
                fingerprint=version.tags[FINGERPRINT],
                artifact="",
                bundle="",
                signs=VerifyKey(bytes.fromhex(found.tags[SIGNS])).encode().hex(),
                word=version.tags.get(LIVE_WORD, ""),
                state=REVOKED if is_revoked else LIVE,
                expires=float(found.tags[EXPIRES]),
                former=tuple(
                    Former(str(one.version), int(one.tags[EPOCH]), one.tags[FINGERPRINT])
                    for one in versions[:_MOST_FORMER]
                    if one.version != version.version
                ),
            )
        except (KeyError, ValueError, TypeError):
            why = "its tags are not those of an encrypted version"
            return self._trouble("not_served", found.name, str(version.version), why)
        if is_revoked:
            return entry
        artifact, bundle = (self._fetched(version, tag) for tag in (ARTIFACT, BUNDLE))
        if artifact and bundle:
            return replace(entry, artifact=artifact, bundle=bundle)
        why = "its files are missing or others than its tags say"
        return self._trouble("not_served", found.name, str(version.version), why)

    def _fetched(self, version: ModelVersion, tag: str) -> str | None:
        """The digest of a version's file, which is on the shelf; None where it is missing or another."""
        digest = version.tags.get(tag, "")
        if not has_file(self.shelf, digest):
            content = read_file(self.client, self.settings, version, tag)
            return None if content is None else put_file(self.shelf, content)
        return digest

    def _trouble(self, event: str, name: str, version: str, why: str) -> None:
        """Tell of a trouble, once."""
        if self._troubled.get(name) != why:
            self.tell(event, name=name, version=version, why=why)
            self._troubled[name] = why


def _files(entry: Entry) -> list[str]:
    return [digest for digest in (entry.artifact, entry.bundle) if digest]
