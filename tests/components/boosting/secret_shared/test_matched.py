"""What owners compare before anything is sent: that shares, rows and numbers go together."""

import json

import numpy as np
import pytest

from components.boosting.secret_shared.layout import agreement_of, layout_of
from components.boosting.secret_shared.prepare import feature_shapes
from components.boosting.secret_shared.programs import score, train_together, training_agreement
from components.boosting.secret_shared.stored import finished_rounds
from components.data.split import PARTS
from components.errors import InvalidInput
from components.mpc.programs import Task
from tests.components.boosting.secret_shared.consortium import SIDES, parameters_of, schema_of


class Alone:
    """The engine of an owner who meets nobody: what is refused is refused before anything is sent."""

    deals, party = False, 1


@pytest.fixture
def ask(tmp_path):
    """A function: the insurer is asked for a program with a model of one round, with changes to what is asked."""
    shares, rows = tmp_path / "train-1" / "insurer" / "shares", tmp_path / "match-1" / "insurer"
    shares.mkdir(parents=True)
    rows.mkdir(parents=True)
    for name in ("base", "margins_00001", "round_00001"):
        np.savez(shares / f"{name}.npz", tag=np.array("try"))
    (rows / "result.json").write_text(json.dumps({"token": "rows-1"}))
    own = {"shares": str(shares), "matched": str(rows), "models": [{"shares": str(shares), "matched": str(rows)}]}
    (tmp_path / "input.json").write_text(json.dumps(own))
    schema, layout = schema_of("binary"), layout_of(SIDES, schema_of("binary"))
    shapes = feature_shapes(schema, dict.fromkeys(range(5), 3), dict.fromkeys(range(5), False))
    trained = agreement_of(schema, layout, [9], shapes, parameters_of(rounds=1))

    def call(program=score, columns=SIDES, tag=None, matching="rows-1"):
        training = trained.model_copy(update={"matching": matching}).model_dump(mode="json")
        models = [{"training": training, "tag": tag or finished_rounds(shares)[1]}]
        agreement = {"schema": schema.model_dump_json(), "columns": columns, "analyst": 0, "models": models}
        agreement |= {"training": training, "matching": matching}
        task = Task("insurer", agreement, 0, tmp_path / "input.json", tmp_path, 0, "tag", lambda **progress: None)
        return program(Alone(), task)

    return call


def test_held_out_rows_are_scored_with_shares_of_the_model_asked_for(ask):
    """Shares of another training, as a backup leaves them, would add up to plausible margins of no model."""
    with pytest.raises(KeyError, match="holding"):
        # All in order, as far as its table, which is not there.
        ask()
    with pytest.raises(InvalidInput, match="'insurer' has shares of training .* model train-1 is of .* a-b"):
        ask(tag="a-b")


@pytest.mark.parametrize("program", [train_together, score])
def test_rows_of_another_matching_are_in_another_order(ask, program):
    """As a backup leaves them."""
    with pytest.raises(InvalidInput, match="'insurer' has its rows as of matching rows-1, .* matching rows-2"):
        ask(program, matching="rows-2")


def test_owners_are_numbered_alike_everywhere(ask):
    """The agreement is compared key by key, which says nothing of the order of its columns."""
    with pytest.raises(InvalidInput, match="'insurer' is number 1 of parties.yaml, .* insurer, clinic"):
        ask(columns=dict(reversed(SIDES.items())))


def test_rows_of_different_matchings_are_not_trained_on():
    schema = schema_of("binary")
    layout = layout_of(SIDES, schema)
    document = {"rows": dict.fromkeys(PARTS, {"clinic": 40}), "levels": {}}
    described = {
        party: document
        | {
            "token": token,
            "cuts": {str(position): 3 for position in layout.features(schema, party)},
            "may_miss": {str(position): False for position in layout.features(schema, party)},
        }
        for party, token in (("clinic", "one"), ("insurer", "one"))
    }
    assert training_agreement(schema, layout, described, parameters_of()).matching == "one"
    described["insurer"]["token"] = "other"
    with pytest.raises(InvalidInput, match="clinic one, insurer other"):
        training_agreement(schema, layout, described, parameters_of())
