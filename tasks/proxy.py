"""The proxy's own things: its master secret, the list of users, and what their bundles are signed with.

They live in `proxy` of Troth's home (`publishing` in mlflow.yaml) and nowhere else. The secret may be under a
passphrase, which is then taken from TROTH_PASSPHRASE, so that a scheduled run can give it too. Of each model there is
also the grid that its users were given last, which the next one must hold.
"""

import hashlib
import json
import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from components.encryption import master_secret, read_protected, write_protected
from components.encryption.bundle import proxy_key
from components.encryption.enrolment import Enrolment
from components.encryption.grid import Grid
from components.encryption.keys import SECRET_BYTES
from components.encryption.sealed import is_protected
from components.encryption.user import Grant
from components.errors import InvalidInput
from components.secret_file import create_once
from tasks.settings import Settings

PASSPHRASE = "TROTH_PASSPHRASE"


def enrolment_of(settings: Settings) -> Enrolment:
    """The users this proxy issued keys to."""
    return Enrolment(Path(settings.publishing.users))


def master_of(settings: Settings) -> bytes:
    """The master secret; made on first use, under a passphrase where TROTH_PASSPHRASE is set.

    Raises
    ------
    InvalidInput
        There are users but no secret; others may read it; or it is under a passphrase that is not given, or another.
    """
    path, passphrase = Path(settings.publishing.master), os.environ.get(PASSPHRASE)
    if not path.exists():
        if enrolment_of(settings).users():
            raise InvalidInput(f"master secret {path} is gone, which users' keys follow from; restore it from a backup")
        if passphrase:
            write_protected(path, secrets.token_bytes(SECRET_BYTES), passphrase)
    if not path.exists() or not is_protected(path):
        return master_secret(path)
    if not passphrase:
        raise InvalidInput(f"master secret {path} is under a passphrase; give it in {PASSPHRASE}")
    return read_protected(path, passphrase)


def grant_for(settings: Settings, user: str) -> Grant:
    """What the proxy hands to a user."""
    return Grant(user, proxy_key(master_of(settings)).public_key().public_bytes_raw())


def renew_master(settings: Settings) -> None:
    """A new master secret in the place of one that was stolen; under a passphrase where TROTH_PASSPHRASE is set."""
    path, passphrase = Path(settings.publishing.master), os.environ.get(PASSPHRASE)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    if passphrase:
        write_protected(draft, secrets.token_bytes(SECRET_BYTES), passphrase)
    else:
        master_secret(draft)
    draft.replace(path)


def former_grid(settings: Settings, model: str) -> Mapping[str, Sequence[float]]:
    """The edges by feature of the grid that users of `model` were given last; empty where none were."""
    path = _grid(settings, model)
    return json.loads(path.read_text()) if path.exists() else {}


def keep_grid(settings: Settings, model: str, features: Sequence[str], grid: Grid) -> None:
    """Remember a grid before anybody is given it."""
    path = _grid(settings, model)
    content = json.dumps(former_grid(settings, model) | dict(zip(features, grid.edges.tolist(), strict=True)))
    if path.exists() and path.read_text() == content:
        return
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    create_once(draft, content.encode())
    draft.replace(path)


def _grid(settings: Settings, model: str) -> Path:
    name = hashlib.sha256(model.encode()).hexdigest()[:32]
    return Path(settings.publishing.users).parent / "grids" / f"{name}.json"
