"""Where a command writes: checked before the work is done, not after."""

from pathlib import Path

from components.errors import InvalidInput


def destination(path: Path) -> Path:
    """`path`, its folder made if need be.

    Raises
    ------
    InvalidInput
        It is a folder, or lies under something that is none.
    """
    if path.is_dir():
        raise InvalidInput(f"{path} is a folder; name the file to write")
    folder_at(path.parent)
    return path


def folder_at(path: Path) -> Path:
    """`path` as a folder, made if need be; `InvalidInput` where a file is in the way."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise InvalidInput(f"{path} is no folder; move away the file in its place, or write elsewhere") from None
    return path
