"""Faults planted in private training, each of which the pipeline must find in itself and reject."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from components.errors import InvalidInput
from components.language.learn import LearningParameters
from components.language.model import BiLSTMParameters
from components.language.protection import PrivacyParameters
from components.privacy.noise import with_noise
from components.privacy.training import PrivateTraining
from components.privacy.units import Rows, Utterances
from flows.language import language
from tasks.evidence import kept_record, stored_verdict
from tasks.language.audit import AuditParameters
from tasks.language.course import LanguagePlan
from tasks.language.inputs import OwnTexts
from tasks.report import find_run, references_of

torch.set_num_threads(1)
INTENTS = {"fly": "book a flight to {}", "weather": "what is the weather in {}", "greet": "good morning {}"}
LENIENT = {"flip_budget": {"nfr": 0.9}, "not_worse": None, "beats_constant": None, "maximum_error": {"budget": 0.999}}
AUDITS = AuditParameters(references=0, pool=60, secrets=3, repeats=(1,), digits=2, coins=40, steps=150)


@pytest.fixture
def texts(tmp_path):
    """540 utterances of 90 users, nearly all said once."""
    rng = np.random.default_rng(0)
    names = ["".join(rng.choice(list("abcdefgh"), 4)) for _ in range(540)]
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps({"intents": sorted(INTENTS), "slots": []}))
    path = tmp_path / "requests.jsonl"
    with path.open("w") as file:
        for number, name in enumerate(names):
            intent = tuple(INTENTS)[number % 3]
            line = {"utterance": INTENTS[intent].format(name), "intent": intent, "user": f"user {number % 90}"}
            line["group"] = ("east", "west")[number % 90 // 45]
            file.write(json.dumps(line) + "\n")
    return OwnTexts(path=str(path), labels=str(labels))


@pytest.fixture
def run(home, policy, texts):
    def start(**options):
        defaults = {
            "network": BiLSTMParameters(embedding=6, hidden=4, dropout=0.0, words=300),
            "learning": LearningParameters(epochs=2, batch=50, rate=3e-2),
            "privacy": PrivacyParameters(epsilon=20, delta=1e-4),
            "audits": AUDITS,
            "candidates": LanguagePlan(interpolated=()),
            # What is asked of privacy makes no difference to a claim that is refuted.
            "policy": policy(**LENIENT, **options.pop("rules", {})),
        }
        return language(data=texts, **{**defaults, **options})

    return start


def half_the_noise(total, parameters, *, noise_multiplier, **options):
    return with_noise(total, parameters, noise_multiplier=noise_multiplier / 2, **options)


def one_tensor_bare(total, parameters, **options):
    noisy = with_noise(total, parameters, **options)
    bare = min((weight for weight in parameters if weight in total), key=lambda weight: weight.numel())
    return noisy | {bare: total[bare].clone()}


class Shuffled:
    """Batches of one size, everybody once an epoch, in place of independent draws."""

    def __init__(self):
        self.waiting = np.empty(0, dtype=np.int64)

    def __call__(self, units: Utterances, rate: float, randomness) -> Rows:
        size = round(rate * units.count)
        if len(self.waiting) < size or self.waiting.max() >= units.count:
            self.waiting = np.random.default_rng().permutation(units.count)
        taken, self.waiting = self.waiting[:size, None], self.waiting[size:]
        return Rows(taken, np.ones(taken.shape))


def test_a_sound_training_is_promoted_and_its_audits_say_what_they_could_have_shown(run, home, client):
    asked = {"lower_bound": {"audits": ["one step", "one run", "sampling"]}}
    outcome = run(rules={"privacy": asked})
    assert outcome["decision"] == "PROMOTE", outcome["because"]
    references = references_of(client, find_run(client, home, "last"))
    record = kept_record(client, references["audited"]["record"])
    assert record["lower_bounds"]["one step"] <= record["training_claim"] <= 20
    assert record["lower_bounds"]["one step"] > 0.3 * record["training_claim"]
    assert record["lower_bounds"]["one run"] <= record["could_show"]["one run"] < 3
    assert record["steps"]["taken"] == record["steps"]["reserved"] > 0
    assert (record["attacked"], record["trained_as"]) == ("retrain", "retrain")
    verdict = stored_verdict(client, references["judged"])
    assert "one run" not in {check.subject for check in verdict.checks}
    assert any(name.startswith("one run") and "could have shown" in name for name in verdict.unjudged)


@pytest.mark.parametrize(
    ("fault", "privacy", "named"),
    [
        pytest.param(half_the_noise, {}, "one step", id="noise halved"),
        pytest.param(half_the_noise, {"clipping": "flat", "bound": 100.0}, "one step", id="halved, far bound"),
        pytest.param(one_tensor_bare, {}, "one step", id="a tensor without noise"),
        pytest.param(Shuffled(), {}, "sampling", id="shuffled"),
    ],
)
def test_a_planted_fault_rejects_whatever_the_policy_asks(run, monkeypatch, fault, privacy, named):
    if isinstance(fault, Shuffled):
        monkeypatch.setattr(Utterances, "sample", lambda units, rate, randomness: fault(units, rate, randomness))
    else:
        monkeypatch.setattr("components.privacy.training.with_noise", fault)
    outcome = run(privacy=PrivacyParameters(epsilon=20, delta=1e-4, **privacy))
    assert outcome["decision"] == "REJECT"
    assert outcome["because"].startswith(named)


class OnlyAudited(PrivateTraining):
    """Has its noise where a step is audited, and none where a model learns."""

    def step(self, rows):
        whole = self.plan
        self.plan = replace(whole, noise=(1e-6,) * len(whole.noise))
        super().step(rows)
        self.plan = whole


def test_noise_that_only_an_audited_step_has_is_found_by_the_twin_s_canaries(run, home, client, monkeypatch):
    monkeypatch.setattr("components.language.learn.PrivateTraining", OnlyAudited)
    outcome = run(
        network=BiLSTMParameters(embedding=24, hidden=12, dropout=0.0, words=300),
        learning=LearningParameters(epochs=30, batch=50, rate=3e-2),
        privacy=PrivacyParameters(epsilon=0.5, delta=1e-4),
        audits=AUDITS.model_copy(update={"coins": 120}),
    )
    assert outcome["decision"] == "REJECT"
    assert outcome["because"].startswith("one run")
    record = kept_record(client, references_of(client, find_run(client, home, "last"))["audited"]["record"])
    assert record["lower_bounds"]["one step"] <= record["training_claim"] < record["lower_bounds"]["one run"]


def test_trainings_that_are_counted_once_reject(run, monkeypatch):
    """Two trainings are paid for as one; the meter that stops them before is taken out too."""
    run(budget=200.0)
    monkeypatch.setattr("tasks.language.course.trainings_of", lambda *_: 1)
    monkeypatch.setattr("tasks.language.train.trainings_of", lambda *_: 1)
    plan = {"candidates": LanguagePlan(distilled=({"strength": 1.0},), interpolated=()), "budget": 200.0}
    with pytest.raises(RuntimeError, match="reserved"):
        run(**plan, seed=1)

    def counting(meter, steps: int) -> None:
        meter.taken += steps

    monkeypatch.setattr("tasks.language.train.Meter.add", counting)
    outcome = run(**plan, seed=2)
    assert outcome["decision"] == "REJECT"
    assert "reserved" in outcome["because"]


def test_users_are_attacked_as_users(run, home, client):
    outcome = run(
        privacy=PrivacyParameters(epsilon=20, delta=1e-3, unit="user", utterances_a_user=4),
        learning=LearningParameters(epochs=2, batch=15, rate=3e-2),
        audits=AUDITS.model_copy(update={"references": 1}),
    )
    assert outcome["decision"] == "PROMOTE", outcome["because"]
    record = kept_record(client, references_of(client, find_run(client, home, "last"))["audited"]["record"])
    assert record["unit"] == "user"
    # Of 90 users at most a fifth are in the part that strangers are from.
    assert 3 < record["members"] < 40
    assert record["sampling"] > 1e-6
    assert record["lower_bounds"]["one step"] <= record["training_claim"]


def test_where_everybody_takes_part_in_every_step_nothing_is_asked_of_chance(run, texts, home, client):
    from tasks.language.inputs import load_texts
    from tasks.partition import SplitShares

    split = SplitShares()
    rows = len(load_texts(texts, salt=split.salt, shares=tuple(split.as_record()["shares"])).train)
    outcome = run(
        learning=LearningParameters(epochs=2, batch=rows, rate=3e-2),
        rules={"privacy": {"lower_bound": {"audits": ["sampling"]}}},
    )
    assert outcome["decision"] == "PROMOTE", outcome["because"]


def test_an_audit_that_was_too_easy_holds_and_groups_without_a_judgement_are_named(run, home, client):
    asked = {"lower_bound": {"audits": ["one step"], "steps": 1000}, "membership": {"true_positive_rate": 0.05}}
    groups = {"minimum_rows": 5000, "small_groups": "report", "gap": [{"metric": "error", "tolerance": 0.5}]}
    outcome = run(rules={"privacy": asked, "frames": {"groups": groups}})
    assert outcome["decision"] == "HOLD"
    assert "150 steps" in outcome["because"]
    verdict = stored_verdict(client, references_of(client, find_run(client, home, "last"))["judged"])
    assert any(name.startswith("frames of") and "east" in name for name in verdict.unjudged)


def test_a_table_has_no_frames_to_be_judged(home, policy):
    from components.boosting import BoostingParameters, CandidatePlan
    from flows.tabular import tabular
    from tasks.inputs import MultipleSclerosis

    with pytest.raises(InvalidInput, match="'frames'"):
        tabular(
            data=MultipleSclerosis(rows=2000),
            training=BoostingParameters(rounds=2, max_depth=2, threads=1),
            candidates=CandidatePlan(kinds=()),
            policy=policy(frames={"not_worse": {}}),
        )


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"digits": 1}, "1 digits make 10"), ({"digits": 2, "secrets": 34}, "102 codes"), ({"repeats": (1, 1)}, "once")],
)
def test_secrets_that_are_more_than_codes_are_refused_before_anything_is_paid(changes, named):
    with pytest.raises(ValidationError, match=named):
        AuditParameters(**changes)
    AuditParameters(digits=2, secrets=33)
