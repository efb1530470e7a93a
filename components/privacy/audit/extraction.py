"""ModIvA: read a canary's unknown words out of a model's weights (Parikh, Dupuy, Gupta, ACL 2022).

The attacker holds the model, the canary's prefix and its labels. Each unknown word is a distribution over the
vocabulary, softmax(z / temperature), which enters the model as its mean embedding; the likelihood of the labels is
climbed in z while the temperature falls, so that distributions become words. At the end each is its most likely word,
after a trial of its likeliest rivals in its place. It finds what a model learnt by heart; that it finds nothing proves
nothing (see `exposure`, which is more sensitive).
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from components.errors import InvalidInput

LogLikelihood = Callable[[Tensor], Tensor]
"""From embedded words (B, T, d) to the log-likelihood (B,) of the target intent and slots."""


@dataclass(frozen=True)
class Extraction:
    """The words (unknown,) found, and the log-likelihood of the labels with them in place."""

    words: tuple[int, ...]
    log_likelihood: float


def extract(
    log_likelihood: LogLikelihood,
    table: Tensor,
    prefix: Tensor,
    *,
    unknown: int,
    candidates: Tensor,
    restarts: int = 8,
    steps: int = 150,
    rate: float = 0.1,
    temperatures: tuple[float, float] = (1.0, 0.05),
    rivals: int = 10,
    seed: int = 0,
) -> Extraction:
    """The best of `restarts` climbs at once, from random starts drawn with `seed`.

    Parameters
    ----------
    table
        (V, d) embeddings of the model.
    prefix
        (P,) known words before the unknown ones.
    candidates
        (C,) words an unknown one may be.
    temperatures
        First and last; between them they fall exponentially.

    Raises
    ------
    InvalidInput
        There is nothing to find or to choose from.
    """
    if unknown < 1 or not len(candidates):
        raise InvalidInput(f"{unknown} unknown words of {len(candidates)} candidates leave nothing to extract")
    table = table.detach()
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(restarts, unknown, len(candidates), generator=generator).to(table).requires_grad_()
    known, choices = table[prefix].expand(restarts, -1, -1), table[candidates]
    climber = torch.optim.Adam([logits], lr=rate, maximize=True)
    first, last = temperatures
    for step in range(steps):
        temperature = first * (last / first) ** (step / max(1, steps - 1))
        words = (logits / temperature).softmax(-1) @ choices
        total = log_likelihood(torch.cat([known, words], dim=1)).sum()
        (logits.grad,) = torch.autograd.grad(total, [logits])
        climber.step()
    with torch.no_grad():
        words = _projected(log_likelihood, known, choices, logits, rivals)
        reached = log_likelihood(torch.cat([known, choices[words]], dim=1))
    best = int(reached.argmax())
    return Extraction(tuple(candidates[words[best]].tolist()), float(reached[best]))


def _projected(log_likelihood: LogLikelihood, known: Tensor, choices: Tensor, logits: Tensor, rivals: int) -> Tensor:
    """Indices (restarts, unknown) of words: place by place the best of its likeliest, the others as they are, twice."""
    likeliest = logits.topk(min(rivals, len(choices)), dim=-1).indices
    restarts, unknown, count = likeliest.shape
    words = likeliest[:, :, 0].clone()
    for place in [*range(unknown)] * 2:
        trial = words[:, None].repeat(1, count, 1)
        trial[:, :, place] = likeliest[:, place]
        embedded = torch.cat([known.repeat_interleave(count, 0), choices[trial.flatten(0, 1)]], dim=1)
        best = log_likelihood(embedded).view(restarts, count).argmax(1, keepdim=True)
        words[:, place] = likeliest[:, place].gather(1, best)[:, 0]
    return words
