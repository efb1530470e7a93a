"""Privacy at the gate: what was claimed, what audits show at least, and what attacks achieved, against a policy.

An epsilon that an audit shows with confidence and that lies above the claim of one training refutes that claim, as do
steps that nobody reserved and samples that chance does not explain: each rejects, whatever the policy asks. Attacks
that stay below their budgets prove nothing beyond themselves, and an audit that could not have shown what is claimed
passes nothing: it is listed as unjudged. What a policy asks and nobody measured, or measured on too little, is
inconclusive.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf, isfinite, log10

from components.gates.policy import Exposure, LowerBound, Membership, PrivacyChecks
from components.gates.statistics import mean_exposure
from components.gates.verdict import Check, Outcome

SURPRISE = 6.0
"""-log10 of a p-value of sampling above which chance is no explanation."""


@dataclass(frozen=True)
class PrivacyEvidence:
    """What is known of a candidate's privacy.

    `claim` is epsilon at `delta`, infinite for plain training; `training_claim` that of one training by itself, which
    audits look at (None: the same). `reserved` and `taken` are its steps, paid for and done. `lower_bounds` are audit →
    epsilon at least, `could_show` audit → the most it could have shown, where that is finite; `audited_steps` and
    `coins` are how many they rest on. `sampling` is the p-value of who took part in which step. `attacks` are attack →
    false positive rate → (true positive rate, lower, upper) on `members` members; `exposures` are how often a secret
    was planted → bits of each such secret.
    """

    claim: float
    delta: float
    unit: str = "utterance"
    training_claim: float | None = None
    reserved: int = 0
    taken: int = 0
    lower_bounds: Mapping[str, float] = field(default_factory=dict)
    could_show: Mapping[str, float] = field(default_factory=dict)
    audited_steps: int = 0
    coins: int = 0
    sampling: float | None = None
    attacks: Mapping[str, Mapping[float, tuple[float, float, float]]] = field(default_factory=dict)
    members: int = 0
    exposures: Mapping[int, tuple[float, ...]] = field(default_factory=dict)

    @property
    def of_training(self) -> float:
        """What is claimed of one training."""
        return self.claim if self.training_claim is None else self.training_claim

    def could_refute(self, audit: str) -> bool:
        """Whether an audit could have shown more than is claimed; without end is what has no most."""
        return self.could_show.get(audit, inf) > self.of_training


def privacy_checks(asked: PrivacyChecks | None, evidence: PrivacyEvidence, *, confidence: float) -> list[Check]:
    """Every check that a policy asks of privacy, and every refutation, asked for or not.

    `confidence` is of the interval of a mean exposure, one-sided.
    """
    asked = asked or PrivacyChecks()
    checks = [] if asked.epsilon is None else [_claim(asked.epsilon, evidence)]
    found = _audits(evidence)
    if asked.lower_bound is None:
        found = [check for check in found if check.outcome is Outcome.FAIL]
    elif isfinite(evidence.of_training):
        found += _missing_audits(asked.lower_bound, evidence)
    checks += found
    if asked.membership:
        checks += _memberships(asked.membership, evidence)
    if asked.exposure:
        checks.append(_exposure(asked.exposure, evidence, confidence))
    return checks


def unjudged_audits(asked: PrivacyChecks | None, evidence: PrivacyEvidence) -> tuple[str, ...]:
    """Audits that a policy asks for, and that say nothing for the claim, since they could not have said more."""
    if asked is None or asked.lower_bound is None or not isfinite(evidence.of_training):
        return ()
    return tuple(
        f"{audit}: epsilon is {least:.3g} at least; it could have shown {evidence.could_show[audit]:.3g} at most, and "
        f"{evidence.of_training:.3g} is claimed of one training"
        for audit, least in evidence.lower_bounds.items()
        if least <= evidence.of_training and not evidence.could_refute(audit)
    )


def _claim(budget: float, evidence: PrivacyEvidence) -> Check:
    said = f"epsilon {evidence.claim:.3g} at delta {evidence.delta:g} for one {evidence.unit}"
    if not isfinite(evidence.claim):
        reason = f"privacy claim: training was plain and promises nothing, where epsilon {budget:g} is asked for"
        return Check("privacy_claim", "privacy claim", Outcome.FAIL, inf, inf, inf, budget, 0, reason)
    kept = evidence.claim <= budget
    reason = f"privacy claim: {said}, {'within' if kept else 'beyond'} {budget:g}"
    outcome = Outcome.PASS if kept else Outcome.FAIL
    return Check("privacy_claim", "privacy claim", outcome, *[evidence.claim] * 3, budget, 0, reason)


def _audits(evidence: PrivacyEvidence) -> list[Check]:
    """What was run that could refute the account, and whether it did."""
    claim, checks = evidence.of_training, []
    if not isfinite(claim):
        return []
    for audit, least in evidence.lower_bounds.items():
        holds = least <= claim
        if holds and not evidence.could_refute(audit):
            continue
        reason = f"{audit}: epsilon is {least:.3g} at least, and {claim:.3g} is claimed of one training"
        reason += "" if holds else "; the claim is false, find the fault before anything is trained again"
        outcome = Outcome.PASS if holds else Outcome.FAIL
        checks.append(Check("privacy_lower_bound", audit, outcome, least, least, least, claim, 0, reason))
    if evidence.taken or evidence.reserved:
        holds = evidence.taken <= evidence.reserved
        reason = f"steps: {evidence.taken} private steps were taken, and {evidence.reserved} reserved"
        reason += "" if holds else "; more was spent than was paid for"
        outcome = Outcome.PASS if holds else Outcome.FAIL
        taken = [float(evidence.taken)] * 3
        checks.append(Check("privacy_steps", "steps", outcome, *taken, float(evidence.reserved), 0, reason))
    if evidence.sampling is not None:
        surprise = -log10(max(evidence.sampling, 1e-300))
        holds = surprise <= SURPRISE
        reason = f"sampling: who took part has p-value {evidence.sampling:.2g} under Poisson sampling"
        reason += "" if holds else ", which chance does not explain; the account does not hold for such sampling"
        outcome = Outcome.PASS if holds else Outcome.FAIL
        checks.append(Check("privacy_sampling", "sampling", outcome, *[surprise] * 3, SURPRISE, 0, reason))
    return checks


def _missing_audits(asked: LowerBound, evidence: PrivacyEvidence) -> list[Check]:
    """What a policy asks of audits and none of those that were run has shown."""
    claim, name = evidence.of_training, "privacy_lower_bound"
    run = {*evidence.lower_bounds, *([] if evidence.sampling is None else ["sampling"])}
    missing = [
        _unknown(name, audit, claim, "the policy asks for it, and it was not run")
        for audit in asked.audits
        if audit not in run
    ]
    for audit, had, needed, what in (
        ("one step", evidence.audited_steps, asked.steps, "steps"),
        ("one run", evidence.coins, asked.coins, "coins"),
    ):
        if audit in run and had < needed:
            missing.append(_unknown(name, audit, claim, f"it rests on {had} {what}, the policy asks for {needed}"))
    if not any(evidence.could_refute(audit) or least > claim for audit, least in evidence.lower_bounds.items()):
        missing.append(_unknown(name, "privacy audits", claim, f"none was run that could refute epsilon {claim:.3g}"))
    return missing


def _memberships(asked: Membership, evidence: PrivacyEvidence) -> list[Check]:
    budget, at = asked.true_positive_rate, asked.false_positive_rate
    missing = [attack for attack in asked.attacks if attack not in evidence.attacks]
    checks = [
        _membership(attack, *rates[at], asked=asked, members=evidence.members)
        for attack, rates in evidence.attacks.items()
    ]
    checks += [
        _unknown("membership", attack, budget, "the policy asks for it, and it was not run") for attack in missing
    ]
    if not evidence.attacks:
        return checks or [_unknown("membership", "membership attacks", budget, "no attack was run")]
    return checks


def _membership(attack: str, value: float, lower: float, upper: float, *, asked: Membership, members: int) -> Check:
    budget, at = asked.true_positive_rate, asked.false_positive_rate
    few = members < asked.members
    outcome = Outcome.FAIL if lower > budget else Outcome.PASS if upper <= budget else Outcome.INCONCLUSIVE
    outcome = Outcome.INCONCLUSIVE if few and outcome is Outcome.PASS else outcome
    said = f"{attack}: names {100 * value:.2g} % of {members} members at {100 * at:g} % false alarms"
    ends = {
        Outcome.FAIL: f"at least {100 * lower:.2g} %, beyond {100 * budget:.4g} %",
        Outcome.PASS: f"at most {100 * upper:.2g} %, within {100 * budget:.4g} %",
        Outcome.INCONCLUSIVE: f"the policy asks for {asked.members} members"
        if few
        else f"up to {100 * upper:.2g} %; a larger pool would settle {100 * budget:.4g} %",
    }
    return Check("membership", attack, outcome, value, lower, upper, budget, members, f"{said}, {ends[outcome]}")


def _exposure(asked: Exposure, evidence: PrivacyEvidence, confidence: float) -> Check:
    budget, repeats = asked.bits, asked.repeats
    subject = f"secrets planted {repeats} time{'s' if repeats > 1 else ''}"
    bits = evidence.exposures.get(repeats)
    if not bits:
        return _unknown("exposure", subject, budget, "no such secret was planted")
    mean, lower, upper = mean_exposure(bits, confidence)
    few = len(bits) < (asked.secrets or 1)
    outcome = Outcome.FAIL if lower > budget else Outcome.PASS if upper <= budget else Outcome.INCONCLUSIVE
    outcome = Outcome.INCONCLUSIVE if few and outcome is Outcome.PASS else outcome
    reason = f"{subject}: {mean:.2f} bits of exposure on average ({len(bits)} secrets, {lower:.2f} to {upper:.2f})"
    reason += {
        Outcome.FAIL: f", beyond {budget:g}",
        Outcome.PASS: f", within {budget:g}",
        Outcome.INCONCLUSIVE: f"; the policy asks for {asked.secrets} secrets"
        if few
        else f"; more secrets would settle {budget:g}",
    }[outcome]
    return Check("exposure", subject, outcome, mean, lower, upper, budget, len(bits), reason)


def _unknown(name: str, subject: str, budget: float, why: str) -> Check:
    nothing = float("nan")
    return Check(name, subject, Outcome.INCONCLUSIVE, nothing, nothing, nothing, budget, 0, f"{subject}: {why}")
