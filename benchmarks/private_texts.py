"""What private training leaves of accuracy: published corpora at several epsilons, and what that costs in time.

    python benchmarks/private_texts.py --snips FOLDER --clinc FOLDER [--epsilons inf 8 3 1] [--seeds 3]

Heads over the frozen encoder, by the same loop as the pipeline (`components.language.learn`). Parameters were chosen on
the selection part; the gate part, which is the published test set, is looked at once a row. Unit utterance, delta 1e-5;
processor seconds are those of training alone, features are read once before.
"""

import argparse
import time

import numpy as np
import torch

from components.data.texts.clinc import read_clinc
from components.data.texts.snips import read_snips
from components.data.texts.split import TextSplit
from components.language.answer import answer, metrics_of
from components.language.encode import Encoded, encode
from components.language.frozen import with_features
from components.language.learn import LearningParameters, learn
from components.language.model import FrozenParameters, LanguageModel, blank_model, new_model
from components.language.protection import PrivacyParameters, protection_of, units_of

DELTA = 1e-5
PLAIN = LearningParameters(epochs=10, batch=64, rate=3e-3)


def read(model: LanguageModel, split: TextSplit) -> dict[str, Encoded]:
    """Every part as features."""
    return {
        part: with_features(encode(corpus, model.vocabulary, model.labels), model.network.features)
        for part, corpus in split.parts.items()
    }


def trained(
    base: LanguageModel,
    split: TextSplit,
    parts: dict[str, Encoded],
    learning: LearningParameters,
    epsilon: float,
    *,
    seed: int,
) -> tuple[LanguageModel, float]:
    """A model with heads drawn anew, and the processor seconds it took."""
    model = blank_model(base.parameters, base.labels, base.vocabulary, seed=seed)
    model.network.encoder, model.network.projection = base.network.encoder, base.network.projection
    protection = None
    if np.isfinite(epsilon):
        parameters = PrivacyParameters(epsilon=epsilon, delta=DELTA)
        protection = protection_of(
            parameters,
            units_of(parameters, split.train),
            batch=learning.batch,
            epochs=learning.epochs,
            lengths=parts["train"].lengths,
            trainings=1,
        )
    started = time.process_time()
    learn(model, parts["train"], learning if protection else PLAIN, protection, seed=seed)
    return model, time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--snips")
    parser.add_argument("--clinc")
    parser.add_argument("--epsilons", type=float, nargs="+", default=[float("inf"), 8, 3, 1])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--rate", type=float, default=3e-2)
    parser.add_argument("--layers", type=int, nargs="+", default=[0, 2, 4, 6])
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--neighbours", type=int, default=1)
    parser.add_argument("--part", choices=["selection", "gate"], default="gate", help="What is judged on.")
    options = parser.parse_args()
    torch.set_num_threads(1)
    corpora = {"SNIPS": options.snips and read_snips(options.snips)}
    corpora["CLINC150"] = options.clinc and read_clinc(options.clinc)
    learning = LearningParameters(epochs=options.epochs, batch=options.batch, rate=options.rate)
    shape = FrozenParameters(layers=tuple(options.layers), width=options.width, neighbours=options.neighbours)
    print(f"{'corpus':10}{'epsilon':>9}{'intents':>20}{'slot F1':>20}{'frames':>10}{'CPU s':>8}")
    for name, split in corpora.items():
        if not split:
            continue
        base = new_model(shape, split.labels, seed=0)
        parts = read(base, split)
        for epsilon in options.epsilons:
            found = []
            for seed in range(options.seeds):
                model, seconds = trained(base, split, parts, learning, epsilon, seed=seed)
                judged = getattr(split, options.part)
                figures = metrics_of(answer(model, judged, encoded=parts[options.part]), judged)
                found.append((figures.intent_accuracy, figures.slot_f1, figures.exact_match, seconds))
            mean, spread = np.mean(found, axis=0), np.ptp(found, axis=0) / 2
            cells = "".join(f"{f'{mean[k]:.3f} ± {spread[k]:.3f}':>20}" for k in (0, 1))
            print(f"{name:10}{epsilon:>9g}{cells}{mean[2]:>10.3f}{mean[3]:>8.0f}", flush=True)


if __name__ == "__main__":
    main()
