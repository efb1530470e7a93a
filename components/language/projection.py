"""Fewer features, chosen on public texts: the directions in which an encoder's answers to home commands differ most.

Noise of private training grows with the number of weights, and a common mean that every token shares spends the clipped
gradient on what tells nothing. Both go where features are centred and projected on principal directions before any
private text is seen. Noise falls on all directions alike while features lie along few, so these are drawn together. All
of it comes from generated commands alone, so it costs no privacy.
"""

from functools import partial

import numpy as np
import torch
from torch import nn

from components.data.texts.home_assistant import LANGUAGES, home_labels, sample_home_commands
from components.language.encode import encode
from components.language.frozen import with_features
from components.language.transformer import Encoder
from components.language.vocabulary import PieceVocabulary

COMMANDS = 1500
"""Public utterances the directions are found on; they have some 20 000 tokens."""
EVENNESS = 0.5
"""0 leaves a direction's variance v as it is, 1 makes all alike: a direction counts v^((1 - EVENNESS) / 2)."""
LENGTH = 4.0
"""Of a token's projected features, as a root mean square."""


def public_projection(
    projection: nn.Linear,
    encoder: Encoder,
    vocabulary: PieceVocabulary,
    layers: tuple[int, ...],
    *,
    seed: int,
    languages: tuple[str, ...],
) -> None:
    """Set `projection` (D to k) to W (x - mean), W the k principal directions of features of commands in `languages`,
    each in the scale that `EVENNESS` and `LENGTH` give it.

    Languages without a grammar are left out; English stands in where none has one.
    """
    spoken = tuple(language for language in languages if language in LANGUAGES) or ("en",)
    commands = sample_home_commands(COMMANDS, seed=seed, languages=spoken)
    encoded = encode(commands, vocabulary, home_labels(spoken))
    features = with_features(encoded, partial(encoder, layers=layers)).inputs.astype(np.float64)
    mean = features.mean(axis=0)
    variances, directions = np.linalg.eigh(np.cov(features, rowvar=False))
    variances, chosen = variances[::-1][: projection.out_features], directions[:, ::-1][:, : projection.out_features].T
    # A direction and its opposite are one; the sign is fixed so that the same texts give the same weights.
    chosen *= np.sign(chosen[np.arange(len(chosen)), np.abs(chosen).argmax(axis=1)])[:, None]
    variances = np.maximum(variances, 1e-6 * variances[0])
    evened = variances ** (1 - EVENNESS)
    chosen *= LENGTH * np.sqrt(evened / evened.sum() / variances)[:, None]
    with torch.no_grad():
        projection.weight.copy_(torch.from_numpy(np.ascontiguousarray(chosen)))
        projection.bias.copy_(torch.from_numpy(-chosen @ mean))
