"""What a gate says: checks, each with its number, bound, interval and reason, and the verdict they add up to.

A failed check is data, not an exception: the caller gets every check of a policy, whatever the first one said, and a
person reading the report sees why.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from math import isnan


class Outcome(StrEnum):
    """Of one check."""

    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"


class Decision(StrEnum):
    """Of a policy as a whole."""

    PROMOTE = "PROMOTE"
    HOLD = "HOLD"
    REJECT = "REJECT"


@dataclass(frozen=True)
class Check:
    """One question a policy asks.

    `name` is the kind of check (`flip_budget`, `not_worse`, `group_nfr`, …), `subject` what it is asked of (`all rows`,
    `sex=female`, `sex=female & race=black`). `value` is the estimate; [`lower`, `upper`] its interval at the level the
    check decides by; `budget` what it is held against; `rows_needed` how many rows would settle an inconclusive check
    if the estimate stayed as it is, None where no number would.
    """

    name: str
    subject: str
    outcome: Outcome
    value: float
    lower: float
    upper: float
    budget: float
    rows: int
    reason: str
    rows_needed: int | None = None


@dataclass(frozen=True)
class Verdict:
    """A decision with everything it rests on.

    `context` holds figures that inform but do not decide; `unjudged` names the groups that had too few rows for a
    judgement, each with its number of rows, where the policy lets them be, and audits too weak for what is claimed.
    """

    decision: Decision
    checks: tuple[Check, ...]
    context: dict[str, float]
    unjudged: tuple[str, ...] = ()

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is not PROMOTE, worst first; on PROMOTE, one sentence that says so."""
        if not self.checks:
            return ("no check of the policy applies, so nothing was shown",)
        failed = [check.reason for check in self.checks if check.outcome is Outcome.FAIL]
        open_ones = [check.reason for check in self.checks if check.outcome is Outcome.INCONCLUSIVE]
        return tuple(failed + open_ones) or (_all_passed(len(self.checks)),)

    def to_json(self) -> dict:
        """A record of plain JSON; a figure that does not exist (NaN) is null."""
        record = asdict(self) | {"unjudged": list(self.unjudged), "reasons": list(self.reasons)}
        record["checks"] = [_without_nan(check) for check in record["checks"]]
        return record | {"context": _without_nan(self.context)}

    @classmethod
    def from_json(cls, record: dict) -> "Verdict":
        checks = tuple(
            Check(**_with_nan({**check, "outcome": Outcome(check["outcome"])}, _FIGURES)) for check in record["checks"]
        )
        context = _with_nan(record["context"], record["context"])
        return cls(Decision(record["decision"]), checks, context, tuple(record["unjudged"]))


_FIGURES = ("value", "lower", "upper")


def _without_nan(record: dict) -> dict:
    return {key: None if isinstance(value, float) and isnan(value) else value for key, value in record.items()}


def _with_nan(record: dict, keys: Iterable[str]) -> dict:
    return record | {key: float("nan") for key in keys if record[key] is None}


def decide(checks: tuple[Check, ...], context: dict[str, float], unjudged: tuple[str, ...] = ()) -> Verdict:
    """REJECT when any check fails, HOLD when any is inconclusive or there is none at all, else PROMOTE."""
    outcomes = {check.outcome for check in checks}
    if Outcome.FAIL in outcomes:
        decision = Decision.REJECT
    elif Outcome.INCONCLUSIVE in outcomes or not checks:
        decision = Decision.HOLD
    else:
        decision = Decision.PROMOTE
    return Verdict(decision, checks, context, unjudged)


def _all_passed(checks: int) -> str:
    return "the only check passed" if checks == 1 else f"all {checks} checks passed"
