"""Who was in the training data? Scores of membership attacks, from a model's own outputs and those of reference models.

Three attacks, all as arrays so that any model serves: the loss alone (Yeom et al. 2018); the likelihood ratio of LiRA
(Carlini et al. 2022) with one variance for all examples, as the paper advises for few references; and RMIA (Zarifzadeh
et al. 2024), which asks how often an example stands out more than others from the population. Larger scores say member.
"""

import numpy as np
from scipy import stats

from components.errors import InvalidInput


def by_loss(losses: np.ndarray) -> np.ndarray:
    """(n,) losses to scores: what is learnt by heart has a small loss."""
    return -np.asarray(losses, dtype=np.float64)


def log_odds(probability: np.ndarray) -> np.ndarray:
    """ln(p / (1 - p)) of the right label's probability, nearly normal over models (Carlini et al. 2022, section 4)."""
    inside = np.clip(np.asarray(probability, dtype=np.float64), 1e-12, 1 - 1e-12)
    return np.log(inside) - np.log1p(-inside)


def by_likelihood_ratio(target: np.ndarray, references: np.ndarray, trained_on: np.ndarray) -> np.ndarray:
    """LiRA: ln N(t; mean in, s_in^2) - ln N(t; mean out, s_out^2) for each example.

    Parameters
    ----------
    target
        (n,) log odds under the model in question.
    references
        (R, n) log odds under reference models trained the same way.
    trained_on
        (R, n) bool, whether reference r was trained on example i. Where no reference was, or every one, the mean of
        the other kind over all examples stands in.

    Raises
    ------
    InvalidInput
        There is no reference without, or none with.
    """
    inside, outside = (_model_of(references, chosen) for chosen in (trained_on, ~np.asarray(trained_on)))
    return stats.norm.logpdf(target, *inside) - stats.norm.logpdf(target, *outside)


def by_population(
    target: np.ndarray,
    references: np.ndarray,
    trained_on: np.ndarray,
    population_target: np.ndarray,
    population_references: np.ndarray,
    *,
    gamma: float = 1.0,
    offline: float = 0.3,
) -> np.ndarray:
    """RMIA: the share of population examples z with (p(x|model) / p(x)) / (p(z|model) / p(z)) >= gamma.

    Parameters
    ----------
    target, references, trained_on
        (n,), (R, n), (R, n): probabilities of the right label, not log odds, and who was trained on what.
    population_target, population_references
        (m,), (R, m) of examples that no model was trained on.
    offline
        a of the paper: p(x) = ((1 + a) mean over models without x + 1 - a) / 2.
    """
    outside = ~np.asarray(trained_on)
    if not outside.any(axis=0).all():
        raise InvalidInput("every example needs a reference model that was not trained on it; train another")
    mean = np.where(outside, references, 0).sum(axis=0) / outside.sum(axis=0)
    ratio = np.asarray(target) / (((1 + offline) * mean + 1 - offline) / 2)
    others = np.asarray(population_target) / (
        ((1 + offline) * np.mean(population_references, axis=0) + 1 - offline) / 2
    )
    return np.searchsorted(np.sort(others) * gamma, ratio, side="right") / len(others)


def _model_of(references: np.ndarray, chosen: np.ndarray) -> tuple[np.ndarray, float]:
    """Mean (n,) over chosen references of each example, and one deviation about it."""
    if not chosen.any():
        raise InvalidInput("the likelihood ratio needs references trained with the examples and without; train both")
    counts = chosen.sum(axis=0)
    overall = references[chosen].mean()
    mean = np.where(counts > 0, np.where(chosen, references, 0).sum(axis=0) / np.maximum(counts, 1), overall)
    freedom = max(1, int((counts - 1).clip(min=0).sum()))
    deviation = float(np.sqrt((np.where(chosen, references - mean, 0) ** 2).sum() / freedom))
    return mean, max(deviation, 1e-6)
