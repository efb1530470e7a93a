"""SNIPS (Coucke et al. 2018, CC0): seven intents of a voice assistant, 14 484 utterances, slots as segments of text.

Read from a folder as published: `train_INTENT_full.json` (or `train_INTENT.json`) and `validate_INTENT.json`. The
published validation files are the gate part; a twentieth of the training files, by hash, is the selection part. Of the
published utterances, three have a slot that ends within a word; they align with no tags and are left out. No users are
on record.
"""

from collections.abc import Iterator
from pathlib import Path

from components.data.split import SALT, split_of
from components.data.texts.align import misaligned, require_short, words_of
from components.data.texts.corpus import Corpus, Slot, Utterance, labels_of
from components.data.texts.lines import bytes_of, json_of
from components.data.texts.split import TextSplit, checked_split
from components.errors import InvalidInput

_LATIN_1 = {0xDC00 + byte: chr(byte) for byte in range(0x80, 0x100)}


def read_snips(folder: Path | str) -> TextSplit:
    """The corpus in `folder`; its label set is published, hence public.

    Raises
    ------
    InvalidInput
        The folder holds no such files, an intent has only one of its two, or a file is not what was published.
    """
    folder = Path(folder)
    tests = sorted(folder.glob("validate_*.json"))
    if not tests:
        raise InvalidInput(f"folder {folder} has no files validate_INTENT.json; name the folder SNIPS was unpacked to")
    learnt, judged = [], []
    for test in tests:
        intent = test.stem.removeprefix("validate_")
        named = [folder / f"train_{intent}_full.json", folder / f"train_{intent}.json"]
        train = next((path for path in named if path.exists()), None)
        if train is None:
            raise InvalidInput(f"folder {folder} has {test.name} and no {named[0].name}; copy the training file too")
        learnt += _utterances(train, intent)
        judged += _utterances(test, intent)
    corpus, gate = Corpus(tuple(learnt)), Corpus(tuple(judged))
    selected = split_of(corpus.row_ids, SALT, (0.95, 0.025, 0.025)) > 0
    labels = labels_of(Corpus((*learnt, *judged)), public=True)
    return checked_split(TextSplit(corpus.take(~selected), corpus.take(selected), gate, labels))


def _utterances(path: Path, intent: str) -> Iterator[Utterance]:
    # The files are UTF-8 but for single Latin-1 bytes (train_PlayMusic_full.json as published has one).
    text = bytes_of(path).decode("utf-8-sig", "surrogateescape").translate(_LATIN_1)
    published = json_of(text, str(path), "copy it again")
    try:
        entries = published[intent]
        segments = [[_segment(part) for part in entry["data"]] for entry in entries]
    except (KeyError, TypeError, AttributeError):
        raise InvalidInput(
            f"{path} does not hold a list under '{intent}' of entries with 'data', a list of 'text' and 'entity'; "
            "it is no SNIPS file"
        ) from None
    for number, parts in enumerate(segments, start=1):
        utterance = from_segments(f"{path.stem}@{number}", intent, parts)
        require_short(utterance.text, f"entry {number} of {path}")
        if utterance.text and misaligned(utterance, words_of(utterance.text)) is None:
            yield utterance


def _segment(part: dict) -> tuple[str, str | None]:
    text, slot = part["text"], part.get("entity")
    if not isinstance(text, str) or not isinstance(slot, str | None):
        raise TypeError
    return text, slot


def from_segments(row_id: str, intent: str, parts: list[tuple[str, str | None]]) -> Utterance:
    """An utterance from consecutive (text, slot or None); white space at the ends of slots and of the whole is cut."""
    before = len("".join(text for text, _ in parts)) - len("".join(text for text, _ in parts).lstrip())
    written, slots = "", []
    for text, slot in parts:
        start = len(written) + len(text) - len(text.lstrip()) - before
        if slot is not None and text.strip():
            slots.append(Slot(slot, start, start + len(text.strip())))
        written += text
    return Utterance(row_id, written.strip(), intent, tuple(slots), "en")
