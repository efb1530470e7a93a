"""Words of an utterance, and the tags its slots give them: spans of characters to BIO tags and back.

A word is a run of letters and digits, or one other mark; a character of a script without spaces is a word of its own.
The rule is fixed and needs no data, so it is public. Spans of tags follow conlleval (Tjong Kim Sang and Buchholz, CoNLL
2000): an I without a B of the same slot before it begins a span.
"""

import re
from collections.abc import Sequence

from components.data.texts.corpus import OUTSIDE, Slot, Utterance
from components.errors import InvalidInput

_UNSPACED = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
"""Thai, kana and Han."""
_WORD = re.compile(rf"[{_UNSPACED}]|(?:[^\W{_UNSPACED}]|[\u0300-\u036f])+|[^\w\s]")

Span = tuple[int, int]


MOST_WORDS = 120
"""In an utterance; what models read at once."""


def require_short(text: str, where: str) -> None:
    """Raise `InvalidInput` about a text of more words than models read, which `where` names."""
    if (words := len(words_of(text))) > MOST_WORDS:
        raise InvalidInput(f"{where} has an utterance of {words} words; shorten it to {MOST_WORDS}")


def words_of(text: str) -> list[Span]:
    """The words of `text` as spans of characters, in order."""
    return [found.span() for found in _WORD.finditer(text)]


def tags_of(utterance: Utterance, words: Sequence[Span]) -> list[str]:
    """A BIO tag for each word. A word belongs to the slot it begins in; slots that align have whole words.

    `misaligned` says which slots do not.
    """
    tags = [OUTSIDE] * len(words)
    word = 0
    for slot in utterance.slots:
        while word < len(words) and words[word][0] < slot.start:
            word += 1
        mark = "B"
        while word < len(words) and words[word][0] < slot.end:
            tags[word] = f"{mark}-{slot.name}"
            mark, word = "I", word + 1
    return tags


def misaligned(utterance: Utterance, words: Sequence[Span]) -> Slot | None:
    """The first slot that does not begin and end where words do; None where all are sound."""
    begins, ends = {start for start, _ in words}, {end for _, end in words}
    return next((slot for slot in utterance.slots if slot.start not in begins or slot.end not in ends), None)


def spans_of(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """(slot, first word, word after the last) of every span, in order."""
    spans, name, first = [], None, 0
    for position, tag in enumerate((*tags, OUTSIDE)):
        mark, _, here = tag.partition("-")
        continues = mark == "I" and here == name
        if name is not None and not continues:
            spans.append((name, first, position))
            name = None
        if mark != OUTSIDE and not continues:
            name, first = here, position
    return spans


def slots_of(tags: Sequence[str], words: Sequence[Span]) -> tuple[Slot, ...]:
    """The slots that tags speak of, as spans of characters; the inverse of `tags_of` for slots of whole words."""
    return tuple(Slot(name, words[first][0], words[after - 1][1]) for name, first, after in spans_of(tags))
