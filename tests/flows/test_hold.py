"""A HOLD asks a person through Prefect; anything but a clear, signed yes leaves the champion where it is."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.sorting import FlowRunSort

from tasks.promotion_ledger import examine

pytestmark = pytest.mark.slow


@pytest.fixture
def held(run, table, policy):
    """A function that puts a new candidate on hold, answers the question, and returns outcome, final state and form."""
    run(table("first", seed=1))
    data = table("second", seed=2)

    def hold(answer: dict | None, *, deal: int = 0, hours: float = 1.0):
        options = {"policy": policy(minimum_rows=100_000), "on_hold": "ask", "hold_hours": hours, "seed": deal}
        with ThreadPoolExecutor(1) as thread, get_client(sync_client=True) as prefect:
            flow = thread.submit(copy_context().run, lambda: run(data, **options))
            asked = _wait_for_pause(prefect, flow)
            keys = asked.state.state_details.run_input_keyset
            form = [prefect.read_flow_run_input(asked.id, keys[part]) for part in ("schema", "description")]
            if answer is not None:
                prefect.resume_flow_run(asked.id, run_input=answer)
            outcome = flow.result(timeout=120)
            return outcome, prefect.read_flow_run(asked.id).state, "".join(form)

    return hold


def test_an_approval_with_name_and_reason_moves_the_champion(held, client, home):
    outcome, state, form = held({"approve": True, "name": "Ann", "reason": "too few rows, the ward agrees"})

    assert state.is_completed()
    assert (outcome["decision"], outcome["action"], outcome["champion"]) == ("HOLD", "promoted", "2")
    assert all(word in form for word in ("approve", "name", "reason", "100000"))
    found = examine(client, home, "people")
    assert found.findings == ()
    override = next(entry for entry in found.entries if entry.action == "override")
    assert (override.who, override.why, override.verdict) == ("Ann", "too few rows, the ward agrees", "HOLD")
    assert found.aliases == {"champion": "2", "previous": "1"}


def test_anything_else_leaves_the_champion_and_fails_nothing(held, client, home):
    answers = {
        "declined": {"approve": False, "name": "Ann", "reason": "no"},
        "no reason": {"approve": True, "name": "Ann", "reason": " "},
        "no name": {"approve": True, "reason": "nobody in particular"},
        "resumed without an answer": {},
        "nobody came": None,
    }
    for deal, (case, answer) in enumerate(answers.items()):
        outcome, state, _ = held(answer, deal=deal, hours=1.0 if answer is not None else 3 / 3600)
        assert state.is_completed(), case
        assert (outcome["action"], outcome["champion"]) == ("hold", "1"), case
        found = examine(client, home, "people")
        assert found.findings == (), case
        assert found.aliases == {"champion": "1", "challenger": outcome["version"]}, case
    assert [str(entry.action) for entry in found.entries] == ["promote", "promoted"] + ["hold"] * len(answers)


def _wait_for_pause(prefect, flow):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        newest = prefect.read_flow_runs(sort=FlowRunSort.START_TIME_DESC, limit=1)[0]
        if newest.state and newest.state.is_paused() and _has_form(prefect, newest):
            return newest
        if flow.done():
            raise AssertionError(f"the flow never asked: {flow.result()}")
        time.sleep(0.2)
    raise AssertionError("the flow never asked")


def _has_form(prefect, flow_run) -> bool:
    keys = [one.key for one in prefect.filter_flow_run_input(flow_run.id, "", limit=10, exclude_keys=set())]
    return flow_run.state.state_details.run_input_keyset["description"] in keys
