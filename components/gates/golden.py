"""The golden set: rows kept apart, each of which matters by itself, on which no update may flip from right to wrong.

It is no sample of anything, so no statistics apply: one flip is one too many.
"""

from dataclasses import dataclass

import numpy as np

from components.data.predictions import Predictions
from components.gates.verdict import Check, Outcome

_NAMED = 10


@dataclass(frozen=True)
class GoldenPredictions:
    """Predictions on the golden rows, row-aligned; `champion` is None where there is none."""

    candidate: Predictions
    champion: Predictions | None


def golden_check(golden: GoldenPredictions | None) -> Check:
    """FAIL on any row the champion gets right (any row at all, without a champion) and the candidate wrong."""
    if golden is None or len(golden.candidate) == 0:
        reason = "golden rows: the policy asks for a golden set and none was given"
        return Check("golden_set", "golden rows", Outcome.INCONCLUSIVE, *[float("nan")] * 3, 0.0, 0, reason)
    before = np.ones(len(golden.candidate), dtype=bool) if golden.champion is None else golden.champion.right
    lost = golden.candidate.row_ids[before & ~golden.candidate.right].tolist()
    rows = len(golden.candidate)
    if lost:
        more = f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
        what = "got wrong" if golden.champion is None else "flipped from right to wrong"
        reason = f"golden rows: {len(lost)} of {rows} {what}: {', '.join(map(str, lost[:_NAMED]))}{more}"
    else:
        reason = f"golden rows: none of {rows} {'wrong' if golden.champion is None else 'flipped from right to wrong'}"
    outcome, share = Outcome.FAIL if lost else Outcome.PASS, len(lost) / rows
    return Check("golden_set", "golden rows", outcome, share, share, share, 0.0, rows, reason)
