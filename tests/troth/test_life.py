"""What `make run` shows: a champion, an update that is better on average and refused, and nothing done twice."""

import pytest

from tasks.tracking import find_stage

pytestmark = pytest.mark.slow


def test_a_life_is_lived_once_and_refuses_an_update_that_is_better_on_average(troth, home, client):
    assert troth("run", "life").code == 0

    versions = client.search_model_versions("name = 'rand_hie_life'")
    verdicts = {str(version.version): version.tags["troth.verdict"] for version in versions}
    assert verdicts["1"] == "PROMOTE"
    refused = [version for version in versions if version.tags["troth.verdict"] == "REJECT"]
    assert any(new < old for new, old in (errors(client, version) for version in refused))

    told = troth("run", "life")
    assert told.code == 0
    assert all(f"v{version}" in told.out for version in verdicts)
    assert len(client.search_model_versions("name = 'rand_hie_life'")) == len(verdicts) == 4


def errors(client, version) -> tuple[float, float]:
    """Of a candidate and of the champion it was judged against, on the gate's rows."""
    registered = client.get_run(version.run_id)
    parent, experiment = registered.data.tags["mlflow.parentRunId"], registered.info.experiment_id
    measured = find_stage(client, parent, experiment, "gate").data.metrics
    return measured["error_new"], measured["error_old"]
