import getpass
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from components.errors import InvalidInput
from tasks.loader import champion_of
from tasks.promotion import decide_promotion, promote_by_hand, rollback
from tasks.promotion_ledger import HEAD_TAG, SEQUENCE_TAG, examine, ledger_of
from tasks.promotion_steps import desk_of
from tests.tasks.conftest import NAME, SCHEMA_DIGEST, own_version, verdict_of


def actions(place) -> list[str]:
    return [entry.action.value for entry in ledger_of(place.settings, NAME).entries()]


def assert_champion(place, version, previous=None):
    """Registry, ledger and loader agree, and the ledger is sound."""
    found = examine(place.client, place.settings, NAME)
    assert found.findings == ()
    assert (found.standing.champion, found.standing.previous, found.standing.pending) == (version, previous, None)
    assert (place.alias("champion"), place.alias("previous")) == (version, previous)
    champion = champion_of(place.client, place.settings, NAME)
    assert (champion and champion.version) == version


def test_the_first_champion_replaces_nobody(place):
    outcome = place.decide("1")
    assert (outcome.action, outcome.champion, outcome.replaced, outcome.changed) == ("promoted", "1", None, True)
    assert actions(place) == ["promote", "promoted"]
    assert_champion(place, "1")


def test_the_next_one_makes_it_previous(place):
    place.decide("1")
    outcome = place.decide("2", over="1")
    assert (outcome.champion, outcome.replaced) == ("2", "1")
    assert_champion(place, "2", previous="1")


def test_hold_makes_a_challenger_and_touches_no_champion(place):
    place.decide("1")
    assert place.decide("2", "HOLD", over="1").action == "hold"
    assert place.alias("challenger") == "2"
    assert_champion(place, "1")


def test_reject_leaves_tags_with_the_reasons_and_no_alias(place):
    place.decide("1")
    place.decide("2", "HOLD", over="1")
    place.decide("2", "REJECT", over="1")
    tags = place.client.get_model_version(NAME, "2").tags
    assert tags["troth.verdict"] == "REJECT"
    assert "flips are fail" in tags["troth.reasons"]
    assert place.alias("challenger") is None
    assert_champion(place, "1")


def test_an_entry_holds_the_evidence(place):
    place.decide("1")
    entry = ledger_of(place.settings, NAME).entries()[-1]
    run = place.client.get_model_version(NAME, "1").run_id
    assert (entry.model, entry.version, entry.verdict, entry.run, entry.who) == (NAME, "1", "PROMOTE", run, "ann")
    assert (entry.model_digest, entry.data_digest, entry.policy_digest) == (place.digests["1"], "da" * 32, "ab" * 32)
    assert entry.reasons == ("the only check passed",)


@pytest.mark.parametrize("decision", ["PROMOTE", "HOLD", "REJECT"])
def test_the_same_decision_again_changes_nothing(place, decision):
    place.decide("1")
    first = place.decide("2", decision, over="1")
    before = actions(place)
    again = place.decide("2", decision, over="1")
    assert again == replace(first, changed=False)
    assert actions(place) == before


def test_a_retried_promotion_does_not_undo_a_rollback(place):
    place.decide("1")
    place.decide("2", over="1")
    rollback(place.client, place.settings, name=NAME, why="complaints")
    outcome = place.decide("2", over="1")
    assert not outcome.changed
    assert_champion(place, "1")


def test_a_candidate_judged_against_another_champion_is_refused_and_recorded(place):
    place.decide("1")
    place.decide("2", over="1")
    outcome = place.decide("3", over="1")
    assert outcome.action == "refuse"
    assert "version 1" in outcome.why
    assert "version 2" in outcome.why
    assert_champion(place, "2", previous="1")
    place.decide("3", over="1")
    assert actions(place).count("refuse") == 1
    rollback(place.client, place.settings, name=NAME, why="complaints")
    assert place.decide("3", over="1").action == "promoted"


def test_a_version_that_holds_another_model_than_the_one_judged_is_not_decided_on(place):
    with pytest.raises(InvalidInput, match="version 1"):
        decide_promotion(
            place.client,
            place.settings,
            name=NAME,
            version="1",
            verdict=verdict_of("PROMOTE"),
            expected_champion=None,
            model_digest=place.digests["2"],
            schema_digest=SCHEMA_DIGEST,
            data_digest="da" * 32,
            policy="strict",
            policy_digest="ab" * 32,
        )
    assert actions(place) == []


def test_a_version_whose_schema_was_changed_after_it_was_judged_comes_to_no_power(place):
    version, folder = own_version(place, 21)
    digest = place.client.get_model_version(NAME, version).tags["troth.model_digest"]
    place = type(place)(place.settings, {**place.digests, version: digest})
    sound = (folder / "MLmodel").read_text()
    changed = yaml.safe_load(sound)
    schema = json.loads(changed["metadata"]["troth.schema"])
    schema["features"]["health"]["categories"].reverse()
    changed["metadata"]["troth.schema"] = json.dumps(schema)
    (folder / "MLmodel").write_text(yaml.safe_dump(changed))

    with pytest.raises(InvalidInput, match=f"version {version} .* schema"):
        place.decide(version)
    assert actions(place) == []

    (folder / "MLmodel").write_text(sound)
    place.decide(version, "HOLD")
    (folder / "MLmodel").write_text(yaml.safe_dump(changed))
    with pytest.raises(InvalidInput, match=f"version {version} .* schema"):
        promote_by_hand(place.client, place.settings, name=NAME, version=version, why="it looks fine")
    assert actions(place) == ["hold"]

    (folder / "MLmodel").write_text(sound)
    place.decide(version)
    place.decide("1", over=version)
    (folder / "MLmodel").write_text(yaml.safe_dump(changed))
    with pytest.raises(InvalidInput, match=f"version {version} .* schema"):
        rollback(place.client, place.settings, name=NAME, why="complaints")
    assert_champion(place, "1", previous=version)


@pytest.mark.parametrize("version", ["9", "latest"])
def test_an_unknown_version_is_named(place, version):
    place.digests[version] = ""
    try:
        with pytest.raises(InvalidInput, match=f"version {version}"):
            place.decide(version)
    finally:
        del place.digests[version]


def test_an_alias_moved_by_hand_stops_promotion_until_a_person_settles_it(place):
    place.decide("1")
    place.client.set_registered_model_alias(NAME, "champion", "3")
    with pytest.raises(InvalidInput, match="version 3"):
        place.decide("2", over="1")
    promote_by_hand(place.client, place.settings, name=NAME, version="1", why="the alias was moved by mistake")
    assert_champion(place, "1")
    assert place.decide("2", over="1").action == "promoted"


def test_a_damaged_ledger_stops_everything(place):
    place.decide("1")
    path = ledger_of(place.settings, NAME).path
    path.write_bytes(path.read_bytes().replace(b'"who":"ann"', b'"who":"bob"'))
    with pytest.raises(InvalidInput, match="entry 1"):
        place.decide("2", over="1")
    with pytest.raises(InvalidInput, match="entry 1"):
        rollback(place.client, place.settings, name=NAME, why="x")
    assert place.alias("champion") == "1"


@pytest.mark.parametrize("decision", ["HOLD", "REJECT"])
def test_an_override_is_its_own_action_and_keeps_the_verdict(place, decision):
    place.decide("1")
    place.decide("2", decision, over="1")
    outcome = promote_by_hand(place.client, place.settings, name=NAME, version="2", why="the flips are corrections")
    assert outcome.action == "promoted"
    *_, override, promoted = ledger_of(place.settings, NAME).entries()
    assert (override.action, override.verdict, override.why) == ("override", decision, "the flips are corrections")
    assert override.who == getpass.getuser()
    assert promoted.replaces == "1"
    assert place.alias("challenger") is None
    assert_champion(place, "2", previous="1")
    assert not promote_by_hand(place.client, place.settings, name=NAME, version="2", why="again").changed
    assert not place.decide("2", decision, over="1").changed


@pytest.mark.parametrize("why", ["", "  \n"])
def test_nobody_overrides_or_rolls_back_without_a_reason(place, why):
    place.decide("1")
    place.decide("2", "HOLD", over="1")
    with pytest.raises(InvalidInput, match="reason"):
        promote_by_hand(place.client, place.settings, name=NAME, version="2", why=why)
    with pytest.raises(InvalidInput, match="reason"):
        rollback(place.client, place.settings, name=NAME, why=why)


def test_what_no_gate_has_judged_is_not_promoted_by_hand(place):
    with pytest.raises(InvalidInput, match="version 2"):
        promote_by_hand(place.client, place.settings, name=NAME, version="2", why="trust me")


def test_rollback_goes_back_one_champion_at_a_time(place):
    for version, over in (("1", None), ("2", "1"), ("3", "2")):
        place.decide(version, over=over)
    outcome = rollback(place.client, place.settings, name=NAME, why="complaints", leaving="3")
    assert (outcome.action, outcome.champion, outcome.replaced) == ("rolled_back", "2", "3")
    assert_champion(place, "2", previous="1")
    assert not rollback(place.client, place.settings, name=NAME, why="complaints", leaving="3").changed
    rollback(place.client, place.settings, name=NAME, why="more complaints")
    assert_champion(place, "1")
    with pytest.raises(InvalidInput, match="version 1"):
        rollback(place.client, place.settings, name=NAME, why="still more")
    promote_by_hand(place.client, place.settings, name=NAME, version="3", why="it was right after all")
    assert_champion(place, "3", previous="1")


def test_there_is_nothing_to_roll_back_to_without_a_champion(place):
    with pytest.raises(InvalidInput, match=NAME):
        rollback(place.client, place.settings, name=NAME, why="x")


def test_rollback_to_a_deleted_version_is_refused(place):
    place.decide("1")
    place.decide("2", over="1")
    place.client.delete_model_version(NAME, "1")
    with pytest.raises(InvalidInput, match="version 1"):
        rollback(place.client, place.settings, name=NAME, why="x")
    assert place.alias("champion") == "2"


def test_a_champion_that_was_deleted_can_be_replaced_by_hand(place):
    place.decide("1")
    place.decide("2", "HOLD", over="1")
    place.client.delete_model_version(NAME, "1")
    promote_by_hand(place.client, place.settings, name=NAME, version="2", why="version 1 is gone")
    assert (place.alias("champion"), place.alias("previous")) == ("2", None)
    assert champion_of(place.client, place.settings, NAME).version == "2"


def test_a_rollback_settles_an_alias_moved_by_hand(place):
    place.decide("1")
    place.decide("2", over="1")
    place.client.set_registered_model_alias(NAME, "champion", "4")
    rollback(place.client, place.settings, name=NAME, why="somebody moved it, and 2 was bad too")
    assert_champion(place, "1")


def test_starting_over_after_a_stolen_key(place):
    place.decide("1")
    keys = place.settings.registry.ledger
    for path in (ledger_of(place.settings, NAME).path, Path(keys.private_key), Path(keys.public_key)):
        path.rename(path.with_suffix(".archived"))
    with pytest.raises(InvalidInput, match="registry"):
        place.decide("2", over="1")
    for tag in (HEAD_TAG, SEQUENCE_TAG):
        place.client.delete_registered_model_tag(NAME, tag)
    place.client.delete_registered_model_alias(NAME, "champion")
    place.decide("2")
    assert_champion(place, "2")


def test_opening_a_sound_ledger_changes_nothing(place):
    place.decide("1")
    with desk_of(place.client, place.settings, NAME) as desk:
        assert desk.finished is None
    assert actions(place) == ["promote", "promoted"]


def test_a_second_machine_promotes_with_a_key_of_its_own_once_it_is_trusted(place, new_place):
    place.decide("1")
    there = new_place()
    there.decide("1")
    keys, others = place.settings.registry.ledger, there.settings.registry.ledger
    trusted = Path(keys.public_key).read_bytes() + Path(others.public_key).read_bytes()
    Path(keys.public_key).write_bytes(trusted)
    shutil.copy(others.private_key, keys.private_key)
    place.decide("2", over="1")
    assert len({entry.key for entry in ledger_of(place.settings, NAME).entries()}) == 2
    assert_champion(place, "2", previous="1")
