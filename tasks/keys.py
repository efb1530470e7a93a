"""The secret behind row pseudonyms: made once on this machine, never logged, never sent."""

import secrets

from components.errors import InvalidInput
from components.secret_file import create_once
from tasks.settings import Settings

_BYTES = 32


def row_key(settings: Settings) -> bytes:
    """32 secret bytes in `keys/rows.key`, readable by their owner alone; made on first use.

    Raises
    ------
    InvalidInput
        The file holds something else.
    """
    path = settings.root / "keys" / "rows.key"
    if not path.exists():
        create_once(path, secrets.token_bytes(_BYTES))
    key = path.read_bytes()
    if len(key) != _BYTES:
        raise InvalidInput(f"row key {path} has {len(key)} bytes instead of {_BYTES}; restore it, or delete it")
    return key
