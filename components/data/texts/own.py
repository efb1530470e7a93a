"""Your own texts: JSONL or CSV of `utterance`, `intent` and, where there are any, `slots`, `group` and `user`.

Slots are a list of {"slot": name, "start": first character, "end": the one after the last}, in CSV as JSON, or they are
BIO tags, one for each word between white space. Sentences about mistakes name lines, slots and intents, and repeat
neither what was said nor who said it.
"""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

from components.data.finding import suggestion
from components.data.table import UNKNOWN
from components.data.texts.align import misaligned, slots_of, words_of
from components.data.texts.corpus import OUTSIDE, Corpus, Labels, Slot, Utterance
from components.data.texts.lines import text_of
from components.errors import InvalidInput

KEYS = ("utterance", "intent", "slots", "group", "user")
MOST_WORDS = 120


def read_corpus(path: Path | str, *, grouping: str = "group") -> Corpus:
    """The corpus at `path` (.jsonl or .csv); row ids are the file's name, @ and the line.

    Keys and columns not named above are left out.

    Raises
    ------
    InvalidInput
        A line is not UTF-8, JSON or an object; a key is missing; an utterance is empty or has more than 120 words; a
        slot does not align with words, overlaps another, or has tags that do not fit. Names the file and the line.
    """
    path = Path(path)
    readers = {".jsonl": _json_lines, ".csv": _csv_rows}
    if path.suffix.lower() not in readers:
        raise InvalidInput(f"file {path} ends in '{path.suffix}'; texts are read from .jsonl and .csv files")
    utterances = [_utterance(row, line, path) for line, row in readers[path.suffix.lower()](path)]
    if not utterances:
        raise InvalidInput(f"file {path} has a header and no rows; it must hold at least one")
    return Corpus(tuple(utterances), grouping)


def read_labels(path: Path | str) -> Labels:
    """Declared, hence public, labels: JSON with `intents` and `slots`, two lists of names.

    Raises
    ------
    InvalidInput
        The file does not hold two such lists, or fewer than two intents, or a name twice.
    """
    path = Path(path)
    try:
        document = json.loads(text_of(path))
    except json.JSONDecodeError as error:
        raise InvalidInput(f"labels file {path} is not valid JSON (line {error.lineno}: {error.msg})") from None
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


def _json_lines(path: Path) -> Iterator[tuple[int, dict]]:
    for line, text in enumerate(io.StringIO(text_of(path)), start=1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except json.JSONDecodeError as error:
            raise InvalidInput(
                f"line {line} of {path.name} is not valid JSON ({error.msg} at character {error.pos + 1}); "
                "write one object a line"
            ) from None
        if not isinstance(row, dict):
            raise InvalidInput(
                f"line {line} of {path.name} holds a {type(row).__name__}, not an object; write one object a line"
            )
        _keys_there(row, f"line {line} of {path.name}")
        yield line, row


def _csv_rows(path: Path) -> Iterator[tuple[int, dict]]:
    rows = csv.DictReader(io.StringIO(text_of(path), newline=""), strict=True)
    _keys_there(rows.fieldnames, f"the header of {path.name}")
    try:
        for row in rows:
            if None in row or None in row.values():
                raise InvalidInput(
                    f"line {rows.line_num} of {path.name} does not have {len(rows.fieldnames)} values, as the header "
                    "does; quote values that hold commas"
                )
            yield rows.line_num, row
    except csv.Error as error:
        raise InvalidInput(f"line {rows.line_num} of {path.name} is not CSV ({error}); check its quotes") from None


def _keys_there(names, where: str) -> None:
    for key in ("utterance", "intent"):
        if key not in names:
            raise InvalidInput(f"{where} has no '{key}'; {suggestion(key, list(names), taken=KEYS)}")


def _utterance(row: dict, line: int, path: Path) -> Utterance:
    where = f"line {line} of {path.name}"
    text, intent = (_text(row, key, where).strip() for key in ("utterance", "intent"))
    if not text or not words_of(text):
        raise InvalidInput(f"{where} has an empty utterance; remove the line or write what was said")
    if not intent:
        raise InvalidInput(f"{where} has an empty intent; name one")
    words = words_of(text)
    if len(words) > MOST_WORDS:
        raise InvalidInput(f"{where} has an utterance of {len(words)} words; shorten it to {MOST_WORDS}")
    given = row["utterance"]
    slots = _slots(row.get("slots"), text, len(given) - len(given.lstrip()), where)
    group, user = (_text(row, key, where).strip() for key in ("group", "user"))
    utterance = Utterance(f"{path.name}@{line}", text, intent, slots, group or UNKNOWN, user)
    if broken := misaligned(utterance, words):
        raise InvalidInput(
            f"{where}: slot '{broken.name}' at [{broken.start}, {broken.end}) does not begin and end with words; "
            "move it to whole words"
        )
    return utterance


def _text(row: dict, key: str, where: str) -> str:
    value = row.get(key)
    if value is None:
        return ""
    if not isinstance(value, str | int):
        raise InvalidInput(f"{where}: '{key}' is of type {type(value).__name__}; it must be text")
    return str(value)


def _slots(given, text: str, cut: int, where: str) -> tuple[Slot, ...]:
    """`cut` characters were taken off the front of the text; spans of characters count from before that."""
    if isinstance(given, str) and given.lstrip().startswith("["):
        try:
            given = json.loads(given)
        except json.JSONDecodeError as error:
            raise InvalidInput(f"{where}: 'slots' is not valid JSON ({error.msg}); write a list of objects") from None
    if given is None or given == "" or given == []:
        return ()
    if isinstance(given, str):
        return _from_tags(given.split(), text, where)
    if isinstance(given, list) and all(isinstance(tag, str) for tag in given):
        return _from_tags(given, text, where)
    if not isinstance(given, list):
        raise InvalidInput(f"{where}: 'slots' is of type {type(given).__name__}; write a list of objects, or tags")
    slots = sorted((_slot(each, text, cut, where) for each in given), key=lambda slot: slot.start)
    for slot, following in zip(slots, slots[1:], strict=False):
        if following.start < slot.end:
            raise InvalidInput(f"{where}: slots '{slot.name}' and '{following.name}' overlap; a word is in one slot")
    return tuple(slots)


def _slot(given, text: str, cut: int, where: str) -> Slot:
    name, start, end = (given.get(key) if isinstance(given, dict) else None for key in ("slot", "start", "end"))
    if not isinstance(name, str) or not name or type(start) is not int or type(end) is not int:
        raise InvalidInput(
            f'{where}: a slot has no name, start or end; write it as {{"slot": name, "start": 0, "end": 4}}'
        )
    if not 0 <= start - cut < end - cut <= len(text):
        raise InvalidInput(
            f"{where}: slot '{name}' is at [{start}, {end}) of an utterance of {len(text) + cut} characters; "
            "start counts from 0 and end is after the last"
        )
    return Slot(name, start - cut, end - cut)


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
            raise InvalidInput(f"{where}: tag {position} is '{tag}'; tags are O, B-slot and I-slot")
        if mark == "I" and before.partition("-")[2] != name:
            raise InvalidInput(
                f"{where}: tag {position} is '{tag}' and follows '{before}'; a slot begins with B-{name}"
            )
    return slots_of(tags, words)
