"""Which of several candidates goes to the gate, chosen on selection rows that the gate never sees.

Choosing and gating on the same rows would spend them twice: the winner of several looks better than it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

from components.errors import InvalidInput
from components.gates.policy import Choice


@dataclass(frozen=True)
class CandidateScore:
    """Error and negative flip rate of one candidate on the selection rows; `nfr` is NaN where there is no champion."""

    name: str
    error: float
    nfr: float


def choose(candidates: Sequence[CandidateScore], choice: Choice) -> CandidateScore:
    """The candidate the rule picks; the earlier listed of equals, and the lowest error where there is no champion.

    Raises
    ------
    InvalidInput
        There is no candidate, or the error of one is not a number.
    """
    if not candidates:
        raise InvalidInput("there is no candidate to choose from; train at least one")
    for candidate in candidates:
        if isnan(candidate.error):
            raise InvalidInput(f"candidate '{candidate.name}' has no error; score it on at least one selection row")
    if choice.rule == "lowest_error" or any(isnan(candidate.nfr) for candidate in candidates):
        return min(candidates, key=lambda candidate: candidate.error)
    # The slack keeps a candidate that is worse by exactly the tolerance, whatever the last bit of the sum says.
    accepted = min(candidate.error for candidate in candidates) + choice.error_tolerance + 1e-12
    return min((candidate for candidate in candidates if candidate.error <= accepted), key=lambda each: each.nfr)
