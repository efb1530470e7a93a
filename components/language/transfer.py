"""What one task taught, brought to another: pre-training on public texts costs no privacy.

Generated commands to a home are public and have intents and slots of their own; a model that learnt them starts on
private texts with everything but its last layers, which have other outputs.
"""

import torch

from components.data.texts.corpus import Labels
from components.language.model import LanguageModel, blank_model


def with_labels(model: LanguageModel, labels: Labels, *, seed: int) -> LanguageModel:
    """A model of the same kind and vocabulary for other `labels`; weights of one name and shape are copied.

    The two last layers are new, since their outputs mean something else even where their number is the same.
    """
    fresh = blank_model(model.parameters, labels, model.vocabulary, seed=seed)
    learnt = fresh.own
    with torch.no_grad():
        for name, weight in model.own.items():
            if not name.startswith(("heads.intent.", "heads.slot.")):
                learnt[name].copy_(weight)
    return fresh
