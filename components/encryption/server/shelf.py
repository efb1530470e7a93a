"""What a server answers from: a folder of encrypted models and bundles, and an index that says whose is live.

One process puts in what the registry has; workers read, and notice a new index by its file's date, so that an alias
moved in the registry is followed within its next look and the registry may be away for a while. Files are named by
their SHA-256 and never change. The folder holds nothing that the registry of encrypted models does not show.
"""

import hashlib
import json
import os
import re
import secrets
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock

from components.durable import flush
from components.encryption.publish import EncryptedModel, read_model
from components.encryption.refusal import Malformed

INDEX = "index.json"
LIVE, REVOKED = "live", "revoked"
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Former:
    """A version that was live."""

    version: str
    epoch: int
    fingerprint: str


@dataclass(frozen=True)
class Entry:
    """A user's live version of a model, or the last one before the user was revoked."""

    model: str
    user: str
    version: str
    epoch: int
    mode: str
    fingerprint: str
    artifact: str
    """SHA-256 (hex), and the file's name."""
    bundle: str
    signs: str
    """The user's Ed25519 key, hexadecimal."""
    state: str
    expires: float
    word: str = ""
    """The proxy's, that the bundle is live."""
    former: tuple[Former, ...] = ()


class Shelf:
    """A reader of the folder, for one worker."""

    def __init__(self, folder: Path, *, most_models: int = 32) -> None:
        self.folder, self.most_models = folder, most_models
        self._seen: tuple[int, int] | None = None
        self.as_of = 0.0
        """When the registry was last heard of, in seconds since 1970; 0 if never."""
        self._entries: dict[tuple[str, str], Entry] = {}
        self._models: OrderedDict[str, EncryptedModel] = OrderedDict()
        self._lock = Lock()

    def find(self, model: str, user: str) -> Entry | None:
        """Whose live version of what; None where the server has none."""
        self.refresh()
        return self._entries.get((model, user))

    def loaded(self, entry: Entry) -> EncryptedModel | None:
        """The model of an entry if it is in memory."""
        found = self._models.get(entry.artifact)
        if found:
            # The lock is for loading, which nobody waits for here; who was let go meanwhile is used a last time.
            with suppress(KeyError):
                self._models.move_to_end(entry.artifact)
        return found

    def load(self, entry: Entry) -> EncryptedModel:
        """The model of an entry, read and made ready if it is not in memory.

        Raises
        ------
        Malformed
            The file is not what the index says.
        """
        with self._lock:
            if found := self._models.get(entry.artifact):
                self._models.move_to_end(entry.artifact)
                return found
            model = read_model(self.file(entry.artifact))
            if model.fingerprint.hex() != entry.fingerprint:
                raise Malformed("an artifact is under another key than its tags say; publish the model again")
            model.prepare()
            self._models[entry.artifact] = model
            while len(self._models) > self.most_models:
                self._models.popitem(last=False)
            return model

    def file(self, digest: str) -> bytes:
        """The content of a file, which must have the digest it is named by."""
        content = self.folder.joinpath(digest).read_bytes()
        if hashlib.sha256(content).hexdigest() != digest:
            self.folder.joinpath(digest).unlink(missing_ok=True)
            raise Malformed("a file on the shelf is damaged; it is fetched again with the next look at the registry")
        return content

    def refresh(self) -> None:
        """Read the index again if it is another; cheap where it is not."""
        try:
            status = os.stat(self.folder / INDEX)
        except FileNotFoundError:
            return
        # A new index is a new file; of an old one the date alone is renewed.
        seen, self.as_of = (status.st_ino, status.st_mtime_ns), status.st_mtime
        if seen != self._seen:
            self._entries = {(one.model, one.user): one for one in read_index(self.folder)}
            self._seen = seen


def read_index(folder: Path) -> list[Entry]:
    """Every entry; none where nothing was put in yet, or what was is damaged and will be replaced."""
    try:
        document = json.loads((folder / INDEX).read_text())
        return [Entry(**{**one, "former": tuple(Former(**past) for past in one["former"])}) for one in document]
    except (FileNotFoundError, ValueError, TypeError, KeyError):
        return []


def has_file(folder: Path, digest: str) -> bool:
    """Whether a file is on the shelf; a digest that comes from elsewhere may be anything, and names no other file."""
    return bool(_DIGEST.fullmatch(digest)) and (folder / digest).is_file()


def sweep(folder: Path) -> None:
    """Remove drafts that a process which was killed left behind; for whoever fills the shelf, at the start."""
    for draft in folder.glob(".*.*"):
        draft.unlink(missing_ok=True)


def put_file(folder: Path, content: bytes) -> str:
    """Keep a file under its SHA-256, which is returned."""
    digest = hashlib.sha256(content).hexdigest()
    _replace(folder / digest, content)
    return digest


def put_index(folder: Path, entries: Iterable[Entry]) -> None:
    """Make `entries` what the server answers from, all at once; files nobody needs any more are removed."""
    listed = sorted(entries, key=lambda one: (one.model, one.user))
    content = json.dumps([asdict(one) for one in listed]).encode()
    index = folder / INDEX
    if index.exists() and index.read_bytes() == content:
        os.utime(index)
        return
    before = _files(read_index(folder))
    _replace(index, content)
    for digest in before - _files(listed):
        (folder / digest).unlink(missing_ok=True)


def _files(entries: Iterable[Entry]) -> set[str]:
    """The files that entries need; of revoked users none."""
    return {digest for one in entries for digest in (one.artifact, one.bundle) if digest}


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    flush(path.parent)
