"""Owners together have the model of all their rows in one place, and lose no more than a lost owner takes along."""

import json
import threading
import time

import numpy as np
import pytest
import xgboost

from components.boosting.federated import progress_of
from components.boosting.federated.agreement import read_level, read_start
from components.boosting.federated.model import model_of
from components.boosting.histogram import Rows, bin_table
from components.boosting.histogram import train as train_in_one_process
from components.boosting.model import to_document as document_of
from components.boosting.pooled import predict_margins
from components.errors import InvalidInput
from components.federated import TooFewMembers
from components.federated.selection import Selection
from tests.components.boosting.federated.conftest import dealt, parts_of


def in_one_place(agreement, table, progress, *, publish_sums=False) -> xgboost.Booster:
    """What one owner of all rows has on the same terms."""
    terms, (rows, held_out) = agreement.terms(progress.terms), parts_of(agreement, table)
    bins, labels = bin_table(rows, terms.cuts), rows.labels
    owner = Rows(terms, bins, labels, validation=(bin_table(held_out, terms.cuts), held_out.labels))
    return train_in_one_process(terms, [owner], publish_sums=publish_sums)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_the_model_is_that_of_all_rows_in_one_place_bit_for_bit(federate, agreement, joint, kind):
    table = joint(kind=kind)
    agreed = agreement(table.schema)
    together = federate(agreed, dealt(table, 3))
    model = model_of(agreed, together.progress)

    expected = in_one_place(agreed, table, together.progress)
    assert document_of(model)["learner"]["gradient_booster"] == document_of(expected)["learner"]["gradient_booster"]
    assert np.ptp(predict_margins(model, table)) > 0.5
    assert together.ended == dict.fromkeys(together.ended)
    assert [one.members for one in together.progress.rounds] == [("owner-0", "owner-1", "owner-2")] * 4
    assert all(not one.lost and not one.cut_short for one in together.progress.rounds)
    # All that passed is counted.
    counted = [sum(one.received for one in together.progress.rounds), sum(one.sent for one in together.progress.rounds)]
    assert tuple(np.add(counted, together.progress.traffic)) == together.traffic
    assert {one.rows for one in together.progress.rounds} == {len(parts_of(agreed, table)[0])}


def test_the_model_is_xgboosts_own_on_the_same_bins(federate, agreement, joint):
    table = joint(1500)
    agreed = agreement(table.schema, max_depth=4, rounds=6)
    together = federate(agreed, dealt(table, 2))
    rows, _ = parts_of(agreed, table)
    cuts = agreed.terms(together.progress.terms).cuts
    bins = bin_table(rows, cuts)
    codes = np.where(bins == cuts.bins, np.nan, bins.astype(np.float32))
    matrix = xgboost.QuantileDMatrix(
        codes, rows.labels, feature_types=cuts.feature_types, enable_categorical=True, max_bin=256
    )
    peer = xgboost.train(
        {"objective": "binary:logistic", "eta": 0.3, "max_depth": 4, "max_bin": 256, "tree_method": "hist"}, matrix, 6
    )
    ours = predict_margins(model_of(agreed, together.progress), rows)
    np.testing.assert_allclose(ours, peer.predict(matrix, output_margin=True), atol=2e-6)


def test_an_owner_that_is_late_ends_its_tree_early_and_is_back_in_the_next(federate, agreement, joint):
    calls, is_back = {"descend": 0}, threading.Event()

    def wrap(name, what, handler):
        def slow(content):
            if name == "owner-1" and what == "descend":
                calls["descend"] += 1
                if calls["descend"] == 3:
                    time.sleep(4)
                    is_back.set()
            if name == "owner-0" and what == "begin" and content.document["number"] == 3:
                is_back.wait(10)
                time.sleep(0.3)
            return handler(content)

        return slow

    table = joint()
    agreed = agreement(table.schema, rounds=5)
    together = federate(agreed, dealt(table, 3), wrap=wrap, timeout=3)
    rounds = together.progress.rounds
    late = [one for one in rounds if one.cut_short]

    assert [one.number for one in late] == [1]
    assert late[0].lost == ("owner-1",)
    assert late[0].members == ("owner-0", "owner-1", "owner-2")
    # Nobody waits for who has still to answer.
    assert rounds[2].members == ("owner-0", "owner-2")
    assert max(one.seconds for one in rounds[2:3]) < 1
    assert rounds[-1].members == ("owner-0", "owner-1", "owner-2")
    assert len(together.progress.trees[1]) < len(together.progress.trees[0])
    # It knows the tree that ended without it: the loss that all report together is that of the model.
    _, held_out = parts_of(agreed, table)
    margins = predict_margins(model_of(agreed, together.progress), held_out)
    loss = np.log1p(np.exp(np.where(held_out.labels > 0, -margins, margins))).mean()
    assert rounds[-1].loss == pytest.approx(loss, rel=1e-5)


def test_with_too_few_left_it_stops_and_goes_on_later_to_the_same_model(federate, agreement, joint):
    table = joint()
    agreed, kept = agreement(table.schema, rounds=5), []

    def leave(name, what, handler):
        def asked(content):
            if name != "owner-0" and what == "begin" and content.document["number"] == 2:
                raise InvalidInput("row 17 of visits.csv is gone")
            return handler(content)

        return asked

    with pytest.raises(TooFewMembers):
        federate(agreed, dealt(table, 3), wrap=leave, keep=lambda event: kept.append(json.dumps(event)))
    going_on = progress_of(map(json.loads, kept))
    assert len(going_on.rounds) == 2
    together = federate(agreed, dealt(table, 3), start=going_on)

    assert len(together.progress.rounds) == 5
    expected = in_one_place(agreed, table, together.progress)
    model = model_of(agreed, together.progress)
    assert document_of(model)["learner"]["gradient_booster"] == document_of(expected)["learner"]["gradient_booster"]


def test_it_stops_early_when_the_selection_rows_of_all_say_so(federate, agreement, joint):
    table = joint(kind="regression")
    agreed = agreement(table.schema, rounds=60, eta=1, max_depth=4, early_stopping_rounds=3)
    together = federate(agreed, dealt(table, 3))
    expected = in_one_place(agreed, table, together.progress)

    assert len(together.progress.rounds) < 60
    assert model_of(agreed, together.progress).num_boosted_rounds() == expected.num_boosted_rounds()


def test_who_agreed_to_something_else_takes_no_part(federate, agreement, joint):
    table = joint()
    agreed, other = agreement(table.schema), agreement(table.schema, max_depth=5)
    with pytest.raises(TooFewMembers):
        federate(agreed, dealt(table, 2), agreements={"owner-1": other}, gather=3)


def test_openly_an_owner_says_how_many_rows_it_has_and_no_more(federate, agreement, joint):
    said = {}

    def wrap(name, what, handler):
        def heard(content):
            answer = handler(content)
            if what in ("describe", "prepare", "catch_up", "finish"):
                said.setdefault(what, []).append(answer)
            return answer

        return heard

    table = joint()
    together = federate(agreement(table.schema), dealt(table, 3), wrap=wrap)
    assert together.progress.rounds
    assert {what for what, answers in said.items() if any(one.document for one in answers)} == {"describe", "prepare"}
    assert {key for one in said["prepare"] for key in one.document} == {"trees"}
    assert {key for one in said["describe"] for key in one.document} == {"rows", "held_out"}
    assert all(one.array is None for answers in said.values() for one in answers)


def test_few_rows_are_not_cut_finely(federate, agreement, joint):
    table = joint(200)
    with pytest.raises(InvalidInput, match="max_bin"):
        federate(agreement(table.schema, max_bin=64), dealt(table, 2))


def test_public_edges_need_no_search(federate, agreement, joint):
    table = joint(200)
    features = {name: one.model_copy(update={"edges": (-1.0, 0.0, 1.0)}) if one.kind == "numeric" else one
                for name, one in table.schema.features.items()}  # fmt: skip
    schema = table.schema.model_copy(update={"features": features})
    counted = []

    def wrap(name, what, handler):
        return (lambda content: counted.append(name) or handler(content)) if what == "count" else handler

    agreed = agreement(schema, max_bin=64)
    together = federate(agreed, [type(part)(schema, part.columns) for part in dealt(table, 2)], wrap=wrap)
    assert not counted
    assert {len(one) for one in together.progress.terms["edges"].values()} == {3}


@pytest.mark.parametrize(
    "level",
    [
        {},
        {"splits": [], "wanted": [3], "leaves": []},
        {"splits": [], "wanted": [], "leaves": [[1, 0.5]]},
        {"splits": [], "wanted": [], "leaves": [[0, float("nan")]]},
        {"splits": [{"node": 0}], "wanted": [], "leaves": []},
        {"splits": 5, "wanted": [], "leaves": []},
    ],
)
def test_levels_that_cannot_be_are_refused(level):
    with pytest.raises(InvalidInput):
        read_level(level, 1)


@pytest.mark.parametrize("start", [{}, {"number": -1, "features": [0]}, {"number": 0, "features": [9]},
                                   {"number": 0, "features": [1, 0]}, {"number": True, "features": [0]}])  # fmt: skip
def test_starts_that_cannot_be_are_refused(start, agreement, joint):
    agreed = agreement(joint().schema)
    terms = agreed.terms({"edges": {"dose": [0.0], "marker": [0.0]}, "rows": 10, "label_range": [0, 1]})
    with pytest.raises(InvalidInput):
        read_start(start, terms)


def test_in_each_round_the_chosen_take_part_and_the_others_are_told(federate, agreement, joint):
    """The loss that the chosen report is that of the whole model, so each knew the trees it had no part in."""
    table, owners = joint(1500), 5
    agreed = agreement(table.schema, rounds=8).model_copy(update={"selection": Selection(owners=3)})
    parts, told = dealt(table, owners), {}

    def wrap(name, what, handler):
        def heard(content):
            numbers = [content.document["first"] + at for at in range(len(content.document["trees"]))]
            told.setdefault(name, []).extend(numbers)
            return handler(content)

        return heard if what == "catch_up" else handler

    together = federate(agreed, parts, wrap=wrap)
    rounds = together.progress.rounds
    # Each tree once.
    assert all(len(set(numbers)) == len(numbers) for numbers in told.values())
    assert [len(one.members) for one in rounds] == [3] * 8
    assert len({one.members for one in rounds}) > 2
    last = [parts[int(name.removeprefix("owner-"))] for name in rounds[-1].members]
    held_out = [parts_of(agreed, part)[1] for part in last]
    margins = np.concatenate([predict_margins(model_of(agreed, together.progress), part) for part in held_out])
    labels = np.concatenate([part.labels for part in held_out])
    loss = np.log1p(np.exp(np.where(labels > 0, -margins, margins))).mean()
    assert rounds[-1].loss == pytest.approx(loss, rel=1e-5)
    assert together.ended == dict.fromkeys(together.ended)
