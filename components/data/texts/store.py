"""A part of a corpus in its owner's folder: one JSON line an utterance, readable by the owner alone.

A file is written aside and renamed, and read back only if it is, utterance for utterance, what was written. Lines end
in a line feed alone: what people write holds other marks that Python takes for the end of a line.
"""

import json
import os
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path

from components.data.texts.corpus import Corpus, Slot, Utterance
from components.errors import InvalidInput


def write_part(path: Path, corpus: Corpus) -> str:
    """Write the utterances to `path`, and return their digest; untouched where they are there already."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        read_part(path, corpus.grouping, corpus.digest)
    except InvalidInput:
        aside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
                file.writelines(json.dumps(astuple(one), ensure_ascii=False) + "\n" for one in corpus.utterances)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
    return corpus.digest


def read_part(path: Path, grouping: str, digest: str, *, known_as: Callable[[str], str] = str) -> Corpus:
    """The utterances at `path`, whose digest must be `digest`, or be `known_as` it where digests are told keyed.

    Raises
    ------
    InvalidInput
        The file is missing, damaged, or holds others.
    """
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            corpus = Corpus(tuple(_utterance(line) for line in file), grouping)
    except FileNotFoundError:
        raise InvalidInput(f"{path} does not exist; run the flow again to read the texts anew") from None
    except (ValueError, TypeError):
        raise InvalidInput(f"{path} is damaged; run the flow again to read the texts anew") from None
    if known_as(corpus.digest) != digest:
        raise InvalidInput(f"{path} holds other utterances than were recorded; run the flow again")
    return corpus


def _utterance(line: str) -> Utterance:
    row_id, text, intent, slots, group, user = json.loads(line)
    return Utterance(row_id, text, intent, tuple(Slot(*slot) for slot in slots), group, user)
