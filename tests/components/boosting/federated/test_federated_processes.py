"""Owners and an aggregator as processes: the same model, whoever dies on the way, and scores where the rows are."""

import json
import os
import signal

import numpy as np
import pytest

from components.boosting.federated.launch import AGGREGATOR, grow_here, rate_here
from components.boosting.federated.rating import MODELS
from components.boosting.model import from_document, to_document
from components.boosting.pooled import predict
from components.data.prediction_file import pseudonym
from components.data.split import PARTS, SALT, SHARES, split_of
from components.errors import InvalidInput
from components.mpc.network import PartyLost
from components.partition import write_holding
from components.secret_file import create_once
from tests.components.boosting.federated.conftest import dealt

pytestmark = pytest.mark.slow


@pytest.fixture
def owned(tmp_path):
    """A function that deals a table to owners' stores and returns each one's private input."""

    def deal(table, owners: int) -> dict:
        private = {}
        for number, part in enumerate(dealt(table, owners)):
            name = f"owner-{number}"
            record = write_holding(tmp_path / "stores", name, part)
            holding = {"owner": name, "path": str(record.path), "rows": record.rows, "columns": list(record.columns)}
            private[name] = tmp_path / f"{name}.json"
            private[name].unlink(missing_ok=True)
            own = {"holding": holding | {"digest": record.digest}, "pseudonym_key": str(tmp_path / f"{name}.key")}
            create_once(private[name], json.dumps(own).encode())
        return private

    return deal


def public_of(agreement) -> dict:
    """What all programs are told, of an agreement."""
    split = {"salt": SALT, "shares": list(SHARES)}
    parameters = agreement.parameters.model_dump(mode="json")
    return {"schema": agreement.schema_text, "split": split, "parameters": parameters}


def test_an_owner_that_is_killed_is_done_without_and_too_few_can_go_on_later(
    owned, agreement, joint, tmp_path, process_of
):
    table = joint(1200)
    public, private = public_of(agreement(table.schema, rounds=8)), owned(table, 3)
    whole = grow_here(public, folder=tmp_path / "whole", private=private, on_progress=lambda name, event: None)
    assert [len(one["members"]) for one in whole[AGGREGATOR].document["rounds"]] == [3] * 8

    killed = []

    def kill_one(name: str, event: dict) -> None:
        if event.get("tree") == 3 and not killed:
            killed.append(os.kill(process_of(tmp_path / "one" / "owner-1"), signal.SIGKILL))

    ended = grow_here(public, folder=tmp_path / "one", private=private, on_progress=kill_one, timeout=5)
    rounds = ended[AGGREGATOR].document["rounds"]
    assert set(ended) == {AGGREGATOR, "owner-0", "owner-2"}
    assert rounds[-1]["members"] == ["owner-0", "owner-2"]
    assert any("owner-1" in one["lost"] for one in rounds)

    def kill_two(name: str, event: dict) -> None:
        if event.get("tree") == 3:
            for process in [process_of(tmp_path / "two" / one) for one in ("owner-1", "owner-2")]:
                os.kill(process, signal.SIGKILL)

    with pytest.raises(PartyLost):
        grow_here(public, folder=tmp_path / "two", private=private, on_progress=kill_two, timeout=5)
    again = grow_here(public, folder=tmp_path / "two", private=private, on_progress=lambda name, event: None)
    rounds = again[AGGREGATOR].document["rounds"]
    assert len(rounds) == 8
    # Trees may have ended between one death and the other: with two owners, or cut short. Up to there all is the same.
    by_all = [len(one["members"]) == 3 and not one["cut_short"] for one in rounds]
    same = by_all.index(False) if False in by_all else 8
    assert same >= 3
    models = [from_document(json.loads(one[AGGREGATOR].document["model"]))[:same] for one in (whole, again)]
    assert models[0].get_dump(dump_format="json") == models[1].get_dump(dump_format="json")


def test_scores_are_those_of_the_model_on_every_owners_held_out_rows(owned, agreement, joint, tmp_path):
    table = joint(900)
    public, private = public_of(agreement(table.schema)), owned(table, 2)
    grown = grow_here(public, folder=tmp_path / "grow", private=private, on_progress=lambda name, event: None)
    model = grown[AGGREGATOR].document["model"]
    assert {grown[name].document["model"] for name in private} == {model}
    other = bytes(from_document(json.loads(model))[:1].save_raw("json")).decode()
    create_once(tmp_path / "rate" / "owner-0" / MODELS, json.dumps([model, other]).encode())
    ended = rate_here(public, folder=tmp_path / "rate", private=private, on_progress=lambda name, event: None)
    booster = from_document(json.loads(model))
    expected = dict(zip(table.row_ids.tolist(), predict(booster, table).tolist(), strict=True))
    held_out = table.row_ids[split_of(table.person, SALT, SHARES) != PARTS.index("train")]
    arrays, found = ended["owner-0"].arrays(), {}
    assert ended["owner-0"].document["owners"] == list(private)
    for number, owner in enumerate(private):
        key, names = (tmp_path / f"{owner}.key").read_bytes(), arrays[f"{number}:rows"]
        hidden = {pseudonym(name, key): name for name in held_out.tolist()}
        found |= {
            hidden[name.tobytes()]: score for name, score in zip(names, arrays[f"{number}:scores_0"], strict=True)
        }
        assert not np.array_equal(arrays[f"{number}:scores_0"], arrays[f"{number}:scores_1"])
    assert found == {name: expected[name] for name in held_out.tolist()}
    # What the analyst was told, no other owner keeps.
    assert not ended["owner-1"].arrays()
    # Sums are stripped from what is published.
    trees = to_document(booster)["learner"]["gradient_booster"]["model"]["trees"]
    assert not any(np.any(tree[name]) for tree in trees for name in ("sum_hessian", "loss_changes"))


def test_an_owner_that_cannot_read_its_rows_says_so(owned, agreement, joint, tmp_path):
    table = joint(900)
    private = owned(table, 2)
    next((tmp_path / "stores" / "owner-0").glob("*.parquet")).write_bytes(b"PAR1")
    with pytest.raises(InvalidInput, match="owner-0"):
        grow_here(
            public_of(agreement(table.schema)),
            folder=tmp_path / "grow",
            private=private,
            on_progress=lambda name, event: None,
            timeout=5,
        )
