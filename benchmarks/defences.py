"""Defences side by side: how far planted secrets stand out, and what each defence leaves of accuracy.

    python benchmarks/defences.py [--snips FOLDER] [--network bilstm|frozen] [--seeds 3]

Ten pin codes of four digits each are planted 0, 1, 10 and 100 times among the training texts (SNIPS, or home commands
in English), a model learns them, and each code is ranked among all ten thousand: bits of exposure, 1.44 for a code
never seen. Letters embed words by their spelling. Early stopping keeps the weights of the epoch that errs least on the
selection part. Epsilon protects an utterance, so a code said a hundred times has a hundredth of the protection.
"""

import argparse
from dataclasses import dataclass

import numpy as np
import torch

from components.data.texts.home_assistant import home_labels, sample_home_commands
from components.data.texts.snips import read_snips
from components.data.texts.split import TextSplit, split_by_user
from components.language.answer import answer, metrics_of
from components.language.audits.canaries import PinCodes, exposures, pin_codes, read, with_canaries
from components.language.audits.likelihood import losses_of
from components.language.learn import LearningParameters, learn
from components.language.model import BiLSTMParameters, FrozenParameters, LanguageModel, new_model
from components.language.protection import PrivacyParameters, protection_of, units_of

DELTA = 1e-5
REPEATS = (0, 1, 10, 100)
PLAIN = LearningParameters(epochs=15, batch=64, rate=3e-3)
PRIVATE = LearningParameters(epochs=20, batch=1024, rate=3e-2)


@dataclass(frozen=True)
class Defence:
    """What is done against memorising."""

    name: str
    dropout: float = 0.0
    characters: bool = False
    stops_early: bool = False
    epsilon: float | None = None


DEFENCES = (
    Defence("none"),
    Defence("dropout 0.5", dropout=0.5),
    Defence("early stopping", stops_early=True),
    Defence("letters", characters=True),
    Defence("all three", dropout=0.5, stops_early=True, characters=True),
    Defence("epsilon 8", epsilon=8),
    Defence("epsilon 1", epsilon=1),
)


def trained(network: str, defence: Defence, split: TextSplit, pins: PinCodes, seed: int) -> LanguageModel:
    """A model of the training texts and the planted codes."""
    corpus = with_canaries(split.train, pins)
    made = {"dropout": defence.dropout} | ({"characters": True} if defence.characters else {})
    shape = (BiLSTMParameters if network == "bilstm" else FrozenParameters)(**made)
    model = new_model(shape, split.labels, seed=seed)
    encoded = read(model, corpus.utterances)
    if defence.epsilon is None:
        best = _Best(model, split) if defence.stops_early else None
        learn(model, encoded, PLAIN, None, seed=seed, on_epoch=best)
        return best.restored() if best else model
    parameters = PrivacyParameters(epsilon=defence.epsilon, delta=DELTA)
    course = {"batch": PRIVATE.batch, "epochs": PRIVATE.epochs, "lengths": encoded.lengths, "trainings": 1}
    protection = protection_of(parameters, units_of(parameters, corpus), **course)
    learn(model, encoded, PRIVATE, protection, seed=seed)
    return model


class _Best:
    """The weights of the epoch that erred least on the selection part."""

    def __init__(self, model: LanguageModel, split: TextSplit):
        self.model, self.selection = model, read(model, split.selection.utterances)
        self.least, self.weights = np.inf, {}

    def __call__(self, _epoch: int) -> None:
        loss = float(losses_of(self.model, self.selection).mean())
        if loss < self.least:
            self.least = loss
            self.weights = {name: weight.detach().clone() for name, weight in self.model.trainable.items()}

    def restored(self) -> LanguageModel:
        with torch.no_grad():
            for name, weight in self.model.trainable.items():
                weight.copy_(self.weights[name])
        return self.model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--snips")
    parser.add_argument("--network", choices=["bilstm", "frozen"], default="bilstm")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--utterances", type=int, default=6000, help="Home commands to draw.")
    options = parser.parse_args()
    torch.set_num_threads(1)
    split = read_snips(options.snips) if options.snips else _home(options.utterances)
    planted = "".join(f"{f'planted {times}':>13}" for times in REPEATS)
    print(f"{'defence':16}{'intents':>9}{'slot F1':>9}{planted}")
    for defence in DEFENCES:
        if defence.characters and options.network != "bilstm":
            continue
        found, bits = [], []
        for seed in range(options.seeds):
            pins = pin_codes(split.labels, repeats=REPEATS, each=10, digits=4, seed=seed)
            model = trained(options.network, defence, split, pins, seed)
            figures = metrics_of(answer(model, split.gate, encoded=read(model, split.gate.utterances)), split.gate)
            found.append((figures.intent_accuracy, figures.slot_f1))
            bits.append(exposures(model, pins).reshape(len(REPEATS), -1))
        intents, slots = np.mean(found, axis=0)
        cells = np.concatenate(bits, axis=1)
        print(
            f"{defence.name:16}{intents:>9.3f}{slots:>9.3f}" + "".join(f"{one.mean():>13.2f}" for one in cells),
            flush=True,
        )


def _home(utterances: int) -> TextSplit:
    corpus = sample_home_commands(utterances, seed=0, languages=("en",))
    return split_by_user(corpus, labels=home_labels(("en",)))


if __name__ == "__main__":
    main()
