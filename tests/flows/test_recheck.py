"""The champion is asked again on fresh rows: it keeps its word or not, and is never moved either way."""

import pytest

from flows.recheck import BrokenPromise, recheck
from tasks.inputs import RandHie
from tasks.loader import load
from tasks.promotion_ledger import ledger_of
from tasks.tracking import find_stage


def test_without_a_champion_the_run_completes_and_leaves_nothing_behind(table, policy, client):
    state = recheck(table("fresh", seed=7), policy=policy(), return_state=True)
    assert state.is_completed()
    assert "'people' has no champion" in state.message
    assert state.result() is None
    assert [one.name for one in client.search_experiments() if one.name.startswith("troth")] == []


def test_a_champion_keeps_its_word_on_fresh_rows_until_it_does_not(run, table, policy, home, client):
    fresh = table("fresh", seed=7)
    run(table("first", seed=1))
    entries = ledger_of(home, "people").entries()
    kept = recheck(fresh, policy=policy())
    assert (kept["version"], kept["decision"]) == ("1", "PROMOTE")
    assert kept["rows"] > 0

    noise = table("noise", seed=8, signal=0.0)
    with pytest.raises(BrokenPromise, match="version 1") as broken:
        recheck(noise, policy=policy())
    assert (broken.value.outcome["version"], broken.value.outcome["decision"]) == ("1", "REJECT")

    experiment = client.get_experiment_by_name("troth-recheck").experiment_id
    runs = client.search_runs([experiment], "tags.`troth.pipeline` = 'recheck'", order_by=["start_time ASC"])
    assert [one.info.status for one in runs] == ["FINISHED", "FINISHED"]
    stages = [find_stage(client, one.info.run_id, experiment, "recheck") for one in runs]
    assert [stage.data.tags.get("troth.verdict") for stage in stages] == ["PROMOTE", "REJECT"]
    assert load("models:/people@champion", home).version == "1"
    assert ledger_of(home, "people").entries() == entries


def test_a_night_with_few_rows_is_held_and_no_failure(run, table, policy):
    run(table("first", seed=1))
    few = recheck(table("few", seed=7, count=12), policy=policy())
    assert (few["decision"], few["rows"] < 12) == ("HOLD", True)


@pytest.mark.slow
def test_a_champion_that_sites_trained_is_asked_without_their_column(run, policy):
    run(RandHie(years=(1, 2), site=False), model="by_site")
    assert recheck(RandHie(years=(3,)), model="by_site", policy=policy())["version"] == "1"
