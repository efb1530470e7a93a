"""Owners computing together, as far as it is decided here: what is refused beforehand, and what is written down."""

import json
from types import SimpleNamespace

import pytest

from components.boosting.parameters import BoostingParameters
from components.boosting.secret_shared.layout import agreement_of, layout_of
from components.boosting.secret_shared.prepare import feature_shapes
from components.data.schema import Schema
from components.errors import InvalidInput
from components.mpc.launch import Ended
from components.mpc.network import PartyLost
from tasks.own_part import Needs
from tasks.together import Matched, _record, _require_many_rows, _run

ALL = ["id", "dose", "marker", "site", "outcome", "sex", "age"]
SPLIT = {"salt": "troth", "shares": [0.5, 0.2, 0.3]}


@pytest.fixture
def schema(people_schema) -> Schema:
    document = people_schema()
    document["features"]["site"]["categories"] = ["north", "south"]
    return Schema.model_validate(document)


@pytest.fixture
def data(schema):
    """A function: two owners of so many rows and of these columns."""

    def hold(*rows: int, columns: list[str] = ALL) -> dict:
        names = ("a", "b", "c")
        holdings = [
            {"owner": name, "path": "", "rows": count, "columns": columns, "digest": name}
            for name, count in zip(names, rows, strict=False)
        ]
        return {"schema": schema.model_dump_json(), "holdings": holdings, "split": SPLIT, "parties": None}

    return hold


def test_bins_are_as_many_as_training_rows_of_one_owner_allow(data, schema):
    layout = layout_of({"a": ALL, "b": ALL}, schema)
    _require_many_rows(data(300, 640), layout, schema, 32)
    with pytest.raises(InvalidInput, match="max_bin is 33.*at most 32 bins"):
        _require_many_rows(data(640, 600), layout, schema, 33)
    with pytest.raises(InvalidInput, match="bring more rows"):
        _require_many_rows(data(30, 39), layout, schema, 8)
    categories = ["id", "site", "outcome"]
    layout = layout_of({"a": categories, "b": categories, "c": ["id", "dose", "marker", "sex", "age"]}, schema)
    _require_many_rows(data(5, 5, columns=categories), layout, schema, 33)


@pytest.fixture
def agreed(schema):
    layout = layout_of({"a": ALL, "b": ALL}, schema)
    shapes = feature_shapes(schema, {0: 0, 1: 7}, {0: False, 1: False, 2: False})
    return layout, agreement_of(schema, layout, [40, 50], shapes, BoostingParameters(rounds=5))


def ended(tmp_path, document: dict) -> dict[str, Ended]:
    counts = {"sent": 5, "dealt": 7, "rounds": 11, "cpu_seconds": 0.5, "peak_bytes": 13}
    return {name: Ended(name, tmp_path, document, counts) for name in ("a", "b", "dealer")}


def test_a_record_says_what_each_phase_took_and_what_it_does_not_know(agreed, schema, tmp_path):
    layout, agreement = agreed
    matched = Matched("match-x", schema, layout, {"a": {"seconds": {"match": 1.5}}, "b": {}})
    document = {"seconds": {"train": 2.5, "open": 0.25}, "resumed_from": 3}
    record = _record(matched, agreement, ended(tmp_path, document))
    assert {name: record.costs[f"seconds_{name}"] for name in ("match", "train", "open")} == {
        "match": 1.5,
        "train": 2.5,
        "open": 0.25,
    }
    # Bytes and time of the last two trees, and the record says so.
    assert (record.rounds, record.costs["resumed_from"]) == (5, 3)
    assert record.parameters["features_without_cuts"] == ["dose"]


def test_a_record_says_how_the_histograms_of_every_block_were_summed(schema, tmp_path):
    """Few bins are added as they are, many by a permutation; each owner of rows has a block of its own."""
    layout = layout_of({"a": ALL, "b": ALL}, schema)
    for cuts, mode in ((7, "dense"), (40, "permutation")):
        shapes = feature_shapes(schema, {0: 7, 1: cuts}, {0: False, 1: False, 2: False})
        agreement = agreement_of(schema, layout, [40, 50], shapes, BoostingParameters(rounds=5))
        matched = Matched("match-x", schema, layout, {"a": {"seconds": {"match": 1.5}}, "b": {}})
        document = {"seconds": {"train": 2.5, "open": 0.25}, "resumed_from": 0}
        record = _record(matched, agreement, ended(tmp_path, document))
        assert record.parameters["histograms"] == {"a, rows 0 to 40": mode, "b, rows 40 to 90": mode}


def test_what_a_run_that_fails_has_begun_to_replace_is_not_found_again(tmp_path, data, monkeypatch):
    """One owner has new rows by then, and the other may still have those of an earlier matching."""
    from tasks import together

    def fail(*_, **__):
        raise PartyLost("party 'b' is gone")

    monkeypatch.setattr(together, "run_parties", fail)
    monkeypatch.setattr(together, "private_input", lambda *_: tmp_path)
    key = f"match-{'0' * 20}"
    done = tmp_path / "together" / key / "done.json"
    done.parent.mkdir(parents=True)
    done.write_text(json.dumps({"a": {}, "b": {}, "dealer": {}}))
    with pytest.raises(PartyLost):
        _run(SimpleNamespace(root=tmp_path), data(900, 900), "match", key, {"columns": {}}, Needs(), lambda *_: None)
    assert not done.exists()
