"""Owners as processes: they match rows, train, and score held-out rows, from stores of their own."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import xgboost

from components.boosting.model import from_document
from components.boosting.secret_shared.prepare import pseudonyms
from components.boosting.secret_shared.programs import (  # fmt: skip
    agreed_rows,
    model_shape,
    score,
    train_together,
    training_agreement,
)
from components.boosting.secret_shared.stored import finished_rounds
from components.data.independence import one_row_per_person
from components.data.split import PARTS, split_of
from components.data.table import Table
from components.errors import InvalidInput
from components.mpc.launch import Ended
from components.mpc.network import PartyLost
from components.mpc.programs import Task
from components.partition import Even, Mixed, Vertical, deal, held, write_holding
from tasks.own_part import AGREED_BINS
from tests.components.boosting.secret_shared.consortium import (
    CANARIES,
    MAX_BIN,
    SHARES,
    SIDES,
    SPLIT,
    Consortium,
    assert_declared,
    consortium,
    draw_table,
    parameters_of,
    schema_of,
)
from tests.components.boosting.secret_shared.on_bins import as_matrix, xgboost_on_bins

pytestmark = pytest.mark.slow


def opened(ended: dict[str, Ended], one: Consortium) -> xgboost.Booster:
    holding = [party for party, end in ended.items() if "model" in end.document]
    assert holding == [one.layout.parties[one.analyst]]
    return from_document(json.loads(ended[holding[0]].document["model"]))


def rows_by_group(documents, layout) -> dict[str, dict[str, int]]:
    counts = {group[0]: agreed_rows(documents, group) for group in layout.groups}
    return {name: {group: count[name] for group, count in counts.items()} for name in PARTS}


@pytest.mark.parametrize(
    ("kind", "plan"),
    [
        ("binary", Vertical(columns=SIDES, overlap=0.85)),
        ("regression", Even(owners=3)),
        ("multiclass", Mixed(columns=SIDES, split="clinic", by="hospital")),
        ("regression", Vertical(columns=SIDES, overlap=0.85)),
    ],
    ids=["vertical", "horizontal", "mixed", "vertical regression"],
)
def test_match_train_and_score(tmp_path, kind, plan):
    one = consortium(tmp_path, draw_table(kind), plan)
    documents, joined, parameters = one.match(), one.joined(), parameters_of()
    rows = rows_by_group(documents, one.layout)
    codes = split_of(joined.person, SPLIT["salt"], SHARES)
    assert sum(rows["train"].values()) == np.sum(codes == 0)

    agreement = training_agreement(one.schema, one.layout, documents, parameters)
    booster = opened(one.train(agreement), one)
    training = joined.take(codes == 0)
    ours = booster.predict(as_matrix(training, training.features, labels=False), output_margin=True)
    scale = np.ptp(training.labels) / 2 if kind == "regression" else 1
    theirs = xgboost_on_bins(training, parameters)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-4 * scale)
    if kind != "multiclass":
        assert np.corrcoef(ours, training.labels)[0, 1] > 0.4

    levels = {"sex": sorted({level for document in documents.values() for level in document["levels"].get("sex", [])})}
    ended = one.score(agreement, rows, levels)
    arrays = ended[one.layout.parties[one.analyst]].arrays()
    assert all(ended[party].arrays() == {} for party in ended if party != one.layout.parties[one.analyst])
    held_out = joined.take(codes > 0)
    held_out = held_out.take(one_row_per_person(held_out))
    place = {}
    for group in one.layout.groups:
        key = (tmp_path / "keys" / group[0] / "pseudonyms.key").read_bytes()
        for position, name in enumerate(pseudonyms(held_out.row_ids, key).T.tolist()):
            place[tuple(name)] = position
    order = np.array([place[tuple(name)] for name in arrays["pseudonyms"].T.tolist()])
    assert sorted(order) == list(range(len(held_out)))
    told = held_out.take(order)
    np.testing.assert_array_equal(arrays["label"][0], told.labels)
    assert [levels["sex"][code] for code in arrays["group_sex"][0].astype(int)] == [
        told.groups["sex"].levels[code] for code in told.groups["sex"].codes
    ]
    wanted = booster.predict(as_matrix(told, told.features, labels=False), output_margin=True)
    np.testing.assert_allclose(arrays["margins_0"].T.squeeze(), wanted, rtol=0, atol=2e-5 * scale)
    count = len(told)
    outputs = agreement.outputs
    for run in one.ended.values():
        for party in one.layout.parties:
            assert_declared(run[party].counts["revealed"])
    matched = one.ended["match"]
    shared = [party for group in one.layout.groups if len(group) > 1 for party in group]
    numeric = len(one.layout.cut_together(one.schema))
    for party, record in one.records.items():
        # Ids are shown once in each group, and of a cut point each of 32 halvings and its side.
        assert matched[party].counts["revealed"].get("ids", 0) == record.rows * shared.count(party)
        assert matched[party].counts["revealed"].get("cuts", 0) == 33 * numeric * (MAX_BIN - 1)
    for party in one.layout.parties:
        assert ended[party].counts["revealed"] == {
            "margins": outputs * count,
            "label": 2 * count,
            "group_sex": count,
            "pseudonyms": 2 * count,
        }


def test_a_killed_owner_is_named_and_the_same_call_goes_on(tmp_path, process_of):
    one = consortium(tmp_path, draw_table("binary"), Vertical(columns=SIDES, overlap=0.85))
    agreement = training_agreement(one.schema, one.layout, one.match(), parameters_of(rounds=16))
    struck = []

    def strike(name, event):
        # The dealer is ahead of all.
        if name == "insurer" and event.get("tree") == 5 and not struck:
            struck.append(process_of(tmp_path / "train" / "insurer"))
            os.kill(struck[0], signal.SIGKILL)

    with pytest.raises(PartyLost, match=r"party 'insurer' ended by SIGKILL.*round \d+") as lost:
        one.train(agreement, on_progress=strike)
    assert "\n" not in str(lost.value)
    done = min(max(finished_rounds(one.shares(party))) for party in one.layout.parties)
    assert 4 <= done < 16

    resumed = {}
    ended = one.train(
        agreement,
        on_progress=lambda name, event: (
            resumed.update({name: event["resume_from"]}) if event["event"] == "met" else None
        ),
    )
    assert resumed == dict.fromkeys([*one.layout.parties, "dealer"], done)
    booster, joined = opened(ended, one), one.joined()
    training = joined.take(split_of(joined.person, SPLIT["salt"], SHARES) == 0)
    ours = booster.predict(as_matrix(training, training.features, labels=False), output_margin=True)
    theirs = xgboost_on_bins(training, parameters_of(rounds=16))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-4)


def traces(folder: Path, person: str, value: float) -> list[str]:
    """Files below a folder that hold a person's name or a value, as text or as a number."""
    needles = [person.encode(), f"{value}".encode(), np.float64(value).tobytes()]
    found = []
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            found += [path.name for needle in needles if needle in content]
    return found


def test_nothing_of_an_owners_rows_is_in_anothers_folder(tmp_path):
    one = consortium(tmp_path, draw_table("binary", 400), Vertical(columns=SIDES, overlap=0.9), canaries=True)
    documents = one.match()
    agreement = training_agreement(one.schema, one.layout, documents, parameters_of(rounds=2))
    one.train(agreement)
    one.score(agreement, rows_by_group(documents, one.layout), {"sex": ["f", "m"]})
    names = one.joined().person
    for owner, (person, _, value) in CANARIES.items():
        assert person not in names
        for member in ("clinic", "insurer", "dealer"):
            assert len(list((tmp_path / "train" / member).glob("*"))) >= 3
            for run in ("match", "train", "score"):
                if member != owner:
                    assert traces(tmp_path / run / member, person, value) == [], (run, member, owner)
    # Persons both have on record are in nobody's files either: rows are told by their places.
    shared = str(names[0])
    for run in ("match", "train", "score"):
        for member in ("clinic", "insurer", "dealer"):
            assert traces(tmp_path / run / member, shared, np.pi) == []
    for owner, (_, column, value) in CANARIES.items():
        stored = (tmp_path / "stores" / owner).glob("*.parquet")
        import pyarrow.parquet as pq

        assert value in pq.read_table(next(stored))[column].to_pylist()


@pytest.mark.parametrize("program", [train_together, score])
@pytest.mark.parametrize("member", ["insurer", "dealer"])
def test_no_program_opens_to_another_analyst_than_the_members_own_file_names(tmp_path, program, member):
    schema = schema_of("binary")
    agreement = {
        "schema": schema.model_dump_json(),
        "columns": SIDES,
        "analyst": 1,
    }
    task = Task(member, agreement, 0, None, tmp_path, 0, "tag", lambda **progress: None)
    with pytest.raises(InvalidInput, match=f"owner number 1.*'{member}' opens them to number 0 alone"):
        program(None, task)


def test_owners_of_different_persons_are_told_so(tmp_path):
    table = draw_table("binary", 60)
    one = consortium(tmp_path, table, Vertical(columns=SIDES))
    part = held(table, deal(table, Vertical(columns=SIDES), 3).holdings["insurer"])
    names = [f"x{name}" for name in part.columns["patient"].to_pylist()]
    renamed = Table(part.schema, part.columns.set_column(0, "patient", pa.array(names)))
    one.records["insurer"] = write_holding(tmp_path / "stores", "insurer", renamed)
    documents = one.match()
    assert {
        count for document in documents.values() for part in document["rows"].values() for count in part.values()
    } == {0}
    with pytest.raises(InvalidInput, match="clinic, insurer have no rows in common.*'patient'"):
        training_agreement(one.schema, one.layout, documents, parameters_of())


def test_the_agreement_has_the_shapes_the_model_is_stored_in(tmp_path):
    one = consortium(tmp_path, draw_table("binary", 300), Vertical(columns=SIDES))
    documents = one.match()
    agreement = training_agreement(one.schema, one.layout, documents, parameters_of(rounds=1, max_depth=2))
    one.train(agreement)
    shapes = model_shape(agreement).round()
    for party in one.layout.parties:
        with np.load(one.shares(party) / "round_00001.npz") as stored:
            assert {name: stored[name].shape for name in stored} == shapes | {"tag": ()}


def test_too_few_rows_for_any_cut_point_are_told_so(tmp_path):
    """Between owners of the same columns, none of which has gaps or categories."""
    table = draw_table("binary", 60)
    schema = table.schema.model_copy(update={"features": {"age": table.schema.features["age"]}})
    one = consortium(tmp_path, Table(schema, table.columns), Even(owners=2))
    with pytest.raises(InvalidInput, match=f"10 training rows a bin.*max_bin .now {MAX_BIN}.*{AGREED_BINS}"):
        training_agreement(one.schema, one.layout, one.match(), parameters_of())
