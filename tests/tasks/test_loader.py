import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from components.errors import InvalidInput
from components.ledger import signing_key
from components.ledger.entry import seal, statement_of
from tasks.loader import RefusedModel, champion_of, load
from tasks.promotion_ledger import HEAD_TAG, SEQUENCE_TAG, ledger_of
from tests.tasks.conftest import NAME, own_version, rows, table_of, train

CHAMPION = f"models:/{NAME}@champion"


def assert_refused(place, *mentions: str) -> None:
    with pytest.raises(RefusedModel) as error:
        load(CHAMPION, place.settings)
    assert all(mention in str(error.value) for mention in mentions), error.value


def promoted_own_version(place) -> Path:
    version, folder = own_version(place, 21)
    digests = {**place.digests, version: place.client.get_model_version(NAME, version).tags["troth.model_digest"]}
    type(place)(place.settings, digests).decide(version)
    return folder


def test_raw_columns_give_the_probabilities_of_training(place):
    place.decide("1")
    model = load(CHAMPION, place.settings)
    frame = rows(31)
    expected = train(0).inplace_predict(table_of(frame).features)
    scores = model.predict(frame[["health", "plan", "age"]].sample(frac=1, random_state=1).sort_index())
    np.testing.assert_array_equal(scores, expected)
    assert model.version == "1"
    assert ((scores > 0) & (scores < 1)).all()


def test_missing_values_and_unknown_categories_are_missing_to_the_model(place):
    place.decide("1")
    model = load(CHAMPION, place.settings)
    frame = rows(31, 2).assign(plan=["none such", None], age=[None, np.nan])
    assert np.isfinite(model.predict(frame)).all()


def test_a_column_of_categories_spelt_otherwise_is_refused(place):
    place.decide("1")
    frame = rows(31, 40)
    with pytest.raises(InvalidInput, match="'plan': 40 of 40"):
        load(CHAMPION, place.settings).predict(frame.assign(plan=frame["plan"].str.upper()))


def test_missing_columns_are_named(place):
    place.decide("1")
    with pytest.raises(InvalidInput, match=r"'plan', 'health'"):
        load(CHAMPION, place.settings).predict(rows(1)[["age"]])


def test_a_column_that_is_not_numbers_is_named(place):
    place.decide("1")
    with pytest.raises(InvalidInput, match="'age'.*n/a"):
        load(CHAMPION, place.settings).predict(rows(1, 3).assign(age=["4", "n/a", "5"]))


@pytest.mark.parametrize("uri", ["care", "models:/care", "models:/care@", "runs:/care/1", "models:/care/latest"])
def test_an_address_of_another_form_is_refused(place, uri):
    with pytest.raises(InvalidInput, match="models:/NAME@champion"):
        load(uri, place.settings)


def test_without_a_champion_there_is_nothing_to_load(place):
    assert champion_of(place.client, place.settings, NAME) is None
    assert champion_of(place.client, place.settings, "unheard of") is None
    with pytest.raises(InvalidInput, match="no champion"):
        load(CHAMPION, place.settings)


def test_other_references_are_loaded_without_the_ledger(place):
    place.decide("1")
    place.decide("2", over="1")
    place.decide("3", "HOLD", over="2")
    uris = [f"models:/{NAME}@previous", f"models:/{NAME}@challenger", f"models:/{NAME}/4"]
    assert [load(uri, place.settings).version for uri in uris] == ["1", "3", "4"]
    for uri in (f"models:/{NAME}@nobody", f"models:/{NAME}/99"):
        with pytest.raises(InvalidInput, match=NAME):
            load(uri, place.settings)


@pytest.mark.parametrize("to", ["2", "3"])
def test_an_alias_moved_by_hand_is_refused(place, to):
    place.decide("1")
    place.decide("2", "HOLD", over="1")
    place.client.set_registered_model_alias(NAME, "champion", to)
    assert_refused(place, f"version {to}", "version 1")
    place.client.delete_registered_model_alias(NAME, "champion")
    assert_refused(place, "version 1")


def test_an_alias_without_any_ledger_is_refused(place):
    place.client.set_registered_model_alias(NAME, "champion", "1")
    assert_refused(place, "version 1")


def test_a_swapped_artifact_is_refused(place):
    folder = promoted_own_version(place)
    assert load(CHAMPION, place.settings)
    train(22).save_model(folder / "model.json")
    assert_refused(place, "model", "entry 2")
    place.client.set_model_version_tag(NAME, "5", "troth.model_digest", "0" * 64)
    assert_refused(place, "entry 2")


def test_a_swapped_schema_is_refused(place):
    path = promoted_own_version(place) / "MLmodel"
    document = yaml.safe_load(path.read_text())
    schema = json.loads(document["metadata"]["troth.schema"])
    schema["features"]["health"]["categories"].reverse()
    document["metadata"]["troth.schema"] = json.dumps(schema)
    path.write_text(yaml.safe_dump(document))
    assert_refused(place, "schema", "entry 2")


def test_a_version_that_fails_its_registered_digest_is_refused(place):
    version, folder = own_version(place, 21)
    train(22).save_model(folder / "model.json")
    with pytest.raises(RefusedModel, match="its registration"):
        load(f"models:/{NAME}/{version}", place.settings)


def test_code_named_by_the_artifact_does_not_run(place, tmp_path, monkeypatch):
    folder = promoted_own_version(place)
    document = yaml.safe_load((folder / "MLmodel").read_text())
    document["flavors"]["xgboost"] |= {"model_class": "intruder.Model", "code": "code"}
    document["flavors"]["python_function"] |= {"loader_module": "intruder", "code": "code"}
    (folder / "MLmodel").write_text(yaml.safe_dump(document))
    (folder / "code").mkdir()
    (folder / "code" / "intruder.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    assert load(CHAMPION, place.settings).predict(rows(1)).shape == (200,)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("damage", [b"", b"not a model", b"\xff" * 64, b"[]", b"{", b"[" * 100_000])
def test_an_artifact_that_is_no_model_is_named(place, damage):
    (promoted_own_version(place) / "model.json").write_bytes(damage)
    with pytest.raises(InvalidInput, match="version 5"):
        load(CHAMPION, place.settings)


@pytest.mark.parametrize("damage", [b"{}", b'{"learner": {}}', b'{"learner": {"gradient_booster": 1}, "version": [9]}'])
def test_xgboost_never_sees_what_nobody_vouched_for(place, damage):
    (promoted_own_version(place) / "model.json").write_bytes(damage)
    assert_refused(place, "entry 2")


def test_a_second_spelling_of_a_key_cannot_smuggle_in_another_model(place):
    path = promoted_own_version(place) / "model.json"
    learner = json.loads(train(22).save_raw("json"))["learner"]
    path.write_text('{"learner":' + json.dumps(learner) + "," + path.read_text()[1:])
    scores = load(CHAMPION, place.settings).predict(rows(1))
    np.testing.assert_array_equal(scores, train(21).inplace_predict(table_of(rows(1)).features))


def test_an_edited_ledger_is_refused(place):
    place.decide("1")
    path = ledger_of(place.settings, NAME).path
    path.write_bytes(path.read_bytes().replace(place.digests["1"].encode(), place.digests["2"].encode()))
    assert_refused(place, "entry 1")


def test_entries_cut_off_the_end_are_missed(place):
    place.decide("1")
    place.decide("2", over="1")
    path = ledger_of(place.settings, NAME).path
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    place.client.set_registered_model_alias(NAME, "champion", "1")
    assert_refused(place, "entry 2", "entry 4")


@pytest.mark.parametrize("tag", [HEAD_TAG, SEQUENCE_TAG])
def test_a_changed_mirror_is_refused(place, tag):
    place.decide("1")
    place.client.set_registered_model_tag(NAME, tag, "7")
    assert_refused(place, "registry")
    place.client.delete_registered_model_tag(NAME, tag)
    assert_refused(place, "registry")


def test_an_entry_signed_with_another_key_is_refused(place, tmp_path):
    place.decide("1")
    ledger = ledger_of(place.settings, NAME)
    intruder = signing_key(tmp_path / "key", tmp_path / "pub")
    first, last = ledger.entries()
    forged = seal(statement_of(last, last.action), model=NAME, time=last.time, previous=first, key=intruder)
    ledger.path.write_bytes(first.line + b"\n" + forged.line + b"\n")
    place.client.set_registered_model_tag(NAME, HEAD_TAG, forged.hash)
    assert_refused(place, "key")


def test_another_public_key_is_refused(place, tmp_path):
    place.decide("1")
    signing_key(tmp_path / "key", tmp_path / "pub")
    shutil.copy(tmp_path / "pub", place.settings.registry.ledger.public_key)
    assert_refused(place, "key")


def test_only_the_public_key_is_needed_to_load(place):
    place.decide("1")
    Path(place.settings.registry.ledger.private_key).unlink()
    assert load(CHAMPION, place.settings).version == "1"
    Path(place.settings.registry.ledger.public_key).unlink()
    assert_refused(place, "ledger.pub")


def test_the_ledger_of_another_model_is_refused(place):
    place.decide("1")
    run = place.client.get_model_version(NAME, "1")
    place.client.create_registered_model("other")
    place.client.create_model_version("other", source=run.source, run_id=run.run_id)
    place.client.set_registered_model_alias("other", "champion", "1")
    for tag, value in place.client.get_registered_model(NAME).tags.items():
        place.client.set_registered_model_tag("other", tag, value)
    shutil.copy(ledger_of(place.settings, NAME).path, ledger_of(place.settings, "other").path)
    with pytest.raises(RefusedModel, match="'other'"):
        load("models:/other@champion", place.settings)
