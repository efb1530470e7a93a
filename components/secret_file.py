"""Files for secrets: readable by their owner alone, there in full or not at all, and never written twice.

Several processes may need a key for the first time at the same moment; all of them must end with the same one. So the
content is written aside and then linked to its name, which, unlike a rename, fails where the name is taken.
"""

import os
import secrets
import stat
from pathlib import Path


def create_once(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Write `path` in a folder only the owner may enter; where another process was first, its file stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def close_to_others(path: Path) -> None:
    """Take everyone else's rights off a file or folder.

    What is not there, not ours, or meant for everybody (a sticky folder such as /tmp) is left as it is.
    """
    try:
        found = path.stat()
    except FileNotFoundError:
        return
    if found.st_uid == os.geteuid() and found.st_mode & 0o077 and not found.st_mode & stat.S_ISVTX:
        path.chmod(found.st_mode & 0o700)
