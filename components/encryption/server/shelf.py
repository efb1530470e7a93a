"""What a server answers from: a folder of encrypted models and bundles, and an index that says whose is live.

One process puts in what the registry has; workers read, and notice a new index by its file's date, so that an alias
moved in the registry is followed within its next look and the registry may be away for a while. Files are named by
their SHA-256 and never change. The folder holds nothing that the registry of encrypted models does not show.
"""

import hashlib
import json
import os
import secrets
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock

from components.encryption.publish import EncryptedModel, read_model
from components.encryption.refusal import Malformed

INDEX = "index.json"
LIVE, REVOKED = "live", "revoked"


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
    former: tuple[Former, ...] = ()


class Shelf:
    """A reader of the folder, for one worker."""

    def __init__(self, folder: Path, *, most_models: int = 32) -> None:
        self.folder, self.most_models = folder, most_models
        self._seen: tuple[int, int] | None = None
        self._entries: dict[tuple[str, str], Entry] = {}
        self._models: OrderedDict[str, EncryptedModel] = OrderedDict()
        self._lock = Lock()

    @property
    def as_of(self) -> float:
        """When the registry was last heard of, in seconds since 1970; 0 if never."""
        try:
            return self.folder.joinpath(INDEX).stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def find(self, model: str, user: str) -> Entry | None:
        """Whose live version of what; None where the server has none."""
        self._refresh()
        return self._entries.get((model, user))

    def loaded(self, entry: Entry) -> EncryptedModel | None:
        """The model of an entry if it is in memory."""
        return self._models.get(entry.artifact)

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
            raise Malformed("a file on the shelf is damaged; remove it, and it is fetched again")
        return content

    def _refresh(self) -> None:
        try:
            status = os.stat(self.folder / INDEX)
        except FileNotFoundError:
            return
        # A new index is a new file; of an old one the date alone is renewed.
        seen = (status.st_ino, status.st_mtime_ns)
        if seen != self._seen:
            self._entries = {(one.model, one.user): one for one in read_index(self.folder)}
            self._seen = seen


def read_index(folder: Path) -> list[Entry]:
    """Every entry; none where nothing was put in yet."""
    try:
        document = json.loads((folder / INDEX).read_text())
    except FileNotFoundError:
        return []
    return [Entry(**{**one, "former": tuple(Former(**past) for past in one["former"])}) for one in document]


def has_file(folder: Path, digest: str) -> bool:
    return (folder / digest).is_file()


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
    draft.write_bytes(content)
    draft.replace(path)
