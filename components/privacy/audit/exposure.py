"""Exposure of a canary: by how many bits a secret stands out from all it might have been (Carlini et al. 2019).

exposure = log2 |R| - log2 rank, with the rank of the secret among all |R| candidates by the model's own preference.
Ranking every candidate finds leaks long before any candidate is extracted word for word. For a model that never saw the
canary the rank is uniform and the mean exposure log2(e) = 1.44 bits.
"""

import math

import numpy as np

from components.errors import InvalidInput

UNSEEN = math.log2(math.e)
"""Mean exposure in bits of a secret that was never seen, for many candidates."""


def exposure(scores: np.ndarray, secret: int) -> float:
    """Bits of exposure of candidate `secret` among (R,) scores, larger where preferred; of ties, the middle rank.

    Raises
    ------
    InvalidInput
        `secret` is no candidate, or a score is not a number.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if not 0 <= secret < len(scores):
        raise InvalidInput(f"candidate {secret} is none of the {len(scores)} scored; score every candidate")
    if np.isnan(scores).any():
        raise InvalidInput(f"the scores of {int(np.isnan(scores).sum())} candidates are not numbers; check the model")
    ahead, equal = int((scores > scores[secret]).sum()), int((scores == scores[secret]).sum())
    return math.log2(len(scores)) - math.log2(ahead + (equal + 1) / 2)
