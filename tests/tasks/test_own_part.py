"""What a member does when it is asked: only what its own files agree to, and no refusal says anything of its data."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event

import pyarrow as pa
import pyarrow.csv
import pytest
import yaml
from pydantic import ValidationError

from components.boosting.federated.programs import agreement_by
from components.boosting.federated.spending import spending_of
from components.data.schema import Schema
from components.errors import InvalidInput
from components.mpc.launch import Ended
from components.mpc.network import PartyLost
from tasks.answers import answer, from_markdown, to_markdown
from tasks.member import parties_of, read_member
from tasks.own_part import (
    AGREED_BINS,
    AGREED_SPLIT,
    Needs,
    Refused,
    Request,
    _holding,
    announce,
    folder_of,
    public_answer,
    take_part,
)

SPLIT = {"salt": "troth", "shares": [0.55, 0.15, 0.3]}
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def asked(schema: dict, what: str = "announce", **more) -> Request:
    document = {"schema": Schema.model_validate(schema).model_dump_json(), "split": SPLIT}
    return Request(what=what, agreement_text=json.dumps(document | more.pop("agreement", {})), **more)


def test_paths_are_relative_to_the_file_and_the_variable_stands_in(machine, monkeypatch, tmp_path):
    folder = machine()
    member = read_member(folder)
    assert (member.table, member.store) == (folder / "rows.csv", folder / "store")
    monkeypatch.setenv("TROTH_OWNER", str(folder / "owner.yaml"))
    assert read_member() == read_member(tmp_path / "elsewhere") == member


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"name": "registry"}, "'registry'"),
        ({"name": None}, "'name'"),
        ({"table": None}, "'table'"),
        ({"schema_file": None}, "'schema_file'"),
        ({"table": None, "schema_file": None}, "'insurer'"),
        ({"name": "dealer"}, "dealer 'dealer'"),
        ({"password": "x"}, "'password'"),
        ({"noise": {"epsilon": 0}}, "noise.epsilon"),
        ({"name": "dealer", "table": None, "schema_file": None, "noise": {"epsilon": 1}}, "'noise'"),
        ({"parties": "nowhere.yaml"}, "nowhere.yaml"),
    ],
)
def test_an_owner_file_that_makes_no_sense_is_refused(machine, changes, named):
    folder = machine(**changes)
    with pytest.raises(InvalidInput, match=named):
        read_member(folder)


def test_the_file_of_another_member_is_refused(machine):
    folder = machine()
    with pytest.raises(InvalidInput, match="'hospital'"):
        read_member(folder, name="hospital")
    with pytest.raises(InvalidInput, match="TROTH_OWNER"):
        read_member()


def test_an_announcement_says_counts_and_names(machine, schema):
    member = read_member(machine())
    told = announce(member, asked(schema))
    assert told | {"digest": ""} == {
        "columns": ["id", "marker", "age"],
        "rows": 300,
        "persons": 300,
        "digest": "",
        "through": None,
    }
    assert announce(member, asked(schema)) == told
    assert len(list((member.store / "owners" / "insurer").glob("*.parquet"))) == 1
    assert from_markdown(to_markdown(told)) == told


def test_a_digest_tells_nothing_to_who_can_guess_the_rows(machine, schema, tmp_path):
    member = read_member(machine())
    elsewhere = member.model_copy(update={"store": tmp_path / "other"})
    assert announce(member, asked(schema))["digest"] != announce(elsewhere, asked(schema))["digest"]


def test_the_newest_time_is_of_training_rows(machine, schema, people):
    folder = machine()
    rows = people(300).select(["id", "marker"]).append_column("year", pa.array(range(300)))
    pyarrow.csv.write_csv(rows, folder / "rows.csv")
    (folder / "people.yaml").write_text(yaml.safe_dump({**schema, "time": "year"}, sort_keys=False))
    request = asked({**schema, "time": "year"})
    from components.data.split import split_of

    codes = split_of(rows["id"].to_numpy().astype(str), SPLIT["salt"], tuple(SPLIT["shares"]))
    assert announce(read_member(folder), request)["through"] == max(i for i in range(300) if codes[i] == 0)


def test_another_schema_than_the_owner_agreed_to_is_refused(machine, schema):
    other = {**schema, "groups": {"age": {"column": "age"}}}
    with pytest.raises(Refused, match="another schema"):
        announce(read_member(machine()), asked(other))


def test_an_owner_stays_with_the_split_its_rows_were_first_matched_under(machine, schema):
    """Under another one the analyst would be shown labels of rows that were for training."""
    member, other = read_member(machine()), {"split": {**SPLIT, "salt": "another"}}
    told = announce(member, asked(schema))
    announce(member, asked(schema, agreement=other))
    request = asked(schema, "match", key=f"match-{'0' * 20}", part=told["digest"])
    columns = {"columns": {"insurer": told["columns"], "hospital": ["id", "dose"]}, "max_bin": 8}
    stopped = Event()
    stopped.set()
    # As far as its own process, which nobody answers.
    with pytest.raises(PartyLost, match="stopped"):
        take_part(member, asked(schema, "match", key=request.key, part=request.part, agreement=columns), stop=stopped)

    rounded = {"split": {**SPLIT, "shares": [0.55, 0.15, 1 - 0.55 - 0.15]}}
    assert announce(member, asked(schema)) == announce(member, asked(schema, agreement=rounded)) == told
    for what, ask in [("announce", announce), ("match", take_part), ("score", take_part)]:
        key = None if what == "announce" else f"{what}-{'1' * 20}"
        with pytest.raises(Refused, match="'troth'.*not to.*'another'") as refusal:
            ask(member, asked(schema, what, key=key, part=told["digest"], agreement=columns | other))
        assert str(member.store) not in str(refusal.value)
        assert str(member.store) in refusal.value.private
    (member.store / AGREED_SPLIT).unlink()
    announce(member, asked(schema, agreement=other))


def test_an_owner_of_columns_that_others_have_too_stays_with_its_number_of_bins(machine, schema):
    """Cut points are values that somebody holds; of another number of bins they would be others."""
    member = read_member(machine())
    told = announce(member, asked(schema))
    stopped = Event()
    stopped.set()

    def match(max_bin: int) -> None:
        agreement = {"columns": {"insurer": told["columns"], "hospital": told["columns"]}, "max_bin": max_bin}
        request = asked(schema, "match", key=f"match-{max_bin:020x}", part=told["digest"], agreement=agreement)
        take_part(member, request, stop=stopped)

    for _ in range(2):
        # As far as its own process, which nobody answers.
        with pytest.raises(PartyLost, match="stopped"):
            match(8)
    with pytest.raises(Refused, match="8 bins, not of 9"):
        match(9)


def test_a_number_of_bins_is_agreed_to_only_when_cut_points_are_looked_for(machine, schema):
    member = read_member(machine())
    columns = announce(member, asked(schema))["columns"]
    agreement = {"columns": {"insurer": columns, "hospital": columns}, "max_bin": 8}
    key = f"match-{'0' * 20}"
    with pytest.raises(Refused, match="no such part"):
        take_part(member, asked(schema, "match", key=key, part="0" * 64, agreement=agreement))
    assert not (member.store / AGREED_BINS).exists()


def test_categories_are_cut_nowhere(machine, schema, people):
    folder, stopped = machine(), Event()
    stopped.set()
    pyarrow.csv.write_csv(people(300).select(["id", "site"]), folder / "rows.csv")
    member = read_member(folder)
    told = announce(member, asked(schema))
    agreement = {"columns": {"insurer": told["columns"], "hospital": told["columns"]}, "max_bin": 8}
    with pytest.raises(PartyLost, match="stopped"):
        take_part(
            member,
            asked(schema, "match", key=f"match-{'0' * 20}", part=told["digest"], agreement=agreement),
            stop=stopped,
        )
    assert not (member.store / AGREED_BINS).exists()


def test_an_owner_that_says_how_much_may_be_spent_is_in_no_training_that_spends_more(machine, schema):
    """Whoever schedules trainings may ask for no noise, for little, or for many trainings one after the other."""
    member = read_member(machine(noise={"epsilon": 4, "delta": 1e-5}))
    told = announce(member, asked(schema))
    columns = {"insurer": told["columns"], "hospital": told["columns"]}
    stopped = Event()
    stopped.set()

    def train(seed: int = 0, what: str = "grow", **more) -> None:
        parameters = {"rounds": 4, "max_depth": 2, "seed": seed}
        request = asked(schema, what, key=f"{what}-{seed:020x}", part=told["digest"],
                        agreement={"columns": columns, "parameters": parameters, **more})  # fmt: skip
        take_part(member, request, stop=stopped)

    for noise in ({}, {"noise": None}, {"what": "train"}, {"what": "train", "noise": {"epsilon": 4, "delta": 1e-5}}):
        with pytest.raises(Refused, match=r"'insurer' .*noise alone, epsilon 4 .*--noise"):
            train(**noise)
    with pytest.raises(Refused, match=r"epsilon 4 \(delta 1e-05\).*: 0 is spent.*epsilon 5"):
        train(noise={"epsilon": 5, "delta": 1e-5})
    # As far as its own process, which nobody answers and which therefore has spent nothing.
    for seed in range(3):
        with pytest.raises(PartyLost, match="stopped"):
            train(seed, noise={"epsilon": 4, "delta": 1e-5})
    given = json.loads((folder_of(member.store, f"grow-{0:020x}", "insurer") / "input.json").read_text())["spending"]
    assert given["budget"] == {"epsilon": 4, "delta": 1e-5}
    agreement = {"columns": columns, "split": SPLIT, "parameters": {"rounds": 4, "max_depth": 2, "seed": 0},
                 "schema": Schema.model_validate(schema).model_dump_json(),
                 "noise": {"epsilon": 4, "delta": 1e-5}}  # fmt: skip
    spending_of("insurer", agreement_by(parties_of(member), agreement), given).begin(-2)
    with pytest.raises(PartyLost, match="stopped"):
        train(noise={"epsilon": 4, "delta": 1e-5})
    with pytest.raises(Refused, match=r": (4|3\.\d+) is spent.*epsilon 4 .*would be [5-9]") as refusal:
        train(seed=1, noise={"epsilon": 4, "delta": 1e-5})
    assert str(member.store) not in str(refusal.value)


def test_an_owner_that_lost_its_matched_rows_says_so(machine, schema):
    member = read_member(machine())
    told = announce(member, asked(schema))
    key, columns = f"train-{'0' * 20}", {"insurer": told["columns"], "hospital": ["id", "dose"]}
    request = asked(schema, "train", key=key, part=told["digest"], agreement={"columns": columns, "analyst": 1})
    needs = Needs(matched=f"match-{'2' * 20}")
    with pytest.raises(Refused, match=f"'insurer' no longer has the rows it matched as {needs.matched}"):
        take_part(member, request.model_copy(update={"needs": needs}))


def test_programs_are_held_to_the_analyst_the_columns_and_the_part(machine, schema):
    member = read_member(machine())
    told = announce(member, asked(schema))
    key, columns = f"train-{'0' * 20}", {"insurer": told["columns"], "hospital": ["id", "dose"]}

    def train(agreement, part=told["digest"], key=key):
        take_part(member, asked(schema, "train", key=key, part=part, agreement=agreement))

    with pytest.raises(Refused, match="'hospital' alone"):
        train({"columns": columns, "analyst": 0})
    with pytest.raises(Refused, match="other columns"):
        train({"columns": {**columns, "insurer": ["id", "age"]}, "analyst": 1})
    with pytest.raises(Refused, match="no such part"):
        train({"columns": columns, "analyst": 1}, part="0" * 64)
    with pytest.raises(Refused, match="match-"):
        train({"columns": columns, "analyst": 1}, key=f"match-{'0' * 20}")
    rows = f"match-{'0' * 20}"
    needs, matched = Needs(models=[(key, rows)]), folder_of(member.store, rows, "insurer")
    matched.mkdir(parents=True)
    (matched / "result.npz").touch()
    request = asked(schema, "score", key=f"score-{'1' * 20}", part=told["digest"], agreement={"columns": columns})
    with pytest.raises(Refused, match="no shares"):
        take_part(member, request.model_copy(update={"needs": needs}))


@pytest.mark.parametrize(
    "harm",
    [
        {"what": "components.boosting.secret_shared.programs:match"},
        {"key": "../../elsewhere"},
        {"part": "../rows"},
        {"needs": {"matched": "match-../.."}},
        {"table": "/etc/passwd"},
    ],
)
def test_requests_that_are_none(harm):
    with pytest.raises(ValidationError):
        Request.model_validate({"what": "match", **harm})


def test_an_answer_never_holds_a_value_or_a_path(machine, schema, people, monkeypatch, capsys):
    folder = machine()
    monkeypatch.setenv("TROTH_OWNER", str(folder))
    rows = people(300).select(["id", "marker"])
    texts = pa.array(["secret-reading", *map(str, rows["marker"].to_pylist()[1:])])
    pyarrow.csv.write_csv(rows.set_column(1, "marker", texts), folder / "rows.csv")

    kind, sentence = answer(asked(schema), asked_for=NOW, now=NOW)
    assert kind == "Refused"
    assert "'insurer'" in sentence
    assert "'marker'" in sentence
    assert "secret-reading" not in sentence
    assert "secret-reading" in capsys.readouterr().err

    (folder / "rows.csv").unlink()
    kind, sentence = answer(asked(schema), asked_for=NOW, now=NOW)
    assert kind == "Refused"
    assert str(folder) not in sentence
    (folder / "owner.yaml").unlink()
    kind, sentence = answer(asked(schema), asked_for=NOW, now=NOW)
    assert (kind, str(folder) in sentence) == ("Refused", False)


def test_a_fault_of_ours_is_told_by_its_kind_alone(machine, schema, monkeypatch, capsys):
    folder = machine()
    monkeypatch.setenv("TROTH_OWNER", str(folder))
    timed = {**schema, "time": "age"}
    (folder / "people.yaml").write_text(yaml.safe_dump(timed, sort_keys=False))
    kind, sentence = answer(asked(timed, agreement={"split": {"salt": "troth"}}), asked_for=NOW, now=NOW)
    assert kind == "Faulty"
    assert "KeyError" in sentence
    assert "Traceback" in capsys.readouterr().err


def test_who_was_asked_long_ago_does_not_start(machine, schema, monkeypatch):
    monkeypatch.setenv("TROTH_OWNER", str(machine()))
    assert answer(asked(schema), asked_for=NOW, now=NOW + timedelta(seconds=599))[0] == "Completed"
    assert answer(asked(schema), asked_for=NOW, now=NOW + timedelta(seconds=601))[0] == "Refused"


def test_a_model_is_never_part_of_an_answer(tmp_path):
    ended = Ended("hospital", tmp_path, {}, {"rounds": 3})
    for what, public in (("train", {"seconds": {"train": 1.0}}), ("grow", {"rounds": []}), ("rate", {})):
        request = Request(what=what)
        document = {"model": "{}", "owners": ["a"], **public}
        assert public_answer(request, replace(ended, document=document)) == {
            "document": public,
            "counts": {"rounds": 3},
        }


def test_a_store_that_was_moved_is_found_where_it_is(machine, schema, tmp_path):
    folder = machine()
    said = announce(read_member(folder), asked(schema))
    (tmp_path / "moved").mkdir()
    member = read_member(folder.rename(tmp_path / "moved" / folder.name))
    agreement = {"columns": {member.name: said["columns"]}}
    holding = _holding(member, asked(schema, "grow", part=said["digest"], agreement=agreement))
    assert Path(holding["path"]).is_relative_to(tmp_path / "moved")
    assert Path(holding["path"]).exists()
