"""Checks over all rows: the flip budget, not worse, the highest error, and better than a constant answer.

All four are shares with exact tests. Not worse and better than a constant look only at the rows on which the two
sides differ, of which half would favour either side if they erred alike (McNemar, Psychometrika 12, 1947).
"""

import numpy as np

from components.compatibility.flips import FlipCounts, count_flips
from components.gates.evidence import Shares
from components.gates.judge import Questions
from components.gates.policy import Policy

ALL_ROWS = "all rows"
"""The subject of a check that is asked of no group in particular."""


def overall_questions(
    policy: Policy, *, right: np.ndarray, flips: FlipCounts | None, constant_right: np.ndarray | None
) -> list[Questions]:
    """What a policy asks of all rows.

    Parameters
    ----------
    right
        (n,) bool, the candidate's.
    flips
        From champion to candidate; None without a champion, and then nothing that compares the two is asked.
    constant_right
        (n,) bool; needed where the policy has `beats_constant`.
    """
    rows, asked = len(right), []

    def ask(name: str, quantity: str, events: int, trials: int, budget: float, counts: str, burden="showing") -> None:
        evidence = Shares(np.array([events]), np.array([trials]), budget)
        asked.append(Questions(name, quantity, (ALL_ROWS,), evidence, np.array([rows]), (counts,), burden))

    if policy.flip_budget and flips:
        budget, counts = policy.flip_budget.nfr, f"{flips.negative} of {rows} rows"
        ask("flip_budget", "negative flips", flips.negative, rows, budget, counts)
    if policy.not_worse and flips:
        changed, counts = flips.negative + flips.positive, f"{flips.negative} negative, {flips.positive} positive"
        ask("not_worse", "negative among flips", flips.negative, changed, 0.5, counts, "refuting")
    if policy.maximum_error:
        wrong = rows - int(np.count_nonzero(right))
        ask("maximum_error", "error", wrong, rows, policy.maximum_error.budget, f"{wrong} of {rows} rows")
    if policy.beats_constant:
        against = count_flips(constant_right, right)
        changed, counts = against.negative + against.positive, f"{against.negative} lost, {against.positive} won"
        counts = counts if changed else "it answers as the constant does on every row"
        ask("beats_constant", "losses to a constant answer where they differ", against.negative, changed, 0.5, counts)
    return asked
