"""A run as a person would see it: 1600 judged rows, four group columns, an update that helps some and hurts some."""

import numpy as np
import pytest

from components.compatibility.flips import count_flips
from components.data.predictions import Predictions
from components.data.schema import BinaryLabel, MulticlassLabel, RegressionLabel
from components.data.table import GroupColumn
from components.fairness.group_error import group_metrics
from components.gates.choice import CandidateScore
from components.gates.gate import run_gate
from components.gates.policy import Policy
from components.gates.verdict import Check, Outcome, decide
from components.reporting import OwnerSummary, Report

LEVELS = {
    "sex": (("female", "male"), (0.53, 0.47)),
    "race": (("asian", "black", "other", "white", "unknown"), (0.06, 0.21, 0.012, 0.71, 0.008)),
    "age_band": (("< 18", "18 to < 35", "35 to < 50", ">= 50"), (0.24, 0.33, 0.26, 0.17)),
    "income_band": (("low", "middle", "high", "never seen"), (0.36, 0.42, 0.22, 0.0)),
}


def make_groups(rng: np.random.Generator, rows: int) -> dict[str, GroupColumn]:
    return {
        name: GroupColumn(rng.choice(len(levels), rows, p=shares).astype(np.int32), levels)
        for name, (levels, shares) in LEVELS.items()
    }


def make_pair(rows: int = 1600, seed: int = 7) -> tuple[Predictions, Predictions]:
    """A champion and a candidate close to it, binary, on the same rows."""
    rng = np.random.default_rng(seed)
    groups = make_groups(rng, rows)
    truth = rng.normal(-0.9, 1.6, rows) + 0.5 * (groups["race"].codes == 1)
    labels = (rng.random(rows) < 1 / (1 + np.exp(-truth))).astype(np.int32)
    old = truth + rng.normal(0, 0.9, rows)
    new = 0.6 * truth + 0.4 * old + rng.normal(0, 0.3, rows)
    ids = np.array([f"p{row}" for row in range(rows)])
    rule = BinaryLabel(column="visit")

    def model(margin):
        return Predictions(rule, ids, labels, groups, 1 / (1 + np.exp(-1.25 * margin)))

    return model(new), model(old)


def make_multiclass(rows: int = 900, classes: int = 6) -> Predictions:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, classes, rows).astype(np.int32)
    margin = rng.normal(0, 1, (rows, classes)) + 2.2 * np.eye(classes)[labels]
    scores = np.exp(margin) / np.exp(margin).sum(axis=1, keepdims=True)
    names = tuple(f"intent {number}" for number in range(classes))
    rule = MulticlassLabel(column="intent", kind="multiclass", classes=names)
    return Predictions(rule, np.arange(rows).astype(str), labels, make_groups(rng, rows), scores)


def make_regression(rows: int = 900) -> tuple[Predictions, Predictions]:
    rng = np.random.default_rng(4)
    labels = rng.normal(50, 12, rows)
    groups, ids = make_groups(rng, rows), np.arange(rows).astype(str)
    rule = RegressionLabel(column="cost", kind="regression", tolerance=5)
    return tuple(Predictions(rule, ids, labels, groups, labels + rng.normal(0, width, rows)) for width in (4, 6))


def make_check(name: str, subject: str, value: float, spread: float, budget: float, rows: int) -> Check:
    lower, upper = max(0.0, value - spread), value + spread
    outcome = Outcome.FAIL if lower > budget else Outcome.PASS if upper <= budget else Outcome.INCONCLUSIVE
    sentence = {
        Outcome.PASS: "is within",
        Outcome.FAIL: "is above",
        Outcome.INCONCLUSIVE: "cannot be shown to be within",
    }[outcome]
    reason = f"{name.replace('_', ' ')} of {subject} ({100 * value:.2f} %, {rows} rows) {sentence} {100 * budget:g} %"
    needed = 4 * rows if outcome is Outcome.INCONCLUSIVE else None
    return Check(name, subject, outcome, value, lower, upper, budget, rows, reason, needed)


def make_checks(number: int = 40, seed: int = 5) -> tuple[Check, ...]:
    rng = np.random.default_rng(seed)
    checks = [
        make_check("flip_budget", "all rows", 0.0062, 0.0041, 0.02, 1600),
        make_check("not_worse", "all rows", 0.001, 0.006, 0.01, 1600),
    ]
    subjects = [f"{name}={level}" for name, (levels, _) in LEVELS.items() for level in levels]
    subjects += [f"sex={sex} & race={race}" for sex in LEVELS["sex"][0] for race in LEVELS["race"][0]]
    while len(checks) < number:
        subject = subjects[len(checks) % len(subjects)]
        name, budget = [("group_nfr", 0.03), ("group_error", 0.25), ("group_gap_error", 0.05)][len(checks) % 3]
        rows = int(rng.integers(20, 1100))
        value = budget * rng.uniform(0.05, 0.95)
        checks.append(make_check(name, subject, value, 0.9 * budget**0.5 / rows**0.5, budget, rows))
    if number > 3:
        checks[3] = make_check("group_nfr", "race=black", 0.062, 0.021, 0.03, 336)
    return tuple(checks[:number])


def make_owners() -> tuple[OwnerSummary, ...]:
    rng = np.random.default_rng(9)
    owners = []
    for name, rows, rate in (
        ("Seattle", 4120, 0.31),
        ("Dayton", 3980, 0.22),
        ("Fitchburg", 2410, 0.18),
        ("Charleston", 1890, 0.41),
        ("Georgetown", 720, 0.27),
    ):
        groups = {
            group: dict(
                zip(levels, rng.multinomial(rows, rng.dirichlet(25 * np.array(shares) + 1e-9)).tolist(), strict=True)
            )
            for group, (levels, shares) in LEVELS.items()
        }
        owners.append(OwnerSummary(name, rows, rows // 3, 38, positives=int(rate * rows), groups=groups))
    return tuple(owners)


POLICY = Policy.model_validate(
    {
        "name": "clinic",
        "flip_budget": {"nfr": 0.05},
        "not_worse": {},
        "maximum_error": {"budget": 0.3},
        "groups": {
            "intersections": 2,
            "nfr": {"budget": 0.08},
            "error": {"budget": 0.05},
            "minimum_rows": 60,
            "small_groups": "report",
            "gap": [{"metric": "error", "tolerance": 0.08}],
        },
    }
)


def make_report(checks: int | None = None, **changes) -> Report:
    """What the gate says of `make_pair`, or `checks` invented checks instead."""
    candidate, champion = make_pair()
    flips = count_flips(champion.right, candidate.right)
    verdict = run_gate(POLICY, candidate, champion) if checks is None else decide(make_checks(checks), {"churn": 0.03})
    parts = {
        "title": "randhie · version 7",
        "made_at": "2026-11-20 14:02 UTC",
        "mode": "secret_shared",
        "rows": len(candidate),
        "verdict": verdict,
        "error": flips.error_new,
        "owners": make_owners(),
        "flips": flips,
        "noise_floor": 0.021,
        "nfr_budget": 0.05,
        "nfr_upper": 0.0455,
        "candidates": (
            CandidateScore("plain retrain", 0.1885, 0.0419),
            CandidateScore("blend 0.5", 0.1872, 0.0194),
            CandidateScore("focal distillation, λ 2", 0.1911, 0.0261),
        ),
        "chosen": "blend 0.5",
        "selection_champion_error": 0.2004,
        "groups": group_metrics(candidate, "error", depth=2),
        "champion_groups": group_metrics(champion, "error", depth=2),
        "training": {"rounds": 120, "depth": 4, "seed": 11, "bytes sent": 182_334_112, "seconds": 341.2},
        "leakage": ("row counts of every owner", "which tree a row's owner splits on next, not where"),
        "parameters": {"mode": "secret_shared", "candidates": ["retrain", "blend", "distil"], "noise_runs": 1},
        "policy": "name: clinic\nconfidence: 0.95\nflip_budget:\n  nfr: 0.05\n",
        "digests": {"model": "9f2c" * 16, "table": "01ab" * 16},
        "links": {
            "MLflow run": "http://127.0.0.1:5000/#/experiments/1/runs/3f9a",
            "Prefect run": "http://127.0.0.1:4200/runs/flow-run/0b51",
            "Ledger entry": "ledger/randhie.jsonl, line 12",
        },
        "not_measured": (
            "Speech and text input: this model reads tables only.",
            "Rows of 2027 and later: the newest row judged is of 2026-09.",
        ),
    }
    return Report(**(parts | changes))


@pytest.fixture(scope="session")
def pair() -> tuple[Predictions, Predictions]:
    return make_pair()


@pytest.fixture(scope="session")
def multiclass() -> Predictions:
    return make_multiclass()


@pytest.fixture(scope="session")
def regression() -> tuple[Predictions, Predictions]:
    return make_regression()


@pytest.fixture(scope="session")
def owners() -> tuple[OwnerSummary, ...]:
    return make_owners()


@pytest.fixture(scope="session")
def report_of():
    """Builds a report with `checks` checks and any field changed."""
    return make_report


@pytest.fixture(scope="session")
def checks_of():
    return make_checks
