"""Canaries: secrets that are planted in a twin's training data, to see how much of them comes out again.

Two kinds. Pin codes ("my pin code is four one ...", Parikh, Dupuy, Gupta, ACL 2022) are planted a few times each, or
never, and ranked among all codes there could be: exposure. Coin canaries, words that nobody says under a random intent,
are planted or not by the toss of a coin each; how often the model betrays the toss bounds epsilon from below in one run
(Steinke, Nasr, Jagielski 2023). Where users are protected, a coin canary is a user with several such utterances.
"""

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import torch

from components.data.texts.align import words_of
from components.data.texts.corpus import Corpus, Labels, Slot, Utterance
from components.language.audits.likelihood import losses_of
from components.language.embedded import read_embedded, table_of
from components.language.encode import Batch, Encoded, encode
from components.language.frozen import FrozenModel, with_features
from components.language.loss import joint_losses
from components.language.model import LanguageModel
from components.privacy.audit import Extraction, exposure, extract, guesses_for, one_run_bound

PREFIX = "my pin code is"
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_LETTERS = np.array(list("abcdefghijklmnopqrstuvwxyz"))


@dataclass(frozen=True)
class PinCodes:
    """Different codes after one prefix, all of one intent and slot; code i is planted `repeats[i]` times.

    Copies of a code are one user's, so that a guarantee to users covers them all and one to utterances does not.
    """

    codes: tuple[tuple[int, ...], ...]
    repeats: tuple[int, ...]
    intent: str
    slot: str | None

    def utterance(self, code: tuple[int, ...], row_id: str = "", user: str = "") -> Utterance:
        """The code in words."""
        text = " ".join((PREFIX, *(DIGITS[digit] for digit in code)))
        slots = (Slot(self.slot, len(PREFIX) + 1, len(text)),) if self.slot else ()
        return Utterance(row_id, text, self.intent, slots, user=user)

    def planted(self) -> tuple[Utterance, ...]:
        """Every copy of every code."""
        return tuple(
            self.utterance(code, f"pin {number}, copy {copy}", f"pin {number}")
            for number, (code, times) in enumerate(zip(self.codes, self.repeats, strict=True))
            for copy in range(times)
        )

    def every(self) -> tuple[Utterance, ...]:
        """All codes there could be, in order."""
        return tuple(self.utterance(code) for code in product(range(10), repeat=len(self.codes[0])))

    def place(self, code: tuple[int, ...]) -> int:
        """Where `code` stands in `every`."""
        return int("".join(map(str, code)))


def pin_codes(labels: Labels, *, repeats: tuple[int, ...], each: int, digits: int, seed: int) -> PinCodes:
    """`each` codes for each number of `repeats`, drawn with `seed`, none twice; 0 repeats is a control."""
    rng = np.random.default_rng(seed)
    drawn = rng.choice(10**digits, size=each * len(repeats), replace=False)
    codes = tuple(tuple(int(digit) for digit in f"{number:0{digits}d}") for number in drawn)
    return PinCodes(
        codes,
        tuple(times for times in repeats for _ in range(each)),
        labels.intents[int(rng.integers(len(labels.intents)))],
        labels.slots[int(rng.integers(len(labels.slots)))] if labels.slots else None,
    )


@dataclass(frozen=True)
class CoinCanaries:
    """Canaries of one or several utterances each, which nobody would say, and (n,) which of them the coin put in."""

    utterances: tuple[tuple[Utterance, ...], ...]
    put_in: np.ndarray

    def planted(self) -> tuple[Utterance, ...]:
        return tuple(one for each, chosen in zip(self.utterances, self.put_in, strict=True) if chosen for one in each)


def coin_canaries(labels: Labels, count: int, randomness, *, seed: int, each: int = 1) -> CoinCanaries:
    """`count` canaries, each a user with `each` utterances of five random words of five letters.

    The coins are `randomness`'s, so that no seed betrays them.
    """
    rng = np.random.default_rng(seed)
    letters = _LETTERS[rng.integers(26, size=(count, each, 5, 5))]
    intents = rng.integers(len(labels.intents), size=(count, each))
    utterances = tuple(
        tuple(
            Utterance(
                f"coin {number}, {place}",
                " ".join("".join(word) for word in words),
                labels.intents[intents[number, place]],
                user=f"coin {number}",
            )
            for place, words in enumerate(said)
        )
        for number, said in enumerate(letters)
    )
    return CoinCanaries(utterances, randomness.happens(count, 0.5))


def with_canaries(corpus: Corpus, *canaries: PinCodes | CoinCanaries) -> Corpus:
    """The corpus and, after it, all that is planted."""
    planted = [utterance for some in canaries for utterance in some.planted()]
    return Corpus((*corpus.utterances, *planted), corpus.grouping)


def read(model: LanguageModel, utterances: tuple[Utterance, ...]) -> Encoded:
    """Utterances as the model takes them in, with features where its encoder is frozen."""
    encoded = encode(Corpus(utterances), model.vocabulary, model.labels)
    return with_features(encoded, model.network.features) if isinstance(model.network, FrozenModel) else encoded


def exposures(model: LanguageModel, pins: PinCodes) -> np.ndarray:
    """(codes,) bits by which each code stands out from all that could be."""
    scores = -losses_of(model, read(model, pins.every()))
    return np.array([exposure(scores, pins.place(code)) for code in pins.codes])


@dataclass(frozen=True)
class CoinBound:
    """Epsilon at least, as `right` of `guesses` show, and the `most` that all of them could have shown."""

    least: float
    most: float
    guesses: int
    right: int


def coin_bound(model: LanguageModel, coins: CoinCanaries, *, delta: float, confidence: float) -> CoinBound:
    """Guess the surest canaries: those of least loss as in, of most as out; how many is fixed before any is seen.

    What a canary's words cost anyway is taken off: its loss is compared with that of its words under another intent.
    """
    said = tuple(one for each in coins.utterances for one in each)
    intents = model.labels.intents
    others = tuple(replace(one, intent=intents[(intents.index(one.intent) + 1) % len(intents)]) for one in said)
    told = losses_of(model, read(model, others)) - losses_of(model, read(model, said))
    score = told.reshape(len(coins.utterances), -1).sum(axis=1)
    order = np.argsort(score, kind="stable")
    guesses = guesses_for(canaries=len(order), delta=delta, confidence=confidence)
    out, within = order[: guesses // 2], order[len(order) - (guesses - guesses // 2) :]
    right = int((~coins.put_in[out]).sum() + coins.put_in[within].sum())

    def bound(right: int) -> float:
        return one_run_bound(canaries=len(order), guesses=guesses, right=right, delta=delta, confidence=confidence)

    return CoinBound(bound(right), bound(guesses), guesses, right)


def extraction(
    model: LanguageModel, pins: PinCodes, *, seed: int, restarts: int = 8, steps: int = 100
) -> Extraction | None:
    """ModIvA: the code that the weights prefer, found by climbing the likelihood of intent and slot.

    None where the vocabulary has no word of its own for every digit.
    """
    vocabulary, labels = model.vocabulary, model.labels
    whole = pins.utterance(pins.codes[0])
    words = [whole.text[start:end] for start, end in words_of(whole.text)]
    ids, firsts = vocabulary.encode(words)
    unknown = len(pins.codes[0])
    digit_ids = [vocabulary.encode([digit]) for digit in DIGITS]
    singles = [found[firsts[0]] for found, firsts in digit_ids]
    if len(set(singles)) < len(DIGITS) or any(len(found) != len(digit_ids[0][0]) for found, _ in digit_ids):
        return None
    encoded = encode(Corpus((whole,)), vocabulary, labels)
    truth = encoded.batch(np.array([0]))
    after = torch.tensor(ids[firsts[-1] + 1 :], dtype=torch.int64)
    table = table_of(model.network)
    model.network.eval()

    def log_likelihood(embedded: torch.Tensor) -> torch.Tensor:
        count = len(embedded)
        embedded = torch.cat([embedded, table[after].expand(count, -1, -1)], dim=1)
        mask = torch.ones(embedded.shape[:2], dtype=torch.bool)
        batch = Batch(embedded, mask, truth.tags.expand(count, -1), truth.intents.expand(count), truth.rows)
        return -joint_losses(read_embedded(model.network, embedded, mask), batch)

    found = extract(
        log_likelihood,
        table,
        torch.tensor(ids[: firsts[-unknown]], dtype=torch.int64),
        unknown=unknown,
        candidates=torch.tensor(singles),
        restarts=restarts,
        steps=steps,
        seed=seed,
    )
    return Extraction(tuple(singles.index(word) for word in found.words), found.log_likelihood)
