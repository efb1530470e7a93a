"""The secret behind row pseudonyms: made once on this machine, never logged, never sent."""

import os
import secrets

from tasks.settings import Settings


def row_key(settings: Settings) -> bytes:
    """32 secret bytes in `keys/rows.key`, readable by their owner alone; made on first use."""
    path = settings.root / "keys" / "rows.key"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_bytes()
    with os.fdopen(handle, "wb") as file:
        key = secrets.token_bytes(32)
        file.write(key)
    return key
