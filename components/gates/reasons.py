"""Checks in words: one sentence with the estimate, what it was counted from, the bound that decided, and the budget."""

from math import isnan

from components.gates.verdict import Check, Outcome


def explain(check: Check, *, quantity: str, counts: str, refuting: bool) -> str:
    """The sentence a person reads next to a check.

    `quantity` names the estimate and `counts` what it was counted from; `refuting` marks a check that passes unless the
    candidate is shown to be beyond its budget.
    """
    budget, upper = limit(check.budget), percent(check.upper)
    seen = f"{check.subject}: {quantity} {percent(check.value)} ({counts})"
    if check.outcome is Outcome.INCONCLUSIVE and isnan(check.value):
        return f"{check.subject}: {counts}, so {quantity} cannot be measured, of which at most {budget} would do"
    if check.outcome is Outcome.FAIL:
        return f"{seen}, at least {percent(check.lower)}, beyond {budget}"
    if check.outcome is Outcome.PASS:
        return f"{seen}, not shown to be beyond {budget}" if refuting else f"{seen}, at most {upper}, within {budget}"
    if refuting:
        return f"{seen}, beyond {budget} when asked alone but not among all checks of the policy"
    if check.rows_needed is None:
        return f"{seen}, up to {upper}; not within {budget} as it stands, and more rows alone would not show it"
    return f"{seen}, up to {upper}; {check.rows_needed} rows at this rate would show {budget}, not {check.rows}"


def percent(share: float) -> str:
    """`0.0123` as `1.23 %`: two decimals below 10 %, one above."""
    if isnan(share):
        return "unknown"
    return f"{100 * share:.{2 if abs(share) < 0.09995 else 1}f} %"


def limit(share: float) -> str:
    """A budget in percent, with the digits its author wrote."""
    return f"{100 * share:.4g} %"
