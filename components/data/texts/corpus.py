"""A corpus in memory: utterances with an intent, slots, a group and a user.

Slots are spans of characters, so that no tokeniser is baked into the data; `components.data.texts.align` turns them
into tags of words and back. Label sets stand apart from the utterances: one that is read off private utterances tells
of them, outside any epsilon, and `Labels.public` says whether it was.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from functools import cached_property

import numpy as np

from components.data.table import UNKNOWN, GroupColumn

OUTSIDE = "O"
"""The tag of a word that is in no slot."""


@dataclass(frozen=True)
class Slot:
    """`name` stands at characters [start, end) of its utterance."""

    name: str
    start: int
    end: int


@dataclass(frozen=True)
class Utterance:
    """What one user said once. `slots` are in order and do not overlap; `row_id` is unique in its corpus."""

    row_id: str
    text: str
    intent: str
    slots: tuple[Slot, ...] = ()
    group: str = UNKNOWN
    user: str = ""
    """Who said it; empty where that is not recorded, and the utterance then counts as a user of its own."""

    @property
    def frame(self) -> tuple[tuple[str, str], ...]:
        """The slots as (name, text)."""
        return tuple((slot.name, self.text[slot.start : slot.end]) for slot in self.slots)


@dataclass(frozen=True)
class Labels:
    """What a model can answer, in the order of its outputs."""

    intents: tuple[str, ...]
    slots: tuple[str, ...]
    public: bool
    """False where they were read off the utterances a model is trained on, which no epsilon then covers."""

    @cached_property
    def tags(self) -> tuple[str, ...]:
        """O, then B-slot and I-slot of every slot."""
        return (OUTSIDE, *(f"{mark}-{slot}" for slot in self.slots for mark in "BI"))


@dataclass(frozen=True)
class Corpus:
    """Utterances in an order, and how their group is called where it is reported."""

    utterances: tuple[Utterance, ...]
    grouping: str = "language"

    def __len__(self) -> int:
        return len(self.utterances)

    def take(self, rows: Iterable[int] | np.ndarray) -> "Corpus":
        """The utterances at `rows` (indices, or a boolean mask of length n), in that order."""
        rows = np.asarray(rows)
        indices = np.flatnonzero(rows) if rows.dtype == bool else rows
        taken = Corpus(tuple(self.utterances[row] for row in indices.tolist()), self.grouping)
        # A group without a row among those taken stays a level: one that is absent must not vanish from a report.
        everyone = self.groups[self.grouping]
        taken.__dict__["groups"] = {self.grouping: everyone.take(indices.astype(np.int64))}
        return taken

    @property
    def row_ids(self) -> np.ndarray:
        """(n,) strings."""
        return np.array([utterance.row_id for utterance in self.utterances], dtype=str)

    @property
    def users(self) -> np.ndarray:
        """(n,) strings; the row id where no user is recorded."""
        return np.array([utterance.user or utterance.row_id for utterance in self.utterances], dtype=str)

    @cached_property
    def groups(self) -> dict[str, GroupColumn]:
        """The one group column, under its name."""
        levels, codes = np.unique([utterance.group for utterance in self.utterances], return_inverse=True)
        return {self.grouping: GroupColumn(codes.astype(np.int32), tuple(levels.tolist()))}

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) over everything; the same utterances in the same order give the same."""
        sha = hashlib.sha256(f"{self.grouping}\n".encode())
        for utterance in self.utterances:
            sha.update(json.dumps(astuple(utterance)).encode() + b"\n")
        return sha.hexdigest()


def labels_of(corpus: Corpus, *, public: bool = False) -> Labels:
    """The intents and slot names that occur, sorted."""
    intents = {utterance.intent for utterance in corpus.utterances}
    slots = {slot.name for utterance in corpus.utterances for slot in utterance.slots}
    return Labels(tuple(sorted(intents)), tuple(sorted(slots)), public)
