"""From the registry to a server's shelf: what is live, for whom, and the files of it; looked at again and again.

An alias that moves is followed within one look, and a revocation too. A registry that is away, whatever is in the way,
is told of and waited for; meanwhile the server answers from what it has, for a time. Artifacts are read as data, by the
digest in their tags, and never loaded as the code they come with.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event

from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from nacl.signing import VerifyKey

from components.encryption.server import Entry, Former, has_file, put_file, put_index
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
        """`tell(event, **facts)` is told of troubles and changes."""
        self.settings, self.shelf, self.tell = settings, shelf, tell
        self.client = client_of(settings.published)
        self._entries: dict[str, tuple[tuple, Entry]] = {}
        self._troubled: dict[str, str] = {}

    def look(self) -> int:
        """Make the shelf what the registry says; how many entries it has."""
        found = users_of(self.client)
        entries = [entry for one in found if (entry := self._entry(one))]
        put_index(self.shelf, entries)
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

    def _entry(self, found: RegisteredModel) -> Entry | None:
        """A user's entry; from memory where nothing changed."""
        tags, live = found.tags, found.aliases.get(self.settings.publishing.live)
        # A version that was live, then not, then live again is the same with another word, which the change tells of.
        seen = (str(live), *(tags.get(name) for name in (OF, USER, SIGNS, STATE, EXPIRES, CHANGE)))
        known = self._entries.get(found.name)
        if known and known[0] == seen and all(has_file(self.shelf, digest) for digest in _files(known[1])):
            return known[1]
        if (entry := self._read(found, live)) is None:
            self._entries.pop(found.name, None)
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
        version, digests = shown[0], {}
        for tag in () if is_revoked else (ARTIFACT, BUNDLE):
            if (content := read_file(self.client, self.settings, version, tag)) is None:
                return self._trouble(found.name, version, "its files are missing or others than its tags say")
            digests[tag] = put_file(self.shelf, content)
        try:
            return Entry(
                model=found.tags[OF],
                user=found.tags[USER],
                version=str(version.version),
                epoch=int(version.tags[EPOCH]),
                mode=json.loads(version.tags[SCHEME])["mode"],
                fingerprint=version.tags[FINGERPRINT],
                artifact=digests.get(ARTIFACT, ""),
                bundle=digests.get(BUNDLE, ""),
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
            return self._trouble(found.name, version, "its tags are not those of an encrypted version")

    def _trouble(self, name: str, version: ModelVersion, what: str) -> None:
        if self._troubled.get(name) != what:
            self.tell("not_served", name=name, version=str(version.version), why=what)
            self._troubled[name] = what


def _files(entry: Entry) -> list[str]:
    return [digest for digest in (entry.artifact, entry.bundle) if digest]
