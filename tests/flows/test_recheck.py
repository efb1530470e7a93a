"""The champion is asked again on fresh rows: it keeps its word or not, and is never moved either way."""

import pytest

from components.errors import InvalidInput
from flows.recheck import BrokenPromise, recheck
from tasks.loader import load
from tasks.promotion_ledger import ledger_of
from tasks.tracking import find_stage


def test_a_champion_keeps_its_word_on_fresh_rows_until_it_does_not(run, table, policy, home, client):
    fresh = table("fresh", seed=7)
    with pytest.raises(InvalidInput, match="people"):
        recheck(fresh, policy=policy())

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
    assert [one.info.status for one in runs] == ["FAILED", "FINISHED", "FINISHED"]
    stages = [find_stage(client, one.info.run_id, experiment, "recheck") for one in runs]
    assert [stage.data.tags.get("troth.verdict") for stage in stages] == [None, "PROMOTE", "REJECT"]
    assert load("models:/people@champion", home).version == "1"
    assert ledger_of(home, "people").entries() == entries
