"""Two runs at once, as real processes: the same one is refused, and of two rivals for one place one gets it."""

import time

import pytest

from components.errors import InvalidInput
from tasks.promotion_ledger import examine

pytestmark = pytest.mark.slow
GATE = "tasks.gate.run_gate"


def test_the_same_run_twice_at_once_is_refused_and_the_first_goes_on(run, apart, table, client, home):
    data, barrier = table(), apart.barrier(2)
    process = apart(data, at=GATE, barrier=barrier)
    _wait_for_a_run(client)
    with pytest.raises(InvalidInput, match=r"tabular people pooled .* in progress"):
        run(data)
    barrier.wait(timeout=180)

    assert apart.outcomes.get(timeout=180)["champion"] == "1"
    process.join()
    assert len(client.search_model_versions("name = 'people'")) == 1
    assert examine(client, home, "people").findings == ()


def test_of_two_rivals_for_one_champion_one_is_promoted_and_one_is_stale(run, apart, table, client, home):
    run(table("first", seed=1))
    barrier = apart.barrier(2)
    rivals = [table("second", seed=2), table("third", seed=3)]
    processes = [apart(rival, at=GATE, barrier=barrier) for rival in rivals]
    results = {result["action"]: result for result in (apart.outcomes.get(timeout=180) for _ in processes)}
    for process in processes:
        process.join()

    assert set(results) == {"promoted", "refuse"}
    winner, loser = results["promoted"], results["refuse"]
    assert "stale" in loser["why"]
    found = examine(client, home, "people")
    assert (found.findings, found.standing.pending) == ((), None)
    assert found.aliases == {"champion": winner["version"], "previous": "1"}
    assert found.standing.champion == winner["version"]
    assert [entry.version for entry in found.entries if entry.action == "refuse"] == [loser["version"]]


def test_first_runs_at_once_on_a_bare_home_leave_one_champion(apart, table, client, home):
    """Nothing exists yet: no experiment, no registered model, no key, no ledger."""
    barrier = apart.barrier(2)
    processes = [apart(table(name, seed=seed), at=GATE, barrier=barrier) for name, seed in (("a", 1), ("b", 2))]
    actions = sorted(apart.outcomes.get(timeout=180)["action"] for _ in processes)
    for process in processes:
        process.join()

    assert actions == ["promoted", "refuse"]
    assert examine(client, home, "people").findings == ()


def _wait_for_a_run(client) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        experiment = client.get_experiment_by_name("troth-tabular")
        if experiment and client.search_runs([experiment.experiment_id], "tags.`troth.pipeline` = 'tabular'"):
            return
        time.sleep(0.2)
    raise AssertionError("the run never began")
