"""Checks in every group and intersection: negative flips, rise of error, and the gap to everyone else.

One count of rows by label and by who was right, per cell, is all that any of them needs. Cells with too few rows are
not tested but never dropped: they keep the candidate on hold or are listed as unjudged, as the policy says.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from components.data.predictions import Predictions
from components.data.schema import Label
from components.errors import InvalidInput
from components.fairness.intersections import count_cells
from components.gates.evidence import Evidence, Gaps, PairedRises, Shares
from components.gates.judge import Questions
from components.gates.policy import Gap, GroupChecks, Policy
from components.gates.verdict import Check, Outcome


@dataclass(frozen=True)
class GroupFindings:
    """What there is to judge, the checks held for want of rows, and the cells listed without a judgement."""

    questions: tuple[Questions, ...] = ()
    held: tuple[Check, ...] = ()
    unjudged: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Asked:
    """One kind of check before small cells are taken out; `enough` rows (C,) are what is held against the minimum."""

    name: str
    quantity: str
    evidence: type
    parts: tuple[np.ndarray, ...]
    budget: float
    rows: np.ndarray
    enough: np.ndarray
    unit: str


def require_suits(policy: Policy, groups: Collection[str], rule: Label) -> None:
    """See, before any row is looked at, that a policy's groups can be judged with these group columns and label.

    Raises
    ------
    InvalidInput
        `groups.columns` names no group column, or a gap's metric does not suit the label.
    """
    wanted = policy.groups
    if wanted is None:
        return
    if not groups:
        raise InvalidInput(
            "the policy asks for 'groups' but the rows have no group column; declare one in the schema, or "
            "choose a policy without groups"
        )
    for column in () if wanted.columns == "all" else wanted.columns:
        if column not in groups:
            raise InvalidInput(f"'groups.columns' names '{column}', which is no group column; use {', '.join(groups)}")
    for gap in wanted.gap:
        if gap.metric != "error" and rule.kind != "binary":
            raise InvalidInput(
                f"'groups.gap.metric' is '{gap.metric}', which a {rule.kind} label does not have; use 'error'"
            )


def group_findings(policy: Policy, candidate: Predictions, champion: Predictions | None) -> GroupFindings:
    """What a policy asks of groups. Flips and rises of error are asked only where there is a champion.

    Raises
    ------
    InvalidInput
        `groups.columns` names no column of the predictions, or a gap's metric does not suit the label.
    """
    if policy.groups is None:
        return GroupFindings()
    wanted = policy.groups
    require_suits(policy, candidate.groups, candidate.rule)
    groups = candidate.groups if wanted.columns == "all" else {name: candidate.groups[name] for name in wanted.columns}
    binary = candidate.rule.kind == "binary"
    positive = candidate.labels == 1 if binary else np.zeros(len(candidate), dtype=bool)
    old_right = candidate.right if champion is None else champion.right
    kind = 4 * positive.astype(np.int64) + 2 * old_right + candidate.right
    listed, counts = count_cells(groups, depth=wanted.intersections, kind=kind, kinds=8)
    subjects = [cell.name for cell in listed]
    # Axes: cell, label (0 negative, 1 positive), champion right, candidate right.
    counts = counts.reshape(-1, 2, 2, 2)
    total = np.bincount(kind, minlength=8).reshape(1, 2, 2, 2)

    asked = [] if champion is None else _against_champion(wanted, counts)
    asked += [_gap(gap, counts, total - counts) for gap in wanted.gap]
    questions, held, unjudged = [], [], []
    for one in asked:
        judged = one.enough >= wanted.minimum_rows
        questions += [_question(one, subjects, np.flatnonzero(judged))] if judged.any() else []
        for index in np.flatnonzero(~judged).tolist():
            if wanted.small_groups == "hold":
                held.append(_held(one, subjects[index], index, policy))
            else:
                unjudged.append(f"{subjects[index]}: {_scarce(one, index)}")
    return GroupFindings(tuple(questions), tuple(held), tuple(dict.fromkeys(unjudged)))


def _against_champion(wanted: GroupChecks, counts: np.ndarray) -> list[_Asked]:
    rows = counts.sum(axis=(1, 2, 3))
    negative, positive = counts[:, :, 1, 0].sum(axis=1), counts[:, :, 0, 1].sum(axis=1)
    asked = []
    if wanted.nfr:
        parts, budget = (negative, rows), wanted.nfr.budget
        asked.append(_Asked("group_nfr", "negative flips", Shares, parts, budget, rows, rows, "rows"))
    if wanted.error:
        parts, budget = (negative, positive, rows), wanted.error.budget
        asked.append(_Asked("group_error", "rise of error", PairedRises, parts, budget, rows, rows, "rows"))
    return asked


def _gap(gap: Gap, counts: np.ndarray, others: np.ndarray) -> _Asked:
    (events, trials), (other_events, other_trials) = _rate(gap.metric, counts), _rate(gap.metric, others)
    unit = {"error": "rows", "false_positive_rate": "actual negatives", "false_negative_rate": "actual positives"}
    return _Asked(
        name=f"group_gap_{gap.metric}",
        quantity=f"{gap.metric.replace('_', ' ')} above everyone else's by",
        evidence=Gaps,
        parts=(events, trials, other_events, other_trials),
        budget=gap.tolerance,
        rows=trials,
        enough=np.minimum(trials, other_trials),
        unit=unit[gap.metric],
    )


def _rate(metric: str, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Events and trials (C,): wrong rows among all, among actual negatives, or among actual positives."""
    labels = {"error": slice(0, 2), "false_positive_rate": slice(0, 1), "false_negative_rate": slice(1, 2)}[metric]
    return counts[:, labels, :, 0].sum(axis=(1, 2)), counts[:, labels].sum(axis=(1, 2, 3))


def _question(one: _Asked, subjects: list[str], judged: np.ndarray) -> Questions:
    parts = [part[judged] for part in one.parts]
    counts = zip(*(part.tolist() for part in parts), strict=True)
    words = tuple(_counts_in_words(one.evidence, values) for values in counts)
    names = tuple(subjects[index] for index in judged.tolist())
    return Questions(one.name, one.quantity, names, one.evidence(*parts, one.budget), one.rows[judged], words)


def _held(one: _Asked, subject: str, index: int, policy: Policy) -> Check:
    evidence: Evidence = one.evidence(*(part[index : index + 1] for part in one.parts), one.budget)
    level, minimum = np.array([policy.level]), policy.groups.minimum_rows
    return Check(
        name=one.name,
        subject=subject,
        outcome=Outcome.INCONCLUSIVE,
        value=float(evidence.value[0]),
        lower=float(evidence.lower(level)[0]),
        upper=float(evidence.upper(level)[0]),
        budget=one.budget,
        rows=int(one.rows[index]),
        reason=f"{subject}: {one.quantity} not judged on {_scarce(one, index)}; the policy asks for {minimum}",
        rows_needed=minimum,
    )


def _scarce(one: _Asked, index: int) -> str:
    """What there is too little of: rows of the cell, or of everyone outside it."""
    outside = "" if one.enough[index] == one.rows[index] else " outside it"
    return f"{one.enough[index]} {one.unit}{outside}"


def _counts_in_words(evidence: type, counts: tuple[int, ...]) -> str:
    if evidence is PairedRises:
        return f"{counts[0]} negative, {counts[1]} positive flips of {counts[2]} rows"
    if evidence is Gaps:
        return f"{counts[0]} of {counts[1]} against {counts[2]} of {counts[3]}"
    return f"{counts[0]} of {counts[1]} rows"
