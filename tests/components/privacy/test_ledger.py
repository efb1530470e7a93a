"""The budget ledger: what is left, what is refused, what a crash and another process do to it."""

import subprocess
import sys
from pathlib import Path

import pytest

from components.errors import InvalidInput
from components.privacy.ledger import GENESIS, Budget, BudgetLedger
from components.privacy.renyi import renyi_epsilon
from components.privacy.steps import Steps

STEPS = (Steps(2.0, 0.02, 100),)
ROOT = Path(__file__).parents[3]


@pytest.fixture
def ledger(tmp_path):
    return BudgetLedger(tmp_path / "budget" / "snips.jsonl", Budget(epsilon=1.2, delta=1e-5))


def test_trainings_add_up_until_one_would_overspend(ledger):
    assert ledger.spent == 0
    alone = renyi_epsilon(STEPS, 1e-5)
    runs = 0
    while renyi_epsilon((Steps(2.0, 0.02, 100 * (runs + 1)),), 1e-5) <= 1.2:
        ledger.reserve(f"run {runs}", STEPS)
        runs += 1
        assert ledger.spent == pytest.approx(renyi_epsilon((Steps(2.0, 0.02, 100 * runs),), 1e-5))
    with pytest.raises(InvalidInput, match=rf"'run {runs}' would bring .* of 1\.2 .* \(now {ledger.spent:.3f}\)"):
        ledger.reserve(f"run {runs}", STEPS)
    assert 2 <= runs < 50
    assert alone < ledger.spent <= 1.2
    assert len(ledger.entries()) == runs


def test_a_run_pays_again_when_it_trains_again(ledger):
    ledger.reserve("a", STEPS)
    with pytest.raises(InvalidInput, match="'a'"):
        ledger.reserve("a", STEPS)
    ledger.reserve("b", STEPS)
    assert ledger.spent == pytest.approx(renyi_epsilon((Steps(2.0, 0.02, 200),), 1e-5))


def test_a_line_torn_off_by_a_crash_was_never_believed(ledger):
    ledger.reserve("a", STEPS)
    spent, head = ledger.spent, ledger.head
    whole = ledger.path.read_bytes()
    ledger.path.write_bytes(whole + whole[:40])
    assert (ledger.spent, ledger.head) == (spent, head)
    ledger.reserve("b", STEPS)
    assert [entry.run for entry in ledger.entries()] == ["a", "b"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: [lines[0].replace(b'"count":100', b'"count":1'), lines[1]],
        lambda lines: [lines[1]],
        lambda lines: [lines[1], lines[0]],
        lambda lines: [lines[0], b"", lines[1]],
        lambda lines: [lines[0].replace(b":", b": "), lines[1]],
        lambda lines: [lines[0], lines[0]],
    ],
)
def test_damage_is_seen_and_stops_every_use(ledger, damage):
    ledger.reserve("a", STEPS)
    ledger.reserve("b", STEPS)
    ledger.path.write_bytes(b"\n".join([*damage(ledger.path.read_bytes().split(b"\n")[:-1]), b""]))
    for use in (ledger.entries, lambda: ledger.spent, lambda: ledger.reserve("c", STEPS)):
        with pytest.raises(InvalidInput, match=r"entry \d of budget ledger .* is damaged"):
            use()


def test_the_last_lines_cut_off_show_in_the_head_alone(ledger):
    assert ledger.head == GENESIS
    ledger.reserve("a", STEPS)
    head = ledger.head
    ledger.reserve("b", STEPS)
    remembered = ledger.head
    ledger.path.write_bytes(ledger.path.read_bytes().split(b"\n")[0] + b"\n")
    assert ledger.head == head != remembered


def test_a_data_set_keeps_the_budget_it_was_given(ledger):
    ledger.reserve("a", STEPS)
    with pytest.raises(InvalidInput, match="begun with"):
        _ = BudgetLedger(ledger.path, Budget(epsilon=100, delta=1e-5)).spent


@pytest.mark.parametrize("changes", [{"epsilon": 0}, {"delta": 0}, {"delta": 2}])
def test_a_budget_that_makes_no_sense_is_refused(changes):
    with pytest.raises(InvalidInput):
        Budget(**{"epsilon": 1.0, "delta": 1e-5} | changes)


def test_processes_at_once_do_not_overspend_together(ledger):
    program = (
        "import sys; from pathlib import Path\n"
        "from components.errors import InvalidInput\n"
        "from components.privacy.ledger import Budget, BudgetLedger\n"
        "from components.privacy.steps import Steps\n"
        "ledger = BudgetLedger(Path(sys.argv[1]), Budget(epsilon=1.2, delta=1e-5))\n"
        "for number in range(40):\n"
        "    try:\n"
        "        ledger.reserve(f'{sys.argv[2]} {number}', (Steps(2.0, 0.02, 100),))\n"
        "    except InvalidInput:\n"
        "        break\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", program, str(ledger.path), name], cwd=ROOT) for name in "ab"]
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    count = len(ledger.entries())
    assert ledger.spent <= 1.2
    assert renyi_epsilon((Steps(2.0, 0.02, 100 * (count + 1)),), 1e-5) > 1.2


def test_plain_trainings_are_written_down_and_bounded_by_nothing(ledger):
    ledger.note_plain("first")
    assert BudgetLedger.begun(ledger.path).budget is None
    assert (BudgetLedger.begun(ledger.path).spent, BudgetLedger.begun(ledger.path).plain) == (0.0, 1)
    ledger.reserve("a", STEPS)
    ledger.note_plain("second")
    begun = BudgetLedger.begun(ledger.path)
    assert begun == ledger
    assert (begun.spent, begun.plain) == (pytest.approx(renyi_epsilon(STEPS, 1e-5)), 2)
    for again in (lambda: ledger.note_plain("a"), lambda: ledger.reserve("second", STEPS)):
        with pytest.raises(InvalidInput, match="stands in budget ledger"):
            again()


@pytest.mark.parametrize("content", [b"", b'{"budget":', b"{oops}\n"])
def test_a_ledger_that_cannot_be_read_says_so_when_it_is_used(ledger, content):
    ledger.path.parent.mkdir()
    ledger.path.write_bytes(content)
    begun = BudgetLedger.begun(ledger.path)
    assert begun.budget is None
    if content.endswith(b"\n"):
        with pytest.raises(InvalidInput, match="entry 1"):
            begun.entries()
    else:
        assert begun.entries() == ()


def test_a_budget_cannot_be_raised_after_it_was_given(ledger):
    ledger.reserve("a", STEPS)
    with pytest.raises(InvalidInput, match="begun with"):
        BudgetLedger(ledger.path, Budget(epsilon=1000, delta=1e-5)).reserve("b", STEPS)
    assert len(ledger.entries()) == 1
