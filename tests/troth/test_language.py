"""`troth run language` and what is beside it: mistakes are one sentence before any work, exit code 2, nothing paid."""

import json
import re

import pytest

MARKS = (" it", "\u2028it", "\u2029it\x85", " it\r", "\x1cit")
"""What ends a line in some places and none in a file of texts."""


@pytest.fixture
def requests(tmp_path):
    """Writes a file of texts, whose lines are changed by `change(number, line)`, and returns its options."""

    def write(change=lambda number, line: line, *, encoding: str = "utf-8"):
        lines = []
        for number in range(240):
            intent = ("on", "off", "play")[number % 3]
            line = {"utterance": f"please {intent} it now", "intent": intent, "user": f"person {number % 60}"}
            lines.append(change(number, line))
        path = tmp_path / "requests.jsonl"
        text = "\n".join(one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for one in lines if one)
        path.write_bytes(text.encode(encoding))
        return ("--data", path)

    return write


def at(number: int, **values):
    return lambda row, line: line | values if row == number else line


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (at(4, utterance="  "), "line 5"),
        (at(4, intent=""), "line 5"),
        (at(4, slots=[{"slot": "what", "start": 1, "end": 3}]), "line 5"),
        (at(4, slots=["O", "B-what"]), "line 5"),
        (at(4, intent="sing"), "requests.jsonl@5"),
        (at(4, utterance=True), "line 5"),
        (at(4, utterance=5), "line 5"),
        (lambda row, line: '{"utterance": "\\ud83d!", "intent": "on"}' if row == 4 else line, "line 5"),
        (lambda row, line: '{"utterance": "a", "utterance": "b", "intent": "on"}' if row == 4 else line, "twice"),
        (lambda row, line: "{oops" if row == 4 else line, "line 5"),
    ],
)
def test_texts_that_cannot_be_learnt_from(troth, home, requests, change, named):
    assert named in troth("run", "language", *requests(change)).complaint


def test_a_file_that_is_not_utf8(troth, home, requests):
    said = troth("run", "language", *requests(at(4, utterance="garçon, play"), encoding="latin-1"))
    assert "line 5" in said.complaint
    assert "UTF-8" in said.complaint


def test_an_intent_of_the_test_set_that_nobody_declared(troth, home, requests, tmp_path):
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps({"intents": ["on", "off"], "slots": []}))
    said = troth("run", "language", *requests(), "--labels", labels).complaint
    assert re.search(r"intent of row requests\.jsonl@\d+ .*not among the 2", said)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--epsilon", "0"), "epsilon"),
        (("--epsilon", "-1"), "epsilon"),
        (("--delta", "1"), "delta"),
        (("--delta", "0.1"), "0.1"),
        (("--budget", "0"), "--budget 0"),
        (("--unit", "house"), "house"),
        (("--set", "learning.batch=100000"), "100000"),
        (("--set", "learning.epochs=zero"), "zero"),
        (("--set", "epochs=3"), "--set epochs=3"),
        (("--set", "candidates.distilled=[{"), "candidates.distilled=[{"),
        (("--set", "candidates.distilled=*x"), "candidates.distilled=*x"),
        (("--set", "learning.epochs=2024-13-45"), "2024-13-45"),
        (("--set", "learning.epochs=!!bool x"), "!!bool x"),
        (("--set", f"learning.epochs={'9' * 5000}"), "5,000"),
        (("--set", f"learning.epochs={'[' * 1500}"), "learning.epochs=[["),
        (("--seed", "100000000000000"), "--seed"),
        (("--name", ""), "name"),
        (("--name", "a:b"), "a:b"),
        (("--name", "ж" * 50), "shorter"),
        (("--set", "network.depth=3"), "depth"),
        (("--network", "giant"), "giant"),
        (("--mode", "secret"), "secret"),
        (("--privatise", "letters:3"), "letters"),
        (("--policy", "nowhere"), "nowhere"),
        (("--source", "radio"), "radio"),
        (("--languages", "xx"), "xx"),
        (("--source", "snips:/nowhere"), "/nowhere"),
        (("--mode", "plain"), "plain"),
    ],
)
def test_options_that_make_no_sense(troth, home, requests, words, named):
    texts = () if words[0] in ("--source", "--languages") else requests()
    assert named in troth("run", "language", *texts, *words).complaint
    assert "no data set" in troth("budget").out


def test_users_cannot_be_protected_where_one_is_not_named(troth, home, requests):
    nameless = requests(lambda row, line: line | {"user": ""} if row % 2 else line)
    said = troth("run", "language", *nameless, "--unit", "user", "--delta", "1e-3").complaint
    assert "name no user" in said
    assert "no data set" in troth("budget").out


def test_budgets_are_shown_of_all_that_can_be_read(troth, home):
    from components.privacy import Budget, Steps
    from tasks.language.budget import BudgetLedger, ledger_at

    BudgetLedger(ledger_at(home, "my texts [1]").path, Budget(20, 1e-4)).reserve("a", (Steps(3.0, 0.1, 5),))
    ledger_at(home, "plain ones").note_plain("b")
    (home.budgets / "torn.jsonl").write_bytes(b'{"budget"')
    shown = troth("budget")
    assert shown.code == 0, shown.err
    rows = [line.split() for line in shown.out.splitlines()]
    assert ["my", "texts", "[1]", "utterance", "0.0001"] in [row[:5] for row in rows]
    spent, of, left = next(map(float, row[5:8]) for row in rows if row[:1] == ["my"])
    assert 0 < spent < of == 20
    assert left == pytest.approx(of - spent, abs=1e-3)
    assert ["plain", "ones", "none", "yet", "0", "1"] in rows
    (home.budgets / "damaged.jsonl").write_bytes(b"{}\n")
    shown = troth("budget")
    assert "my texts [1]" in shown.out
    assert "entry 1" in shown.complaint


@pytest.mark.parametrize(
    "words",
    [
        ("--data", "x.jsonl", "--source", "home_commands"),
        ("--labels", "x.json"),
        ("--utterances", "5", "--data", "x.jsonl"),
    ],
)
def test_options_that_do_not_go_together(troth, home, words):
    assert words[0] in troth("run", "language", *words).complaint


def test_a_run_is_told_from_beginning_to_end_and_answers_after(troth, home, requests, policy, tmp_path):
    rules = policy(beats_constant=None, not_worse=None, privacy={"lower_bound": {}})
    quick = ("network.hidden=6", "network.embedding=8", "network.words=300", "learning.epochs=2", "learning.batch=40")
    small = ("audits.references=1", "audits.pool=30", "audits.secrets=2", "audits.repeats=[1]", "audits.digits=2")
    few = ("audits.coins=20", "audits.steps=50")
    options = [word for setting in (*quick, *small, *few) for word in ("--set", setting)]
    private = ("--network", "bilstm", "--epsilon", "20", "--delta", "1e-3")
    texts = requests(lambda row, line: line | {"utterance": line["utterance"].replace(" it", MARKS[row % 5])})
    said = troth("run", "language", *texts, "--policy", rules, *private, *options)
    assert said.code == 0, said.err
    assert "PROMOTE" in said.out
    spent = troth("budget").out
    assert "requests" in spent
    assert "40" in spent
    assert "requests" in troth("status").out
    page = tmp_path / "page.html"
    assert troth("report", "--out", page).code == 0
    assert "epsilon" in page.read_text()
    asked = tmp_path / "asked.csv"
    asked.write_text('utterance\nplease play it now\n"on, please"\n')
    answers = troth("predict", "requests", "--data", asked)
    assert answers.code == 0, answers.err
    rows = answers.out.strip().splitlines()
    assert rows[0] == "row,intent,score,slots"
    assert len(rows) == 3
    asked.write_text("utterance\n!\n\n")
    assert "recheck" not in troth("predict", "requests", "--data", asked).out
    refused = troth("publish", "requests", "--user", "ada").complaint
    assert "ada" in refused or "language" in refused
