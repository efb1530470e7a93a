"""What a member does when it is asked: only what its own files agree to, and no refusal says anything of its data."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Event

import pyarrow as pa
import pyarrow.csv
import pytest
import yaml
from pydantic import ValidationError

from components.data.schema import Schema
from components.errors import InvalidInput
from components.mpc.launch import Ended
from components.mpc.network import PartyLost
from components.parties.file import make_parties
from components.partition import Even, Vertical
from tasks.answers import answer, from_markdown, to_markdown
from tasks.apart import announced, require_fits
from tasks.inputs import Apart, OwnTable
from tasks.inputs import load as load_source
from tasks.member import read_member
from tasks.own_part import AGREED_SPLIT, Needs, Refused, Request, announce, folder_of, public_answer, take_part

SPLIT = {"salt": "troth", "shares": [0.55, 0.15, 0.3]}
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def schema(people_schema):
    document = people_schema()
    document["features"]["site"]["categories"] = ["north", "south"]
    return document


@pytest.fixture
def machine(tmp_path, monkeypatch, schema, people):
    """A folder of the insurer's, with its table and owner.yaml; what is given changes the latter."""
    monkeypatch.delenv("TROTH_OWNER", raising=False)
    folder = tmp_path / "parties"
    make_parties(folder, ["insurer", "hospital"], analyst="hospital")
    (folder / "people.yaml").write_text(yaml.safe_dump(schema, sort_keys=False))
    pyarrow.csv.write_csv(people(300).select(["id", "marker", "age"]), folder / "rows.csv")

    def write(**changes):
        own = {"name": "insurer", "table": "rows.csv", "schema_file": "people.yaml", **changes}
        (folder / "owner.yaml").write_text(yaml.safe_dump({key: one for key, one in own.items() if one is not None}))
        return folder

    return write


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


@pytest.fixture
def source(machine):
    folder = machine(name="hospital")
    return Apart(schema_file=str(folder / "people.yaml"), parties=str(folder))


def test_owners_apart_are_trained_on_in_one_mode_from_the_analysts_machine(source, machine, monkeypatch, people_schema):
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with pytest.raises(InvalidInput, match="PREFECT_API_URL"):
        require_fits(source, "secret_shared", None)
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api"}):
        require_fits(source, "secret_shared", None)
        with pytest.raises(InvalidInput, match="'pooled'"):
            require_fits(source, "pooled", None)
        with pytest.raises(InvalidInput, match="'even'"):
            require_fits(source, "secret_shared", Even())
        machine(name="insurer")
        with pytest.raises(InvalidInput, match="'insurer'"):
            require_fits(source, "secret_shared", None)
        folder = machine(name="hospital")
        (folder / "people.yaml").write_text(yaml.safe_dump(people_schema(), sort_keys=False))
        with pytest.raises(InvalidInput, match="'site'"):
            require_fits(source, "secret_shared", None)
    with pytest.raises(InvalidInput, match="never in one place"):
        load_source(source)


def test_rows_that_a_side_lacks_cannot_be_kept_on_shares():
    table = OwnTable(path="rows.csv", schema_file="people.yaml")
    plan = Vertical(columns={"a": ["dose"], "b": ["outcome"]}, missing_rows="keep")
    require_fits(table, "pooled", plan)
    with pytest.raises(InvalidInput, match="missing_rows"):
        require_fits(table, "secret_shared", plan)


def test_golden_persons_are_looked_for_among_the_analysts_own(source, machine, people, tmp_path):
    machine(name="hospital")
    golden = tmp_path / "golden.csv"
    pyarrow.csv.write_csv(people(310).slice(298), golden)
    with pytest.raises(InvalidInput, match="golden.csv has 2 persons of 'hospital'"):
        announced(source, SPLIT, str(golden))


def test_the_analysts_own_table_is_told_in_full_here_and_nowhere_else(source, machine, capsys):
    """What a flow run raises is kept on its server, where others may read it."""
    (machine(name="hospital") / "rows.csv").write_text("id,marker\np1,much\np2,3\n")
    with pytest.raises(InvalidInput, match="'hospital'.*'marker'") as refusal:
        announced(source, SPLIT)
    assert "much" not in str(refusal.value)
    assert "'much'" in capsys.readouterr().err
