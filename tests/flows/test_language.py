"""The language pipeline, end to end on a small corpus: judged, registered, attacked, paid for, and served."""

import json
import re
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
import torch

from components.data.texts.corpus import Slot, Utterance
from components.errors import InvalidInput
from components.language.answer import metrics_of
from components.language.learn import LearningParameters
from components.language.model import BiLSTMParameters, FrozenParameters
from components.language.protection import PrivacyParameters
from components.privacy import Steps
from flows.language import language
from tasks.evidence import kept_record
from tasks.language.audit import AuditParameters
from tasks.language.budget import budgets
from tasks.language.champion import LanguageChampion
from tasks.language.course import LanguagePlan
from tasks.language.inputs import Clinc, HomeCommands, OwnTexts, Snips
from tasks.language.privatise import Rewriting
from tasks.loader import LoadedLanguageModel, load
from tasks.promotion_ledger import examine
from tasks.report import _curve, find_run, references_of
from tasks.tracking import find_stage

torch.set_num_threads(1)
STAGES = ("partition", "train", "evaluate", "audit", "gate", "register", "promote")
SAYINGS = {
    "fly": ("book a flight to {}", "boek een vlucht naar {}"),
    "weather": ("what is the weather in {}", "hoe is het weer in {}"),
    "greet": ("good morning", "goede morgen"),
}
CITIES = ("rome", "oslo", "new york", "cairo")
NETWORK = BiLSTMParameters(embedding=10, hidden=8, dropout=0.0, words=500)
LEARNING = LearningParameters(epochs=3, batch=60, rate=3e-2)
PRIVACY = PrivacyParameters(epsilon=20, delta=1e-4)
AUDITS = AuditParameters(references=2, pool=60, secrets=3, repeats=(1,), digits=2, coins=20, steps=50)
LENIENT = {"flip_budget": {"nfr": 0.9}, "not_worse": None, "beats_constant": None, "maximum_error": {"budget": 0.999}}


def said(number: int, rng: np.random.Generator) -> Utterance:
    intent, user = tuple(SAYINGS)[number % 3], number % 120
    text = SAYINGS[intent][user % 2]
    city = f"{CITIES[rng.integers(4)]} {number}"  # most are said once, so there is somebody to attack
    start = text.find("{}")
    slots = (Slot("city", start, start + len(city)),) if start >= 0 else ()
    return Utterance(str(number), text.format(city), intent, slots, ("en", "nl")[user % 2], f"user {user}")


def write(path, utterances) -> str:
    with path.open("w") as file:
        for one in utterances:
            slots = [{"slot": slot.name, "start": slot.start, "end": slot.end} for slot in one.slots]
            line = {"utterance": one.text, "intent": one.intent, "slots": slots, "group": one.group, "user": one.user}
            file.write(json.dumps(line) + "\n")
    return str(path)


@pytest.fixture
def texts(tmp_path):
    """A source of 720 utterances of 120 users in two languages, with labels that are declared."""
    rng = np.random.default_rng(0)
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps({"intents": sorted(SAYINGS), "slots": ["city"]}))
    path = write(tmp_path / "requests.jsonl", [said(number, rng) for number in range(720)])
    return OwnTexts(path=path, labels=str(labels), languages=("en", "nl"), grouping="language")


@pytest.fixture
def run(home, policy):
    def start(data, **options):
        defaults = {
            "network": NETWORK,
            "learning": LEARNING,
            "privacy": PRIVACY,
            "audits": AUDITS,
            "candidates": LanguagePlan(interpolated=()),
            "policy": policy(**LENIENT, **{"privacy": {"lower_bound": {}}} | options.pop("rules", {})),
        }
        return language(data=data, **{**defaults, **options})

    return start


def stage_of(client, home, stage: str, which: str = "last"):
    run_id = find_run(client, home, which)
    return find_stage(client, run_id, client.get_run(run_id).info.experiment_id, stage)


def test_a_private_model_is_trained_attacked_judged_and_served(run, texts, home, client):
    outcome = run(texts)
    assert (outcome["decision"], outcome["action"], outcome["champion"]) == ("PROMOTE", "promoted", "1")

    run_id = find_run(client, home, "last")
    for stage in STAGES:
        assert stage_of(client, home, stage).info.status == "FINISHED", stage
    artifacts = {file.path for file in client.list_artifacts(run_id)}
    assert {"report.html", "plots"} <= artifacts
    plots = {file.path for file in client.list_artifacts(run_id, "plots")}
    assert {"plots/claim.png", "plots/attacks.png", "plots/exposure.png", "plots/learning.png"} <= plots

    references = references_of(client, run_id)
    found = kept_record(client, references["audited"]["record"])
    assert 0 <= max(found["lower_bounds"].values()) <= found["claim"] <= 20
    assert set(found["attacks"]) == {"loss", "LiRA", "RMIA"}
    assert references["trained"]["record"]["claims"]["retrain"] == found["claim"]

    ledger = budgets(home)["requests"]
    assert ledger.budget.epsilon == 40
    assert found["claim"] * 0.95 < ledger.spent < 1.5 * found["claim"]

    # Of what a training kept to go on by, only what was paid and told is left once the run has ended.
    left = {path.name for path in (home.owners / "training").rglob("*") if path.is_file()}
    assert left == {"ticket", "told"}
    page = Path(client.download_artifacts(run_id, "report.html")).read_text()
    assert re.search(r"Attacks took [0-9.]+ s of processor time", page)
    for name in ("left_out", "training_claim", "data_set"):
        assert name not in page

    version = client.get_model_version("requests", "1")
    assert "epsilon" in version.tags["troth.privacy"]
    assert not examine(client, home, "requests").findings
    loaded = load("models:/requests@champion", home)
    assert isinstance(loaded, LoadedLanguageModel)
    asked = ["book a flight to oslo", "goede morgen"]
    told = loaded.answer(asked)
    served = mlflow.pyfunc.load_model("models:/requests/1").predict(pd.DataFrame({"utterance": asked}))
    for answers in (told, served):
        assert set(answers["intent"]) <= set(SAYINGS)
        assert answers["scores"][0].keys() == set(SAYINGS)
    pd.testing.assert_series_equal(told["score"], served["score"])


def test_nothing_that_was_said_reaches_what_a_run_leaves_behind(run, texts, home, client, tmp_path):
    """A sentence only one user says is in the owner's store, and nowhere else under the home."""
    lines = (tmp_path / "requests.jsonl").read_text().splitlines()
    secret = json.loads(lines[1]) | {"utterance": "zyxwv utsrq", "slots": [], "user": "unique-person"}
    (tmp_path / "requests.jsonl").write_text("\n".join([lines[0], json.dumps(secret), *lines[2:]]))
    run(texts)
    kept = home.owners / "texts"
    assert any(b"zyxwv" in path.read_bytes() for path in kept.iterdir())
    for path in home.root.rglob("*"):
        if path.is_file() and kept not in path.parents:
            content = path.read_bytes()
            assert b"zyxwv" not in content, path
            assert b"unique-person" not in content, path


def test_an_update_is_held_against_the_champion_with_all_it_inherits(run, texts, home, client):
    run(texts)
    plan = LanguagePlan(distilled=({"strength": 1.0},), interpolated=(0.5,), noise_floor=True)
    outcome = run(texts, candidates=plan, seed=1)
    assert outcome["version"] == "2"
    trained = references_of(client, find_run(client, home, "last"))["trained"]
    assert set(trained["candidates"]) == {"retrain", "distilled", "interpolated_0.5"}
    claims = trained["record"]["claims"]
    # Three trainings share what one may spend; whoever is chosen claims those that entered, and what the champion did.
    assert len(set(claims.values())) == 1
    assert trained["record"]["training_claim"] < PRIVACY.epsilon < claims["retrain"] < 2 * PRIVACY.epsilon
    evaluated = references_of(client, find_run(client, home, "last"))["evaluated"]
    assert "noise_floor" in evaluated["context"]
    assert {"champion", "frames_champion"} <= set(evaluated["predictions"])


def test_frames_have_budgets_of_their_own(run, texts, home, client):
    outcome = run(texts, rules={"frames": {"maximum_error": {"budget": 0.01}}})
    assert outcome["decision"] == "REJECT"
    assert outcome["because"].startswith("whole frames")
    assert "beyond 1 %" in outcome["because"]


def test_a_data_set_that_would_overspend_is_refused_and_the_champion_stays(run, texts, home):
    run(texts, budget=30.0)
    spent = budgets(home)["requests"].spent
    with pytest.raises(InvalidInput, match="of 30"):
        run(texts, budget=30.0, seed=1)
    assert budgets(home)["requests"].spent == spent
    assert load("models:/requests@champion", home).version == "1"


def test_a_ledger_put_back_to_an_older_state_is_noticed(run, texts, home):
    run(texts, budget=100.0)
    path = home.budgets / "requests.jsonl"
    path.unlink()
    with pytest.raises(InvalidInput, match="entry 1"):
        run(texts, budget=100.0, seed=1)


def test_a_run_that_was_cut_off_goes_on_and_pays_once(run, texts, home, client, monkeypatch):
    class Cut(Exception):
        pass

    def cut(*_, **__):
        raise Cut

    with monkeypatch.context() as patch:
        patch.setattr("tasks.language.train.keep_language_model", cut)
        with pytest.raises(Cut):
            run(texts)
    spent = budgets(home)["requests"].spent
    assert spent > 0
    outcome = run(texts)
    assert outcome["action"] == "promoted"
    assert budgets(home)["requests"].spent == spent
    assert len(budgets(home)["requests"].entries()) == 1


def test_a_training_that_was_cut_off_goes_on_with_the_curve_it_had(run, texts, home, client, monkeypatch):
    class Cut(Exception):
        pass

    measured, seen = metrics_of, []

    def cut_at_the_third(*arguments):
        seen.append(len(seen))
        if len(seen) == 3:
            raise Cut
        return measured(*arguments)

    longer = {"learning": LEARNING.model_copy(update={"epochs": 5})}
    with monkeypatch.context() as patch:
        patch.setattr("tasks.language.train.metrics_of", cut_at_the_third)
        with pytest.raises(Cut):
            run(texts, **longer)
    kept = list((home.owners / "training").rglob("*.safetensors"))
    assert kept
    run(texts, **longer)
    assert not any(path.exists() for path in kept)
    stage = stage_of(client, home, "train").info.run_id
    history = client.get_metric_history(stage, "selection.intent_accuracy")
    # The third epoch was taken and kept, and cut off before it was measured.
    assert sorted(one.step for one in history) == [1, 2, 4, 5]
    drawn = _curve(client, stage, "selection.intent_accuracy")
    assert [value == value for value in drawn] == [True, True, False, True, True]


def test_users_are_protected_as_a_whole(run, texts, home, client):
    run(texts, privacy=PrivacyParameters(epsilon=20, delta=1e-3, unit="user"), learning=replace_batch(20))
    assert budgets(home)["requests"].budget.unit == "user"
    assert client.get_model_version("requests", "1").tags["troth.privacy"].endswith("user")


def test_what_is_promised_to_one_unit_is_no_promise_to_another():
    steps = (Steps(1.0, 0.1, 10),)
    champion = LanguageChampion("1", None, None, {}, steps, "utterance")
    assert champion.steps_for("utterance") == steps
    assert champion.steps_for("user") is None
    of_users = LanguageChampion("1", None, None, {}, steps, "user")
    assert of_users.steps_for("user") == steps
    # A user's clipped gradient turns round when one utterance goes: the sum moves by two bounds, not by one.
    assert of_users.steps_for("utterance") is None


def replace_batch(batch: int) -> LearningParameters:
    return LEARNING.model_copy(update={"batch": batch})


def test_plain_training_promises_nothing_and_pays_nothing(run, texts, home, client):
    outcome = run(texts, mode="plain", rules={"privacy": None})
    assert outcome["action"] == "promoted"
    assert (budgets(home)["requests"].budget, budgets(home)["requests"].plain) == (None, 1)
    assert client.get_model_version("requests", "1").tags["troth.privacy"] == "none"
    record = references_of(client, find_run(client, home, "last"))["trained"]["record"]
    assert record["claims"] == {"retrain": None}


@pytest.mark.slow
def test_texts_made_private_first_are_all_that_is_learnt_from(run, texts, home, client):
    run(texts, privatisation=Rewriting(epsilon=50), rules={"privacy": None})
    reference = references_of(client, find_run(client, home, "last"))
    privatised = reference["data"]["privatised"]
    assert privatised["epsilon"] == 50
    assert len(privatised["points"]) == 4
    kept = (home.owners / "texts" / f"{reference['data']['parts']['train']['digest'][:16]}.jsonl").read_text()
    assert "boek een vlucht" not in kept
    # Words nobody says are told from what strangers said by anyone; that would be no attack.
    audited = kept_record(client, reference["audited"]["record"])
    assert (audited["attacks"], audited["members"]) == ({}, 0)
    assert "made private" in audited["membership_left_out"]
    page = Path(client.download_artifacts(find_run(client, home, "last"), "report.html")).read_text()
    assert "made private first" in page
    assert "intent, group and user of each text" in page


@pytest.mark.slow
def test_what_comes_with_troth_learns_by_heads_on_the_encoder_and_is_followed(run, home, client):
    """The defaults of `troth run language`, on fewer commands: the update is pulled, and lies between, by features."""
    data = HomeCommands(utterances=1000, languages=("en", "de"))
    options = {"network": FrozenParameters(), "learning": LEARNING}
    assert run(data, **options)["champion"] == "1"
    plan = LanguagePlan(distilled=({"strength": 1.0},), interpolated=(0.5,))
    assert run(data, **options, candidates=plan, seed=1)["version"] == "2"
    references = references_of(client, find_run(client, home, "last"))
    assert set(references["trained"]["candidates"]) == {"retrain", "distilled", "interpolated_0.5"}
    assert kept_record(client, references["audited"]["record"])["extraction"]
    first, second = (load(f"models:/home_commands/{number}", home).model.network for number in (1, 2))
    assert torch.equal(first.projection.weight, second.projection.weight)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["snips", "clinc"])
def test_published_corpora_go_through(run, kind, tmp_path, home):
    rng = np.random.default_rng(0)

    def some(count: int) -> list[Utterance]:
        return [said(3 * int(rng.integers(10_000)) + number % 3, rng) for number in range(count)]

    if kind == "snips":
        for part, count in (("train_{}_full", 240), ("validate_{}", 90)):
            for intent in SAYINGS:
                data = [{"data": [{"text": one.text}]} for one in some(count) if one.intent == intent]
                (tmp_path / f"{part.format(intent)}.json").write_text(json.dumps({intent: data}))
        source = Snips(folder=str(tmp_path))
    else:
        parts = {"train": 300, "val": 90, "test": 150, "oos_train": 30, "oos_val": 9, "oos_test": 15}
        document = {
            part: [[one.text, "oos" if "oos" in part else one.intent] for one in some(count)]
            for part, count in parts.items()
        }
        (tmp_path / "data_full.json").write_text(json.dumps(document))
        source = Clinc(folder=str(tmp_path))
    assert run(source, learning=replace_batch(40))["version"] == "1"


def test_what_texts_cannot_be_judged_by_is_refused_before_anything_runs(run, texts, client):
    for rules in ({"golden_set": {}}, {"publish": {"users": ["ada"]}}):
        with pytest.raises(InvalidInput):
            run(texts, rules=rules)
    with pytest.raises(InvalidInput, match="plain"):
        run(texts, mode="plain", rules={"privacy": {"epsilon": 3}})
    assert client.get_experiment_by_name("troth-language") is None


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"privacy": PRIVACY.model_copy(update={"delta": 0.01})}, "0.01"),
        ({"learning": replace_batch(5000)}, "5000"),
    ],
)
def test_what_cannot_be_promised_is_one_sentence(run, texts, home, changes, named):
    with pytest.raises(InvalidInput, match=named):
        run(texts, **changes)
    assert budgets(home) == {}


def test_another_set_of_labels_is_not_compared(run, texts, home, tmp_path):
    run(texts)
    other = tmp_path / "more.json"
    other.write_text(json.dumps({"intents": [*sorted(SAYINGS), "sing"], "slots": ["city"]}))
    with pytest.raises(InvalidInput, match="'sing'"):
        run(texts.model_copy(update={"labels": str(other)}))


def test_a_table_is_no_heir_of_a_language_model(run, texts, home, policy):
    from flows.tabular import tabular
    from tasks.inputs import MultipleSclerosis

    run(texts, model="shared")
    with pytest.raises(InvalidInput, match="language model"):
        tabular(data=MultipleSclerosis(rows=2000), model="shared", policy=policy())
