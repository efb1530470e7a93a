"""What a model thinks of utterances whose truth is known: the joint loss of each, as attacks use it."""

import numpy as np
import torch

from components.language.encode import Encoded
from components.language.loss import joint_losses
from components.language.model import LanguageModel

_BATCH = 256


def losses_of(model: LanguageModel, encoded: Encoded) -> np.ndarray:
    """(n,) float64 joint loss of every utterance, in evaluation mode."""
    losses = np.empty(len(encoded))
    model.network.eval()
    with torch.no_grad():
        for rows in encoded.by_length(_BATCH):
            batch = encoded.batch(rows)
            losses[rows] = joint_losses(model.network(batch.inputs, batch.mask), batch).double().numpy()
    return losses
