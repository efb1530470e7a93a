"""Text files as lines, and the mistakes of a whole file: missing, a folder, empty, not UTF-8."""

from pathlib import Path

from components.errors import InvalidInput


def text_of(path: Path | str) -> str:
    """The whole of a UTF-8 file, with or without a byte order mark.

    Raises
    ------
    InvalidInput
        There is no such file, it is empty, or a line is not UTF-8; names the line.
    """
    return decoded(bytes_of(path), path)


def bytes_of(path: Path | str) -> bytes:
    """As `text_of`, before it is known to be text."""
    path = Path(path)
    if not path.exists():
        raise InvalidInput(f"file {path} does not exist")
    if not path.is_file():
        raise InvalidInput(f"{path} is a folder; name a file")
    content = path.read_bytes()
    if not content.strip():
        raise InvalidInput(f"file {path} is empty")
    return content


def decoded(content: bytes, path: Path | str) -> str:
    try:
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidInput(
            f"line {line} of {Path(path).name} is not UTF-8 text (byte 0x{content[error.start]:02x}); "
            "save the file as UTF-8"
        ) from None
