"""Train, selection and gate parts of texts, split by user, and whether they can be learnt from and judged.

Who speaks is in one part alone, by the same hash as for tables, so that a model is judged on people it never heard.
Published corpora bring parts of their own; they pass the same checks. Sentences go into logs: they call an intent, slot
or group by its name where the labels are public, and by a row that has it where nobody but its owner may know it.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from components.data.split import PARTS, SALT, SHARES, split_of
from components.data.table import UNKNOWN
from components.data.texts.corpus import Corpus, Labels, labels_of
from components.errors import InvalidInput


@dataclass(frozen=True)
class TextSplit:
    """A corpus for each part, and the labels that all of them use."""

    train: Corpus
    selection: Corpus
    gate: Corpus
    labels: Labels

    @property
    def parts(self) -> dict[str, Corpus]:
        return {part: getattr(self, part) for part in PARTS}


def split_by_user(
    corpus: Corpus,
    *,
    labels: Labels | None = None,
    salt: str = SALT,
    shares: tuple[float, float, float] = SHARES,
) -> TextSplit:
    """Divide users by the hash of their names. Without `labels`, those of the train part are used, and are not public.

    Raises
    ------
    InvalidInput
        As `checked_split`.
    """
    codes = split_of(corpus.users, salt, shares)
    train, selection, gate = (corpus.take(codes == code) for code in range(len(PARTS)))
    return checked_split(TextSplit(train, selection, gate, labels or labels_of(train)))


def checked_split(split: TextSplit) -> TextSplit:
    """The split, where every part is sound.

    Raises
    ------
    InvalidInput
        A part is empty; a user speaks in two parts; an intent has a single example to learn from; an intent or slot of
        any part is none of the labels, or one of the later parts has no example in training; a group is never judged.
    """
    for part, corpus in split.parts.items():
        if not len(corpus):
            raise InvalidInput(f"the {part} part has no utterances; give it a larger share, or bring more users")
    _users_apart(split)
    learnt = _counts(split.train)
    for intent, utterances in sorted(learnt.items()):
        if utterances == 1:
            raise InvalidInput(
                f"{_intent(intent, split.train, split.labels)} has one example in the train part; no model learns from "
                "one: bring more, or remove the intent"
            )
    for part, corpus in split.parts.items():
        _labels_known(corpus, split.labels, part)
        if missing := sorted(set(_counts(corpus)) - set(learnt)):
            raise InvalidInput(
                f"{_intent(missing[0], corpus, split.labels)} of the {part} part has no example in the train part "
                f"({len(missing)} such); bring examples, or remove it"
            )
    _groups_judged(split)
    return split


def _intent(intent: str, corpus: Corpus, labels: Labels) -> str:
    if labels.public and intent in labels.intents:
        return f"intent '{intent}'"
    return f"the intent of row {next(one.row_id for one in corpus.utterances if one.intent == intent)}"


def _counts(corpus: Corpus) -> Counter:
    return Counter(utterance.intent for utterance in corpus.utterances)


def _users_apart(split: TextSplit) -> None:
    parts = list(split.parts.items())
    for at, (part, corpus) in enumerate(parts):
        for other, another in parts[at + 1 :]:
            # Users are counted and never named: sentences go into logs.
            if both := np.intersect1d(corpus.users, another.users).size:
                rows = int(np.isin(another.users, corpus.users).sum())
                raise InvalidInput(
                    f"{both} {'user speaks' if both == 1 else 'users speak'} in the {part} part and in the {other} "
                    f"part ({rows} utterances there); keep each user in one"
                )


def _labels_known(corpus: Corpus, labels: Labels, part: str) -> None:
    for utterance in corpus.utterances:
        unknown = sum(slot.name not in labels.slots for slot in utterance.slots)
        if utterance.intent not in labels.intents:
            raise InvalidInput(
                f"the intent of row {utterance.row_id} ({part} part) is not among the {len(labels.intents)} known "
                "ones; correct it, or add it to the labels"
            )
        if unknown:
            raise InvalidInput(
                f"{unknown} of the {len(utterance.slots)} slots of row {utterance.row_id} ({part} part) are not among "
                f"the {len(labels.slots)} known ones; correct them, or add them to the labels"
            )


def _groups_judged(split: TextSplit) -> None:
    everyone = [utterance for corpus in split.parts.values() for utterance in corpus.utterances]
    judged = {utterance.group for utterance in split.gate.utterances}
    for utterance in everyone:
        if utterance.group not in (UNKNOWN, *judged):
            raise InvalidInput(
                f"the gate would judge none of the {sum(one.group == utterance.group for one in everyone)} utterances "
                f"whose {split.gate.grouping} is that of row {utterance.row_id}; merge this level with another, or "
                "bring more users"
            )
