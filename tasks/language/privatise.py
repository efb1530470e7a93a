"""Texts made private one by one before training, and what that costs in what a model learns from them, drawn."""

import json
import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from components.data.texts.corpus import Corpus
from components.data.texts.home_assistant import LANGUAGES, sample_home_commands
from components.data.texts.split import TextSplit
from components.data.texts.store import read_part, write_part
from components.errors import InvalidInput
from components.language.answer import answer, metrics_of
from components.language.encode import encode
from components.language.frozen import load_encoder
from components.language.learn import LearningParameters, learn
from components.language.metrics import TextMetrics
from components.language.model import BiLSTMParameters, new_model
from components.language.privatise.latent_noise import LatentNoise
from components.language.privatise.rewriting import rewrite, train_rewriter
from components.language.privatise.tradeoff import TradeoffPoint, tradeoff
from components.language.privatise.word_noise import exchange_words, word_noise
from components.language.vocabulary import public_words
from components.privacy import SecureRandomness
from tasks.progress import reporter
from tasks.tracking import Stage

TRADEOFF = "tradeoff.json"
_LATENT = 32
_PUBLIC = 3_000


class _Way(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class WordExchange(_Way):
    """Every word becomes another one near it; epsilon is of one word and grows with distance (d_X-privacy)."""

    kind: Literal["words"] = "words"
    epsilon: float = Field(8.0, gt=0, le=1000, description="Of a word; not comparable with private training's.")
    words: int = Field(3_000, ge=10, le=50_000, description="Public words that a word may become.")


class Rewriting(_Way):
    """Every utterance is written anew from a noised vector (ADePT with corrected noise); slots are lost."""

    kind: Literal["rewriting"] = "rewriting"
    epsilon: float = Field(200.0, gt=0, le=100_000, description="Of an utterance.")


Privatisation = Annotated[WordExchange | Rewriting, Field(discriminator="kind")]


def privatised_once(
    here: Stage, folder: Path, divided: TextSplit, way: Privatisation, languages: tuple[str, ...], *, seed: int
) -> tuple[TextSplit, dict]:
    """`privatised`, or what it gave when this run first came here, which lies in `folder`.

    A run that goes on must go on with the same texts: a second draw would noise every word twice, for one epsilon.
    """
    record = folder / f"{here.run_id}.privatised"
    if record.exists():
        first = json.loads(record.read_text())
        try:
            train = read_part(folder / f"{first['digest'][:16]}.jsonl", divided.train.grouping, first["digest"])
        except InvalidInput:
            pass
        else:
            return replace(divided, train=train), first["privatised"]
    split, done = privatised(here, divided, way, languages, seed=seed)
    write_part(folder / f"{split.train.digest[:16]}.jsonl", split.train)
    aside = record.with_suffix(".new")
    aside.write_text(json.dumps({"digest": split.train.digest, "privatised": done}))
    aside.replace(record)
    return split, done


def privatised(
    here: Stage, divided: TextSplit, way: Privatisation, languages: tuple[str, ...], *, seed: int
) -> tuple[TextSplit, dict]:
    """The texts with their training part made private, and a record of how; utility against privacy is logged."""
    noise = SecureRandomness()
    if way.kind == "words":
        exchanged = word_noise(public_words(languages, size=way.words).words, load_encoder())
        change = lambda corpus, epsilon: exchange_words(exchanged, corpus, epsilon, noise)  # noqa: E731
    else:
        spoken = tuple(language for language in languages if language in LANGUAGES) or ("en",)
        progress = reporter("rewriter")
        # Its own texts are drawn with another seed than a source's, and are public.
        rewriter = train_rewriter(
            sample_home_commands(_PUBLIC, seed=seed + 7919, languages=spoken),
            seed=seed,
            latent=_LATENT,
            on_epoch=lambda number, loss: progress(number, 20, f"loss {loss:.2f}"),
        )
        change = lambda corpus, epsilon: rewrite(rewriter, corpus, LatentNoise(epsilon, _LATENT), noise)  # noqa: E731
    few = divided.train.take(range(min(len(divided.train), 2_000)))
    points = tradeoff(
        few, change, partial(_learnt, divided, seed=seed), [way.epsilon / 4, way.epsilon, 4 * way.epsilon]
    )
    here.record([_record(point) for point in points], TRADEOFF)
    here.parameters({"privatisation": way.model_dump()})
    train = change(divided.train, way.epsilon)
    split = TextSplit(train, divided.selection, divided.gate, divided.labels)
    return split, way.model_dump() | {"points": [_record(point) for point in points]}


def _learnt(divided: TextSplit, corpus: Corpus, *, seed: int) -> TextMetrics:
    """What a small plain model learns from a corpus, judged on real texts of the selection part."""
    model = new_model(BiLSTMParameters(words=5_000), divided.labels, seed=seed)
    learn(
        model, encode(corpus, model.vocabulary, model.labels), LearningParameters(epochs=6, batch=64), None, seed=seed
    )
    return metrics_of(answer(model, divided.selection), divided.selection)


def _record(point: TradeoffPoint) -> dict:
    return {
        "epsilon": point.epsilon if math.isfinite(point.epsilon) else None,
        "utterances_kept": point.utterances_kept,
        "words_kept": point.words_kept,
        "intent_accuracy": point.utility.intent_accuracy,
        "slot_f1": point.utility.slot_f1,
    }
