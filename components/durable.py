"""What must outlive a power cut: a file's content, or a folder's names, is on the disk once it was flushed there."""

import os
from pathlib import Path


def flush(path: Path) -> None:
    """Return when the file or folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
