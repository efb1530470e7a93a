"""The gate: a policy and two models' predictions on the same rows in, a verdict out.

Rows must be independent, one a person (`components.fairness.one_row_per_person`), and neither trained on nor used to
choose the candidate; the gate cannot see whether they are. Given that, at most 1 - confidence of the candidates that
miss a budget are promoted, and of those that meet all of them as many are rejected.
"""

from collections.abc import Mapping

import numpy as np

from components.compatibility.flips import churn, count_flips
from components.data.predictions import Predictions
from components.errors import InvalidInput
from components.gates.golden import GoldenPredictions, golden_check
from components.gates.groups import group_findings
from components.gates.judge import judge
from components.gates.overall import ALL_ROWS, overall_questions
from components.gates.policy import Policy
from components.gates.verdict import Check, Outcome, Verdict, decide


def run_gate(
    policy: Policy,
    candidate: Predictions,
    champion: Predictions | None = None,
    *,
    constant_right: np.ndarray | None = None,
    golden: GoldenPredictions | None = None,
    context: Mapping[str, float] | None = None,
) -> Verdict:
    """Judge a candidate by every check of a policy.

    Without a champion, checks that compare with one (flip budget, not worse, flips and rise of error by group) are not
    made; when no other is left, the verdict is HOLD.

    Parameters
    ----------
    candidate, champion
        Predictions on the same rows in the same order.
    constant_right
        (n,) bool: would always answering the most frequent label of the training rows be right; for `beats_constant`.
    golden
        Predictions on the golden rows; the check is inconclusive where the policy asks for them and they are missing.
    context
        Figures to report next to the verdict, such as a noise floor; error, NFR, PFR, relative NFR and churn are added.

    Raises
    ------
    InvalidInput
        Predictions do not line up, hold a score that is no number, or lack what the policy asks about.
    """
    _refuse_unusable(candidate, champion, "gate")
    if golden is not None:
        if (golden.champion is None) != (champion is None):
            side = "golden rows" if golden.champion is None else "gate rows"
            raise InvalidInput(f"the {side} have no predictions of the champion, the others do; score both with it")
        if len(golden.candidate):
            _refuse_unusable(golden.candidate, golden.champion, "golden")
    if policy.beats_constant and (constant_right is None or len(constant_right) != len(candidate)):
        given = 0 if constant_right is None else len(constant_right)
        raise InvalidInput(f"'beats_constant' needs constant_right for {len(candidate)} gate rows and got {given}")

    flips = None if champion is None else count_flips(champion.right, candidate.right)
    overall = overall_questions(policy, right=candidate.right, flips=flips, constant_right=constant_right)
    by_group = group_findings(policy, candidate, champion)
    checks = [*_too_few_rows(policy, len(candidate))]
    checks += judge(
        [*overall, *by_group.questions],
        level=policy.level,
        pass_correction=policy.pass_correction,
        fail_correction=policy.fail_correction,
    )
    checks += by_group.held
    checks += [golden_check(golden)] if policy.golden_set else []
    return decide(tuple(checks), {**(context or {}), **_context(candidate, champion)}, by_group.unjudged)


def _too_few_rows(policy: Policy, rows: int) -> list[Check]:
    wanted = policy.minimum_rows
    if wanted is None or rows >= wanted:
        return []
    reason = f"{ALL_ROWS}: {rows} gate rows, fewer than the {wanted} the policy asks for"
    return [Check("minimum_rows", ALL_ROWS, Outcome.INCONCLUSIVE, rows, rows, rows, wanted, rows, reason, wanted)]


def _context(candidate: Predictions, champion: Predictions | None) -> dict[str, float]:
    if champion is None:
        return {"error_new": 1 - float(candidate.right.mean())}
    flips = count_flips(champion.right, candidate.right)
    tolerance = candidate.rule.tolerance if candidate.rule.kind == "regression" else 0.0
    return {
        "error_new": flips.error_new,
        "error_old": flips.error_old,
        "nfr": flips.negative_flip_rate,
        "pfr": flips.positive_flip_rate,
        "relative_nfr": flips.relative_nfr,
        "churn": churn(champion.decisions, candidate.decisions, tolerance=tolerance),
    }


def _refuse_unusable(candidate: Predictions, champion: Predictions | None, rows: str) -> None:
    if len(candidate) == 0:
        raise InvalidInput(f"there are no {rows} rows; hold out rows that no model was trained on")
    if len(set(candidate.row_ids.tolist())) != len(candidate):
        names, times = np.unique(candidate.row_ids, return_counts=True)
        raise InvalidInput(f"{rows} row '{names[times.argmax()]}' occurs {times.max()} times; a row may count once")
    for name, model in (("candidate", candidate), ("champion", champion)):
        if model is not None and not np.isfinite(model.scores).all():
            bad = np.flatnonzero(~np.isfinite(model.scores).reshape(len(model), -1).all(axis=1))
            raise InvalidInput(
                f"the {name} scored {len(bad)} of {len(model)} {rows} rows with no finite number "
                f"(first: row '{model.row_ids[bad[0]]}'); a model that cannot score a row cannot be gated"
            )
    if champion is None:
        return
    if len(champion) != len(candidate):
        raise InvalidInput(
            f"the champion has {len(champion)} {rows} rows, the candidate {len(candidate)}; score both on the same rows"
        )
    for what, one, other in (
        ("row id", champion.row_ids, candidate.row_ids),
        ("label", champion.labels, candidate.labels),
    ):
        differ = np.flatnonzero(one != other)
        if len(differ):
            row = differ[0]
            raise InvalidInput(
                f"{rows} row {row} has {what} '{one[row]}' with the champion and '{other[row]}' with the candidate; "
                "score both on the same rows in the same order"
            )
