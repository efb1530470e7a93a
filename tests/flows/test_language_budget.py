"""What a run of texts claims and pays for: choices and what they inherit, data sets by name, plain trainings."""

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from components.data.texts.corpus import Utterance
from components.errors import InvalidInput
from components.gates import read_policy
from components.language.learn import STATE, LearningParameters
from components.language.model import BiLSTMParameters
from components.language.protection import PrivacyParameters
from components.privacy import Budget, Plan, privacy_spent
from components.privacy.renyi import renyi_epsilon
from components.privacy.steps import Steps
from tasks.gate import gate
from tasks.language import budget as budgets_of_texts
from tasks.language.budget import budgets, ledger_at, note_told, pay
from tasks.language.course import LanguagePlan, Recipe
from tasks.language.evaluate import evaluate_language
from tasks.language.holdings import part_of
from tasks.language.inputs import OwnTexts, require_names, text_fingerprint
from tasks.language.known import digests_of
from tasks.language.partition import digests_beside, partition_texts
from tasks.language.privatise import WordExchange
from tasks.language.register import register_language
from tasks.language.train import train_language
from tasks.partition import SplitShares
from tasks.pipeline import pipeline_run
from tasks.promote import promote
from tasks.tracking import stage_run

torch.set_num_threads(1)
INTENTS = {"fly": "book a flight to {}", "weather": "how is the weather in {}", "greet": "good morning from {}"}
CITIES = ("rome", "oslo", "cairo", "lima")
NETWORK = BiLSTMParameters(embedding=6, hidden=5, dropout=0.0, words=300)
RETRAIN = LanguagePlan(interpolated=())
PLAN = Plan((3.0,), rate=0.1, steps_an_epoch=5, delta=1e-4)


def write(path, *, users: int = 90, named: bool = True, first: int = 0):
    rng = np.random.default_rng(first)
    with path.open("w") as file:
        for number in range(360):
            intent = tuple(INTENTS)[number % 3]
            line = {
                "utterance": f"{INTENTS[intent].format(CITIES[rng.integers(4)])} {first + number}",
                "intent": intent,
            }
            file.write(json.dumps(line | ({"user": f"user {first + number % users}"} if named else {})) + "\n")
    return path


@pytest.fixture
def own(tmp_path):
    """A function that makes a source of 360 utterances of 90 users, in a file of that name."""

    def make(name: str = "requests", *, called: str | None = None, **options) -> OwnTexts:
        return OwnTexts(path=str(write(tmp_path / f"{name}.jsonl", **options)), name=called)

    return make


@pytest.fixture
def trained(home, policy):
    """Runs the stages up to the promotion, without audits; what each left, and the record of the training."""
    rules = policy(flip_budget=None, not_worse=None, beats_constant=None, maximum_error={"budget": 0.999})

    def run(data, *, mode="private", privacy=None, candidates=RETRAIN, budget=200.0, limit=None, seed=0, **options):
        privacy = privacy or PrivacyParameters(epsilon=20, delta=1e-4)
        learning = options.get("learning", LearningParameters(epochs=2, batch=40))
        recipe = Recipe(
            mode=mode, model=NETWORK, learning=learning, privacy=privacy, candidates=candidates, seed=seed, limit=limit
        )
        unit = privacy.unit if mode == "private" else "utterance"
        with pipeline_run("language", name="test", model="requests", request={"seed": seed}) as started:
            texts = partition_texts.fn(started, data, SplitShares(), options.get("privatisation"), seed, unit)
            found = train_language.fn(started, texts, recipe, budget)
            chosen = evaluate_language.fn(started, texts, found, read_policy(rules).choice)
            judged = gate.fn(started, chosen, read_policy(rules))
            registered = register_language.fn(started, texts, found, chosen, judged)
            outcome = promote.fn(started, registered, judged)
        return SimpleNamespace(texts=texts, record=found["record"], candidates=found["candidates"], outcome=outcome)

    return run


@pytest.fixture
def paid(home, client):
    """Pays for a small plan, or notes a plain training, as the stage of a run of that name does."""

    def start(name, *, plan=PLAN, budget=200.0, texts=None, users=None, run="a"):
        of = Budget(budget, 1e-4, plan.unit) if plan else None
        known = {"texts": texts_of(1) if texts is None else texts, "users": texts_of() if users is None else users}
        with (
            pipeline_run("language", name=run, model="requests", request={"run": run}) as started,
            stage_run(client, started, "train") as here,
        ):
            folder = home.owners / "training" / run
            return pay(client, home, here, name, of, plan, trainings=1, folder=folder, known=known)

    return start


def steps_of(record: dict) -> list[Steps]:
    return [Steps(*one) for one in record["steps"]["claimed"]]


def test_a_model_alone_claims_its_own_training_and_counts_its_steps(trained, own, home):
    record = trained(own()).record
    claim = privacy_spent(steps_of(record), delta=1e-4).epsilon
    assert record["claims"] == {"retrain": pytest.approx(claim)}
    assert record["training_claim"] == pytest.approx(claim)
    assert record["steps"]["reserved"] == record["steps"]["taken"] == sum(one.count for one in steps_of(record))
    assert record["steps"]["taken"] == sum(s.count for s in budgets(home)["requests"].entries()[0].steps)


def test_who_is_chosen_claims_everything_that_entered_the_choice(trained, own):
    first = trained(own()).record
    plan = LanguagePlan(distilled=({"strength": 1.0},), interpolated=(0.5,), noise_floor=True)
    second = trained(own(), candidates=plan, seed=1)
    claims, record = second.record["claims"], second.record
    assert set(second.candidates) == set(claims) == {"retrain", "distilled", "interpolated_0.5"}
    assert len(set(claims.values())) == 1
    assert claims["retrain"] == pytest.approx(renyi_epsilon(steps_of(record), 1e-4))
    # Of three trainings that were paid for two entered the choice, and the champion's did.
    taken, inherited = record["steps"]["taken"], first["steps"]["taken"]
    assert record["steps"]["reserved"] == taken
    assert sum(one.count for one in steps_of(record)) == taken * 2 / 3 + inherited
    assert record["training_claim"] < 20 < claims["retrain"]


@pytest.mark.slow
def test_no_generation_is_rejected_for_what_its_ancestors_spent(trained, own):
    """Where a choice would claim too much, retrain is trained alone, and the next may be a choice again."""
    kinds, claims = [], []
    for seed in range(4):
        found = trained(own(), candidates=LanguagePlan(interpolated=(0.5,)), limit=45.0, budget=500.0, seed=seed)
        assert found.outcome["action"] == "promoted"
        kinds.append(len(found.candidates))
        claims.append(found.record["claims"]["retrain"])
        assert ("only retrain" in found.record["left_out"]) == (seed > 0 and kinds[-1] == 1)
        assert found.record["steps"]["reserved"] == found.record["steps"]["taken"]
    assert kinds == [1, 2, 1, 2]
    assert claims[0] <= 20 < claims[1] <= 45
    assert claims[2:] == pytest.approx(claims[:2])


def test_a_champion_that_promises_nothing_enters_no_private_choice(trained, own):
    trained(own(), mode="plain")
    record = trained(own(), candidates=LanguagePlan(interpolated=(0.5,)), seed=1).record
    assert set(record["claims"]) == {"retrain"}
    assert record["claims"]["retrain"] <= 20
    assert "nothing is promised" in record["left_out"]


def test_a_budget_counted_once_is_noticed_as_steps_are_taken(trained, own, monkeypatch):
    trained(own())
    monkeypatch.setattr("tasks.language.train.trainings_of", lambda *_: 1)
    with pytest.raises(RuntimeError, match="reserved"):
        trained(own(), candidates=LanguagePlan(distilled=({"strength": 1.0},), interpolated=()), seed=1)


def test_users_are_promised_nothing_where_nobody_is_named(trained, own, home):
    of_users = PrivacyParameters(epsilon=20, delta=1e-3, unit="user")
    with pytest.raises(InvalidInput, match="utterances name no user"):
        trained(own(named=False), privacy=of_users)
    assert budgets(home) == {}
    # And at the defaults the batch is a fifth of the users.
    record = trained(own(), privacy=of_users, learning=LearningParameters(epochs=2)).record
    assert record["steps"]["taken"] == 2 * 6


def test_a_copy_under_another_name_is_the_same_data_set(trained, own, home):
    trained(own())
    with pytest.raises(InvalidInput, match="'copy' were trained on as data set 'requests'.*--name requests"):
        trained(own("copy"), seed=1)
    assert list(budgets(home)) == ["requests"]
    spent = budgets(home)["requests"].spent
    trained(own("copy", called="requests"), seed=2)
    assert budgets(home)["requests"].spent > spent


def texts_of(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.uint64)


def test_texts_that_are_mostly_another_data_set_s_are_refused(paid, home):
    paid("first", texts=texts_of(1, 2, 3, 4))
    with pytest.raises(InvalidInput, match="75 % of the training texts of 'second'.*--name first"):
        paid("second", texts=texts_of(2, 3, 4, 5), run="b")
    assert set(budgets(home)) == {"first"}
    paid("third", texts=texts_of(3, 4, 8, 9), run="c")
    paid("first", texts=texts_of(5, 6), run="d")
    with pytest.raises(InvalidInput, match="'first'"):
        paid("fourth", texts=texts_of(1, 5, 6, 99), run="e")
    with pytest.raises(InvalidInput, match="'first'"):
        paid("fourth", plan=None, texts=texts_of(1, 5, 6, 99), run="e")


OF_USERS = Plan((3.0,), rate=0.1, steps_an_epoch=5, delta=1e-4, unit="user")


@pytest.mark.parametrize(("first", "second"), [(OF_USERS, PLAN), (PLAN, OF_USERS), (OF_USERS, OF_USERS)])
def test_the_same_people_with_new_sentences_begin_no_second_budget(paid, first, second):
    paid("may", plan=first, texts=texts_of(1, 2), users=texts_of(10, 11))
    with pytest.raises(InvalidInput, match="100 % of the training users of 'june'.*--name may"):
        paid("june", plan=second, texts=texts_of(3, 4), users=texts_of(10, 11), run="b")
    paid("others", plan=second, texts=texts_of(5, 6), users=texts_of(12, 13), run="c")


def test_utterances_are_units_whoever_said_them(paid):
    paid("may", texts=texts_of(1, 2), users=texts_of(10, 11))
    paid("june", texts=texts_of(3, 4), users=texts_of(10, 11), run="b")


def test_what_holds_another_data_set_or_parts_of_several_is_refused(paid):
    paid("small", texts=texts_of(1, 2))
    with pytest.raises(InvalidInput, match="100 % of the texts of data set 'small'"):
        paid("large", texts=texts_of(*range(20)), run="b")
    paid("a", texts=texts_of(*range(100, 110)), run="c")
    paid("b", texts=texts_of(*range(200, 210)), run="d")
    with pytest.raises(InvalidInput, match="80 % .* other names, most of them as data set 'a'"):
        paid("mixed", texts=texts_of(*range(100, 104), *range(200, 204), 300, 301), run="e")


def test_an_export_with_other_pseudonyms_is_known_by_its_texts(own, home):
    said = [Utterance(str(number), f"text {number}", "fly", (), "en", f"user {number % 5}") for number in range(20)]
    again = [Utterance(one.row_id, one.text, one.intent, (), "en", f"p{one.user}") for one in said]
    drawn = digests_of(home, said, drawn="home_commands-1")
    for kind, alike in (("texts", 20), ("users", 0)):
        found = digests_of(home, said)[kind]
        assert np.isin(found, digests_of(home, again)[kind]).sum() == alike
        assert not np.isin(found, drawn[kind]).any()


def test_a_lost_key_is_told_of(paid, own, home):
    paid("requests")
    (home.root / "keys" / "texts.key").unlink(missing_ok=True)
    for ask in (lambda: paid("copy", run="b"), lambda: text_fingerprint(own(), home)):
        with pytest.raises(InvalidInput, match="texts.key is gone"):
            ask()


def test_no_digest_that_leaves_this_home_can_be_tried_without_its_key(trained, own, home, client):
    found = trained(own())
    plain = [hashlib.sha256(Path(own().path).read_bytes()).hexdigest()]
    plain += [part_of(found.texts, part).digest for part in found.texts["parts"]]
    plain.append(hashlib.sha256("".join(plain[1:]).encode()).hexdigest())
    told = [json.dumps(found.texts), json.dumps(found.record), text_fingerprint(own(), home)]
    for run in client.search_runs([client.get_experiment_by_name("troth-language").experiment_id]):
        told += [json.dumps(run.to_dictionary())]
    assert not [one for one in plain if any(one[:16] in text for text in told)]
    assert text_fingerprint(own(), home) == told[2]


def test_what_was_told_is_not_trained_again_unpaid(home, client):
    """A candidate whose state is gone while the ticket stays would begin anew, with fresh noise."""
    folder, known = home.owners / "training" / "a", {"texts": texts_of(1), "users": texts_of()}
    with (
        pipeline_run("language", name="a", model="requests", request={}) as started,
        stage_run(client, started, "train") as here,
    ):

        def paid():
            of = Budget(200.0, 1e-4)
            return pay(client, home, here, "requests", of, PLAN, trainings=1, folder=folder, known=known)[1]

        first = paid()
        (folder / "retrain").mkdir()
        assert paid() == first  # cut off before anybody saw anything
        note_told(folder / "retrain")
        (folder / "retrain" / STATE).write_text("{}")
        assert paid() == first
        (folder / "retrain" / STATE).unlink()
        again = paid()
        assert again.run != first.run
        assert paid() == again
    assert len(budgets(home)["requests"].entries()) == 2


def test_what_was_refused_leaves_no_trace_of_its_texts(paid):
    paid("first", texts=texts_of(1))
    with pytest.raises(InvalidInput, match="overspend|would bring"):
        paid("small", texts=texts_of(7, 8), budget=0.01, run="b")
    paid("other", texts=texts_of(7, 8), run="c")


def test_every_name_has_a_ledger_and_a_tag_of_its_own(paid, home):
    names = ["requests (1)", "a+b", "x%y", "запросы", "~home", ".hidden", "..", "a b.c", "a/b", "клиенты", "a%20b", "A"]
    for number, name in enumerate(names):
        paid(name, texts=texts_of(number), run=str(number))
    found = budgets(home)
    assert set(found) == set(names)
    assert {len(ledger.entries()) for ledger in found.values()} == {1}
    for number, name in enumerate(names):
        ledger_at(home, name).path.unlink()
        with pytest.raises(InvalidInput, match="entry 1 that MLflow remembers"):
            paid(name, texts=texts_of(number), run=f"again {number}")


def test_tags_of_different_names_differ():
    names = ["a%20b", "a b", "a:b", "a~b", "a:7Eb", "a/b", "a_b", "x" * 99]
    assert len({budgets_of_texts._tag(name) for name in names}) == len(names)


@pytest.mark.parametrize(("name", "model"), [("ж" * 40, "m"), ("a", "a/b"), ("a", "a:b"), ("a", "it's"), ("a", "..")])
def test_names_that_nothing_can_be_kept_under_are_refused(own, name, model):
    with pytest.raises(InvalidInput, match="name"):
        require_names(own(called=name), model)


def test_plain_trainings_are_told_of_wherever_a_budget_is(paid, trained, own, home):
    paid("requests", plan=None, run="plain")
    assert (budgets(home)["requests"].plain, budgets(home)["requests"].budget) == (1, None)
    record = trained(own()).record
    assert (record["data_set_plain"], budgets(home)["requests"].budget.epsilon) == (1, 200)
    assert any("1 plain training was done" in sentence for sentence in record["outside"])


def test_a_payment_that_a_crash_kept_out_of_mlflow_is_found_again(paid, home, client, monkeypatch):
    class Cut(Exception):
        pass

    def cut(*_):
        raise Cut

    with monkeypatch.context() as patch:
        patch.setattr("tasks.tracking.Stage.record", cut)
        with pytest.raises(Cut):
            paid("requests")
    assert len(budgets(home)["requests"].entries()) == 1
    _, entry = paid("requests")
    assert budgets(home)["requests"].entries() == (entry,)
    experiment = client.get_experiment_by_name("troth-language")
    runs = [run.info.run_id for run in client.search_runs([experiment.experiment_id])]
    kept = [file.path for run in runs for file in client.list_artifacts(run)]
    assert kept == ["privacy_budget.json"]
    assert experiment.tags["troth.budget.requests"] == f"1:{entry.hash}"


def test_a_torn_first_line_is_nobody_else_s_trouble(paid, home):
    paid("requests")
    for name, content in (("torn.jsonl", b'{"budget"'), ("empty.jsonl", b""), ("damaged.jsonl", b"{}\n")):
        (home.budgets / name).write_bytes(content)
    found = budgets(home)
    assert set(found) == {"requests", "damaged"}
    assert found["requests"].spent > 0
    with pytest.raises(InvalidInput, match="entry 1"):
        found["damaged"].entries()


def test_a_budget_is_set_by_the_first_run_and_not_raised(paid, home):
    paid("requests", budget=50.0)
    with pytest.raises(InvalidInput, match="begun with epsilon 50"):
        paid("requests", budget=1000.0, run="b")
    assert len(budgets(home)["requests"].entries()) == 1


def test_a_run_that_goes_on_goes_on_with_the_first_draw(own, home, monkeypatch):
    """Privatised texts of a run that was cut off are the same when it comes back, and only of that run."""
    from tasks.language import privatise

    draws = []

    def draw(here, divided, way, languages, *, seed):
        """Stands for the drawing, of which only that it is random matters here."""
        draws.append(here.run_id)
        said = (Utterance(one.row_id, f"{one.text} {len(draws)}", one.intent) for one in divided.train.utterances)
        train = type(divided.train)(tuple(said), divided.train.grouping)
        return type(divided)(train, divided.selection, divided.gate, divided.labels), {"points": []}

    monkeypatch.setattr(privatise, "privatised", draw)
    digests = []
    for seed, cut in ((0, True), (0, False), (1, False)):
        try:
            with pipeline_run("language", name="test", model="requests", request={"seed": seed}) as started:
                texts = partition_texts.fn(started, own(), SplitShares(), WordExchange(), 0)
                digests.append(texts["digest"])
                if cut:
                    raise RuntimeError
        except RuntimeError:
            pass
    assert digests[0] == digests[1] != digests[2]
    assert len(draws) == 2
    # What a budget knows texts by is of them as they came.
    assert digests_beside(texts["parts"]["train"], "texts").stat().st_size == 8 * texts["rows"]
