"""From references back to texts, and to what a model reads of them.

Features of a frozen encoder are the dearest thing of a run, and depend on a text alone: the same for a candidate, its
twin and its references. So each text is read once in a run with one encoder and projection. What was read goes with the
run: a worker that lives on keeps nothing of anybody's texts.
"""

import hashlib
import json
import weakref
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from prefect.context import FlowRunContext

from components.data.texts.corpus import Corpus, Labels
from components.data.texts.store import read_part
from components.language.encode import Encoded, encode
from components.language.frozen import FrozenModel, with_features
from components.language.model import LanguageModel
from tasks.language.known import keyed
from tasks.references import Texts
from tasks.settings import load_settings

_ENCODERS = 2
_features: dict[int, dict[tuple, dict[str, np.ndarray]]] = {}
"""Run that is under way → what it reads with → text → (T, D) features of its tokens."""


def labels_of(texts: Texts) -> Labels:
    """What models can answer."""
    found = json.loads(texts["labels"])
    return Labels(tuple(found["intents"]), tuple(found["slots"]), found["public"])


def part_of(texts: Texts, part: str) -> Corpus:
    """The utterances of a part: train, selection or gate."""
    stored = texts["parts"][part]
    known_as = partial(keyed, load_settings())
    return read_part(Path(stored["path"]), texts["grouping"], stored["digest"], known_as=known_as)


def read_by(model: LanguageModel, corpus: Corpus, *, on_batch: Callable[[int, int], None] | None = None) -> Encoded:
    """`corpus` as `model` takes it in, with features in place of ids where its encoder is frozen."""
    network, encoded = model.network, encode(corpus, model.vocabulary, model.labels)
    if not isinstance(network, FrozenModel):
        return encoded
    known = _known(model)
    texts = [utterance.text for utterance in corpus.utterances]
    new = {text: row for row, text in enumerate(texts) if text not in known}
    if new:
        rows = np.array(list(new.values()))
        read = with_features(encoded.take(rows), network.features, on_batch=on_batch)
        known |= zip(new, np.split(read.inputs, read.offsets[1:-1]), strict=True)
    return replace(encoded, inputs=np.concatenate([known[text] for text in texts]))


def _known(model: LanguageModel) -> dict[str, np.ndarray]:
    """The features this run has of this model's encoder, layers and projection; those of others make room."""
    projection = model.network.projection
    weights = None if projection is None else hashlib.sha256(projection.weight.numpy().tobytes()).digest()
    key = (model.vocabulary.sha256, model.network.layers, weights)
    features = _of_run()
    if key not in features:
        while len(features) >= _ENCODERS:
            del features[next(iter(features))]
        features[key] = {}
    return features[key]


def _of_run() -> dict[tuple, dict[str, np.ndarray]]:
    """What the run read so far, dropped with the run; outside of one nothing is kept."""
    run = FlowRunContext.get()
    if run is None:
        return {}
    if id(run) not in _features:
        _features[id(run)] = {}
        weakref.finalize(run, _features.pop, id(run), None)
    return _features[id(run)]
