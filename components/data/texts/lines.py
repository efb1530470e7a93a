"""Text files as text and as JSON, and the mistakes of either, told without repeating what a file says."""

import json
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


def json_of(text: str, where: str, remedy: str) -> object:
    """JSON as values, of which every string can be written again and no key hides another.

    `where` and `remedy` are the ends of the sentence about a mistake.

    Raises
    ------
    InvalidInput
        It is not JSON, is nested too deep for a reader, has an integer of thousands of digits, says a key of one object
        twice, or a string holds half of a surrogate pair.
    """
    try:
        value = json.loads(text, object_pairs_hook=_unique)
        # Only an escape can name half of a pair, and few texts have any.
        if "\\ud" in text.lower():
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        line = f"line {error.lineno}, " if "\n" in text.strip() else ""
        what = f"is not valid JSON ({error.msg} at {line}character {error.colno})"
    except KeyError:
        what = "says a key of one object twice, and one would hide the other"
    except RecursionError:
        what = "is nested too deep"
    except UnicodeEncodeError:
        what = "holds half of a surrogate pair (\\ud800 to \\udfff), which is no character"
    except ValueError:
        what = "holds an integer of thousands of digits"
    else:
        return value
    raise InvalidInput(f"{where} {what}; {remedy}")


def _unique(pairs: list[tuple[str, object]]) -> dict:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise KeyError
    return found
