"""Your own texts: JSONL or CSV of `utterance`, `intent` and, where there are any, `slots`, `group` and `user`.

Slots are a list of {"slot": name, "start": first character, "end": the one after the last}, in CSV as JSON, or they are
BIO tags, one for each word between white space. Sentences about mistakes name lines and places in them, and repeat
nothing that the file says, not even names: where columns are mixed up, a name is what somebody said.
"""

import csv
import io
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from types import UnionType

from components.data.reading import SEPARATORS
from components.data.table import UNKNOWN
from components.data.texts.align import misaligned, require_short, slots_of, words_of
from components.data.texts.corpus import OUTSIDE, Corpus, Labels, Slot, Utterance
from components.data.texts.lines import json_of, text_of
from components.errors import InvalidInput

KEYS = ("utterance", "intent", "slots", "group", "user")


def read_corpus(path: Path | str, *, grouping: str = "group") -> Corpus:
    """The corpus at `path` (.jsonl or .csv); row ids are the file's name, @ and the line.

    Keys and columns not named above are left out.

    Raises
    ------
    InvalidInput
        A line is not UTF-8, JSON or an object; a key is missing, there twice or of another type; an utterance is empty
        or has more than 120 words; a slot does not align with words, overlaps another, or has tags that do not fit.
        Names the file and the line.
    """
    path = Path(path)
    utterances = [_utterance(row, line, path) for line, row in _reader(path)(path, ("utterance", "intent"))]
    if not utterances:
        raise InvalidInput(f"file {path} has a header and no rows; it must hold at least one")
    return Corpus(tuple(utterances), grouping)


def read_utterances(path: Path | str) -> list[str]:
    """The texts alone of a .jsonl or .csv file with `utterance`, which need no truth beside them.

    Raises
    ------
    InvalidInput
        As `read_corpus`, of what concerns the texts.
    """
    path = Path(path)
    rows = _reader(path)(path, ("utterance",))
    return [_utterance_text(row, f"line {line} of {path.name}") for line, row in rows]


def read_labels(path: Path | str) -> Labels:
    """Declared, hence public, labels: JSON with `intents` and `slots`, two lists of names.

    Raises
    ------
    InvalidInput
        The file does not hold two such lists, or fewer than two intents, or a name twice.
    """
    path = Path(path)
    document = json_of(text_of(path), f"labels file {path}", "write an object with 'intents' and 'slots'")
    found = {}
    for key in ("intents", "slots"):
        names = document.get(key) if isinstance(document, dict) else None
        if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
            raise InvalidInput(f"labels file {path}: '{key}' must be a list of names")
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise InvalidInput(f"labels file {path}: '{key}' lists '{twice}' twice; names are unique")
        found[key] = tuple(names)
    if len(found["intents"]) < 2:
        raise InvalidInput(f"labels file {path} lists {len(found['intents'])} intents; a model needs two at least")
    return Labels(**found, public=True)


def _reader(path: Path) -> Callable[[Path, tuple[str, ...]], Iterator[tuple[int, dict]]]:
    readers = {".jsonl": _json_lines, ".csv": _csv_rows}
    if path.suffix.lower() not in readers:
        raise InvalidInput(f"file {path} ends in '{path.suffix}'; texts are read from .jsonl and .csv files")
    return readers[path.suffix.lower()]


def _json_lines(path: Path, needed: tuple[str, ...]) -> Iterator[tuple[int, dict]]:
    for line, text in enumerate(io.StringIO(text_of(path)), start=1):
        if not text.strip():
            continue
        row = json_of(text, f"line {line} of {path.name}", "write one object a line")
        if not isinstance(row, dict):
            raise InvalidInput(
                f"line {line} of {path.name} holds a {type(row).__name__}, not an object; write one object a line"
            )
        _keys_there(row, needed, f"line {line} of {path.name}", "key")
        yield line, row


def _csv_rows(path: Path, needed: tuple[str, ...]) -> Iterator[tuple[int, dict]]:
    rows = csv.DictReader(io.StringIO(text_of(path), newline=""), strict=True)
    try:
        _header_right(rows.fieldnames or (), needed, path)
        for row in rows:
            if None in row or None in row.values():
                raise InvalidInput(
                    f"line {rows.line_num} of {path.name} does not have {len(rows.fieldnames)} values, as the header "
                    "does; quote values that hold commas"
                )
            yield rows.line_num, row
    except csv.Error as error:
        raise InvalidInput(f"line {rows.line_num} of {path.name} is not CSV ({error}); check its quotes") from None


def _header_right(names: Sequence[str], needed: tuple[str, ...], path: Path) -> None:
    if len(names) == 1 and (other := next((mark for mark in SEPARATORS if mark in names[0]), None)):
        raise InvalidInput(
            f"the columns of {path.name} seem to be separated by {SEPARATORS[other]}; save it with commas between them"
        )
    if not set(KEYS) & set(names):
        raise InvalidInput(
            f"line 1 of {path.name} names none of {', '.join(needed)} in its {_counted(names, 'column')}; "
            f"begin the file with a header such as {','.join(needed)}"
        )
    if twice := next((key for key in KEYS if names.count(key) > 1), None):
        raise InvalidInput(f"the header of {path.name} has '{twice}' {names.count(twice)} times; keep one such column")
    _keys_there(names, needed, f"the header of {path.name}", "column")


def _keys_there(names: Collection[str], needed: tuple[str, ...], where: str, kind: str) -> None:
    for key in needed:
        if key not in names:
            raise InvalidInput(
                f"{where} has no '{key}' among its {_counted(names, kind)}; it needs {' and '.join(needed)}, "
                "spelt like this"
            )


def _counted(names: Collection[str], kind: str) -> str:
    return f"{len(names)} {kind}{'' if len(names) == 1 else 's'}"


def _utterance_text(row: dict, where: str) -> str:
    text = _text(row, "utterance", where, of=str).strip()
    if not words_of(text):
        raise InvalidInput(f"{where} has an empty utterance; remove the line or write what was said")
    require_short(text, where)
    return text


def _utterance(row: dict, line: int, path: Path) -> Utterance:
    where = f"line {line} of {path.name}"
    text, intent = _utterance_text(row, where), _text(row, "intent", where).strip()
    if not intent:
        raise InvalidInput(f"{where} has an empty intent; name one")
    words = words_of(text)
    given = row["utterance"]
    cut = len(given) - len(given.lstrip())
    slots = _slots(row.get("slots"), text, cut, where)
    group, user = (_text(row, key, where).strip() for key in ("group", "user"))
    utterance = Utterance(f"{path.name}@{line}", text, intent, slots, group or UNKNOWN, user)
    if broken := misaligned(utterance, words):
        raise InvalidInput(
            f"{where}: the slot at {_place(broken, cut)} does not begin and end with words; move it to whole words"
        )
    return utterance


def _text(row: dict, key: str, where: str, *, of: type | UnionType = str | int) -> str:
    value = row.get(key)
    if value is None:
        return ""
    if not isinstance(value, of) or isinstance(value, bool):
        raise InvalidInput(f"{where}: '{key}' is of type {type(value).__name__}; it must be text")
    return str(value)


def _slots(given, text: str, cut: int, where: str) -> tuple[Slot, ...]:
    """`cut` characters were taken off the front of the text; spans of characters count from before that."""
    if isinstance(given, str) and given.lstrip().startswith("["):
        given = json_of(given, f"{where}: 'slots'", "write a list of objects")
    if given is None or given == "" or given == []:
        return ()
    if isinstance(given, str):
        return _from_tags(given.split(), text, where)
    if isinstance(given, list) and all(isinstance(tag, str) for tag in given):
        return _from_tags(given, text, where)
    if not isinstance(given, list):
        raise InvalidInput(f"{where}: 'slots' is of type {type(given).__name__}; write a list of objects, or tags")
    slots = [_slot(each, text, cut, f"{where}: slot {number}") for number, each in enumerate(given, start=1)]
    slots.sort(key=lambda slot: slot.start)
    for slot, following in zip(slots, slots[1:], strict=False):
        if following.start < slot.end:
            raise InvalidInput(
                f"{where}: the slots at {_place(slot, cut)} and {_place(following, cut)} overlap; a word is in one slot"
            )
    return tuple(slots)


def _slot(given, text: str, cut: int, where: str) -> Slot:
    name, start, end = (given.get(key) if isinstance(given, dict) else None for key in ("slot", "start", "end"))
    if not isinstance(name, str) or not name or type(start) is not int or type(end) is not int:
        raise InvalidInput(
            f"{where} has no name, or no whole numbers as start and end; write it as "
            '{"slot": name, "start": 0, "end": 4}'
        )
    if not 0 <= start - cut < end - cut <= len(text):
        raise InvalidInput(
            f"{where} is empty or reaches beyond the {len(text)} characters of the utterance; start counts from 0 and "
            "end is after the last"
        )
    return Slot(name, start - cut, end - cut)


def _place(slot: Slot, cut: int) -> str:
    return f"[{slot.start + cut}, {slot.end + cut})"


def _from_tags(tags: list[str], text: str, where: str) -> tuple[Slot, ...]:
    words, at = [], 0
    for word in text.split():
        at = text.index(word, at)
        words.append((at, at + len(word)))
        at += len(word)
    if len(tags) != len(words):
        raise InvalidInput(f"{where} has {len(tags)} slot tags for {len(words)} words; write one for each")
    for position, (tag, before) in enumerate(zip(tags, [OUTSIDE, *tags], strict=False), start=1):
        mark, _, name = tag.partition("-")
        if tag != OUTSIDE and (mark not in ("B", "I") or not name):
            raise InvalidInput(f"{where}: tag {position} is none of O, B-slot and I-slot; write one of these")
        if mark == "I" and before.partition("-")[2] != name:
            raise InvalidInput(
                f"{where}: tag {position} goes on with a slot that tag {position - 1} is not in; begin it with B"
            )
    return slots_of(tags, words)
