"""A member whose run is called off at the moment its worker takes it up, on a real Prefect server."""

import pytest
from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow_sync
from prefect.states import Cancelled, Completed, Pending, Running, Scheduled

import flows.owner
from flows.owner import take_part
from tasks.own_part import Request
from tasks.workers import _call_off

pytestmark = pytest.mark.slow


@pytest.fixture
def prefect():
    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def request_of(monkeypatch):
    """A request, and what a member was asked, though it answers nothing."""
    asked = []

    def answer(request, **_):
        asked.append(request)
        return "Failed", "it was asked"

    monkeypatch.setattr(flows.owner, "answer", answer)
    return Request(what="announce"), asked


@pytest.mark.parametrize(
    ("state", "ends"),
    [(Scheduled(), "Cancelled"), (Pending(), "Cancelling"), (Running(), "Cancelling"), (Completed(), "Completed")],
    ids=["waits", "taken up", "goes on", "done"],
)
def test_what_is_called_off_is_not_taken_up_later(prefect, state, ends):
    run = prefect.create_flow_run(take_part, state=Scheduled())
    prefect.set_flow_run_state(run.id, state, force=True)
    _call_off(prefect, run.id)
    assert prefect.read_flow_run(run.id).state.name == ends
    prefect.set_flow_run_state(run.id, Pending())
    assert ends == "Completed" or prefect.read_flow_run(run.id).state.name == ends


@pytest.mark.parametrize("off", [Cancelled(), None], ids=["called off", "wanted"])
def test_what_was_called_off_while_its_process_was_started_asks_nothing(prefect, request_of, off):
    request, asked = request_of
    run = prefect.create_flow_run(take_part, parameters={"request": request}, state=Pending())
    if off:
        prefect.set_flow_run_state(run.id, off, force=True)
    ended = run_flow_sync(take_part, prefect.read_flow_run(run.id), {"request": request}, return_type="state")
    assert (ended.is_cancelled(), len(asked)) == ((True, 0) if off else (False, 1))
