"""Stage `publish` in the flow: after a promotion, for the users of the policy, and for nobody else."""

import pytest

from components.encryption.user import make_user
from components.errors import InvalidInput
from tasks.proxy import enrolment_of, grant_for
from tasks.publication_store import users_of, versions_of
from tasks.tracking import find_stage


@pytest.fixture
def ada(home, tmp_path):
    """A user with keys."""
    user = make_user(tmp_path / "ada", "ada")
    grant_for(home, "ada")
    enrolment_of(home).issue(user.card, days=30)
    return user


def live(client) -> str:
    return str(client.get_registered_model("people-for-ada").aliases["live"])


def test_a_promotion_publishes_for_the_users_of_the_policy(run, table, policy, client, ada):
    wanted = policy(publish={"users": ["ada"], "bits": 2048})
    run(table("first", seed=1), policy=wanted)

    assert live(client) == "1"
    tags = client.get_model_version("people-for-ada", "1").tags
    assert (tags["troth.source"], tags["troth.epoch"]) == ("models:/people/1", "1")
    parent = client.search_runs(
        [client.get_experiment_by_name("troth-tabular").experiment_id], "tags.`troth.key` != ''"
    )
    stage = find_stage(client, parent[0].info.run_id, parent[0].info.experiment_id, "publish")
    assert stage.data.tags["troth.published.ada"] == "models:/people-for-ada/1"
    assert stage.data.metrics["ada.collusion"] == 1

    # Whoever asks the old champion is given the new one, though this policy names nobody.
    assert run(table("second", seed=2))["champion"] == "2"
    assert client.get_model_version("people-for-ada", live(client)).tags["troth.source"] == "models:/people/2"


def test_a_candidate_on_hold_is_not_published(run, table, policy, client, ada):
    run(table("first", seed=1))
    wanted = policy(publish={"users": ["ada"], "bits": 2048}, minimum_rows=100_000)
    assert run(table("second", seed=2), policy=wanted)["action"] == "hold"
    assert users_of(client) == []


def test_a_user_without_keys_is_refused_before_anything_is_trained(run, table, policy, client):
    with pytest.raises(InvalidInput, match="carol"):
        run(table(), policy=policy(publish={"users": ["carol"]}))
    assert client.search_registered_models() == []


@pytest.mark.parametrize(
    "section",
    [
        {"users": []},
        {"users": ["ada", "ada"]},
        {"users": ["ada"], "bits": 1024},
        {"users": ["ada"], "mode": "open"},
        {"users": ["ada"], "mode": "hidden", "cut_points": "untold"},
    ],
)
def test_a_policy_that_cannot_be_carried_out_is_refused(run, table, policy, section):
    with pytest.raises(InvalidInput, match="publish"):
        run(table(), policy=policy(publish=section))


def test_without_users_there_is_nothing_to_do(run, table, client):
    run(table())
    assert users_of(client) == []
    assert not (versions_of(client, "people-for-ada"))
