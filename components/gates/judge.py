"""From evidence to checks: which hypotheses are shown, which are refuted, and which stay open.

PROMOTE needs every check to pass, so a level per check already bounds how often an unfit candidate is promoted (an
intersection-union test: Berger, Technometrics 24, 1982); Holm over the groups of a check makes its claims hold jointly
as well. REJECT needs only one check to fail. There Holm runs over the groups of each kind of check, which fails a fit
candidate with at most the level; or, where a policy asks for it, over every hypothesis it holds, each kind with the
same share of the level, so that the level bounds how often a fit candidate is rejected by the policy as a whole.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Literal

import numpy as np

from components.gates.evidence import Evidence
from components.gates.holm import holm_levels
from components.gates.reasons import explain
from components.gates.verdict import Check, Outcome


@dataclass(frozen=True)
class Questions:
    """One kind of check, asked of k subjects.

    `quantity` names the estimate in reasons, `counts` (k,) says what it was counted from, and `rows` (k,) are the rows
    it rests on. With `burden` on refuting, a check passes unless the candidate is shown to be beyond the budget.
    """

    name: str
    quantity: str
    subjects: tuple[str, ...]
    evidence: Evidence
    rows: np.ndarray
    counts: tuple[str, ...]
    burden: Literal["showing", "refuting"] = "showing"


def judge(
    questions: Sequence[Questions],
    *,
    level: float,
    pass_correction: Literal["holm", "none"],
    fail_correction: Literal["check", "policy"],
) -> tuple[Check, ...]:
    """Every check of every question, in order; `level` is the one-sided probability of error."""
    if not questions:
        return ()
    p_beyond = [question.evidence.p_beyond for question in questions]
    fail_levels = [holm_levels(p, level) for p in p_beyond] if fail_correction == "check" else _jointly(p_beyond, level)
    checks = []
    for question, fail_level in zip(questions, fail_levels, strict=True):
        p_within = question.evidence.p_within
        pass_level = holm_levels(p_within, level) if pass_correction == "holm" else np.full(len(p_within), level)
        checks.extend(_checks(question, level, pass_level, fail_level))
    return tuple(checks)


def _jointly(p_values: Sequence[np.ndarray], level: float) -> list[np.ndarray]:
    """Holm's levels over all kinds of checks at once, each kind with an equal share."""
    sizes = np.array([len(p) for p in p_values])
    levels = holm_levels(np.concatenate(p_values), level, weights=np.repeat(1 / sizes, sizes))
    return np.split(levels, np.cumsum(sizes)[:-1])


def _checks(question: Questions, level: float, pass_level: np.ndarray, fail_level: np.ndarray) -> list[Check]:
    evidence = question.evidence
    fails = evidence.p_beyond <= fail_level
    passes = evidence.p_within <= pass_level if question.burden == "showing" else evidence.p_beyond > level
    open_ones = ~fails & ~passes
    needed = evidence.growth_needed(pass_level) if open_ones.any() and question.burden == "showing" else np.nan
    needed = np.where(open_ones, needed * question.rows, np.nan)
    columns = zip(
        question.subjects,
        fails.tolist(),
        passes.tolist(),
        evidence.value.tolist(),
        evidence.lower(fail_level).tolist(),
        evidence.upper(pass_level).tolist(),
        question.rows.tolist(),
        question.counts,
        [None if np.isnan(rows) else ceil(rows * (1 - 1e-12)) for rows in needed.tolist()],
        strict=True,
    )
    checks, refuting = [], question.burden == "refuting"
    for subject, fail, ok, value, lower, upper, rows, counts, rows_needed in columns:
        outcome = Outcome.FAIL if fail else Outcome.PASS if ok else Outcome.INCONCLUSIVE
        check = Check(question.name, subject, outcome, value, lower, upper, evidence.budget, rows, "", rows_needed)
        reason = explain(check, quantity=question.quantity, counts=counts, refuting=refuting)
        checks.append(replace(check, reason=reason))
    return checks
