"""What a model is asked and what it says, as plain values: texts in; intent, scores and slots out."""

from collections.abc import Sequence

from components.data.texts.align import MOST_WORDS, words_of
from components.data.texts.corpus import Corpus, Utterance
from components.errors import InvalidInput
from components.language.answer import answer
from components.language.model import LanguageModel


def answers_to(model: LanguageModel, texts: Sequence[str]) -> list[dict]:
    """For each text its `intent`, the intent's `score`, the `scores` of all, and `slots` with their place in the text.

    Raises
    ------
    InvalidInput
        A text has no word, or more than 120.
    """
    for number, text in enumerate(texts, start=1):
        words = len(words_of(text)) if isinstance(text, str) else 0
        if not 1 <= words <= MOST_WORDS:
            raise InvalidInput(f"text {number} of {len(texts)} has {words} words; ask with 1 to {MOST_WORDS}")
    corpus = Corpus(tuple(Utterance(str(number), text, "") for number, text in enumerate(texts)))
    answers = answer(model, corpus)
    told = []
    for text, intent, scores, slots in zip(texts, answers.intents, answers.scores, answers.slots(corpus), strict=True):
        by_intent = dict(zip(model.labels.intents, scores.tolist(), strict=True))
        found = [
            {"slot": slot.name, "text": text[slot.start : slot.end], "start": slot.start, "end": slot.end}
            for slot in slots
        ]
        told.append({"intent": intent, "score": by_intent[intent], "scores": by_intent, "slots": found})
    return told
