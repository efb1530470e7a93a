"""CLINC150 (Larson et al., EMNLP 2019, CC BY 3.0): 150 intents of ten domains, and requests out of their scope.

Read from `data_full.json` as published; its parts train, val and test are train, selection and gate here. Requests out
of scope are an intent of their own, `oos`. There are no slots and no users.
"""

from pathlib import Path

from components.data.texts.align import require_short
from components.data.texts.corpus import Corpus, Utterance, labels_of
from components.data.texts.lines import json_of, text_of
from components.data.texts.split import TextSplit, checked_split
from components.errors import InvalidInput

_PARTS = {"train": ("train", "oos_train"), "selection": ("val", "oos_val"), "gate": ("test", "oos_test")}


def read_clinc(folder: Path | str, *, out_of_scope: bool = True) -> TextSplit:
    """The corpus in `folder`; its label set is published, hence public.

    Raises
    ------
    InvalidInput
        The file is missing or is not what was published.
    """
    path = Path(folder) / "data_full.json"
    published = json_of(text_of(path), str(path), "copy it again")
    corpora = {}
    for part, (inside, outside) in _PARTS.items():
        utterances = []
        for key in (inside, outside) if out_of_scope else (inside,):
            try:
                rows = [(text.strip(), str(intent)) for text, intent in published[key]]
            except (KeyError, TypeError, ValueError, AttributeError):
                raise InvalidInput(f"{path} has no list '{key}' of [text, intent]; it is no CLINC150 file") from None
            for number, (text, _) in enumerate(rows, start=1):
                require_short(text, f"row {number} of '{key}' of {path}")
            utterances += [
                Utterance(f"{key}@{number}", text, intent, group="en")
                for number, (text, intent) in enumerate(rows, start=1)
                if text
            ]
        corpora[part] = Corpus(tuple(utterances))
    everyone = Corpus(tuple(utterance for corpus in corpora.values() for utterance in corpus.utterances))
    return checked_split(TextSplit(**corpora, labels=labels_of(everyone, public=True)))
