"""Audits of what a model tells of its training data: who was in it, how wrong a claim is, what was learnt by heart.

`membership` scores, `roc` judges; `lower_bound` turns attacks into an epsilon that a claim must not lie below;
`exposure` ranks a canary among all it could be, and `extraction` reads it out of the weights. All are functions of
arrays: how models and references are trained is the caller's. `step` alone trains, to measure the noise a step has.
"""

from components.privacy.audit.exposure import UNSEEN, exposure
from components.privacy.audit.extraction import Extraction, extract
from components.privacy.audit.lower_bound import gaussian_bound, guesses_for, one_run_bound, two_world_bound
from components.privacy.audit.membership import by_likelihood_ratio, by_loss, by_population, log_odds
from components.privacy.audit.roc import Rate, Roc, roc
from components.privacy.audit.sampling import poisson_p_value
from components.privacy.audit.step import StepAudit, audit_step
from components.privacy.audit.watched import Watched

__all__ = [
    "UNSEEN",
    "Extraction",
    "Rate",
    "Roc",
    "StepAudit",
    "Watched",
    "audit_step",
    "by_likelihood_ratio",
    "by_loss",
    "by_population",
    "exposure",
    "extract",
    "gaussian_bound",
    "guesses_for",
    "log_odds",
    "one_run_bound",
    "poisson_p_value",
    "roc",
    "two_world_bound",
]
