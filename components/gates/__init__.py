"""The gate between a candidate and production: policies, the statistics they rest on, and verdicts."""

from components.gates.choice import CandidateScore, choose
from components.gates.gate import run_gate
from components.gates.golden import GoldenPredictions
from components.gates.policy import Choice, Policy, read_policy
from components.gates.verdict import Check, Decision, Outcome, Verdict

__all__ = [
    "CandidateScore",
    "Check",
    "Choice",
    "Decision",
    "GoldenPredictions",
    "Outcome",
    "Policy",
    "Verdict",
    "choose",
    "read_policy",
    "run_gate",
]
