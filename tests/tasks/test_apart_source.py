"""A run from the analyst's machine over owners apart: what fits, and whose values are told where."""

from threading import Event

import pyarrow as pa
import pyarrow.csv
import pytest
import yaml

from components.errors import InvalidInput
from components.mpc.launch import PartyCrashed
from components.partition import Even, Vertical
from tasks.apart import announced, require_fits, run_apart
from tasks.inputs import Apart, OwnTable
from tasks.inputs import load as load_source
from tasks.member import read_member

SPLIT = {"salt": "troth", "shares": [0.55, 0.15, 0.3]}


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


def test_the_analysts_own_table_is_told_in_full_here_and_nowhere_else(source, machine, people, tmp_path, capsys):
    """What a flow run raises is kept on its server, where others may read it."""
    (machine(name="hospital") / "rows.csv").write_text("id,marker\np1,much\np2,3\n")
    for golden in (None, str(tmp_path / "golden.csv")):
        pyarrow.csv.write_csv(people(10), tmp_path / "golden.csv")
        with pytest.raises(InvalidInput, match="'hospital'.*'marker'") as refusal:
            announced(source, SPLIT, golden)
        assert "much" not in str(refusal.value)
        assert "'much'" in capsys.readouterr().err


def test_golden_rows_are_told_in_full_here_and_nowhere_else(source, machine, people, tmp_path, capsys):
    machine(name="hospital")
    rows = people(10)
    doses = pa.array(["much", *map(str, rows["dose"].to_pylist()[1:])])
    pyarrow.csv.write_csv(rows.set_column(1, "dose", doses), tmp_path / "golden.csv")
    with pytest.raises(InvalidInput, match="golden.csv") as refusal:
        announced(source, SPLIT, str(tmp_path / "golden.csv"))
    assert "much" not in str(refusal.value)
    assert str(tmp_path) not in str(refusal.value)
    assert "'much'" in capsys.readouterr().err


def test_how_the_analysts_own_process_ended_is_told_without_its_paths(source, machine, monkeypatch, capsys):
    member = read_member(machine(name="hospital"))

    def fail(*_, **__):
        raise PartyCrashed(f"party 'hospital' failed; its log in {member.store}/together/x says more")

    monkeypatch.setattr("tasks.apart.take_part", fail)
    monkeypatch.setattr("tasks.apart.ask", lambda *_, meanwhile, **__: meanwhile(Event()))
    data = {"parties": source.parties, "holdings": []}
    with pytest.raises(PartyCrashed, match="its log in its store/together/x") as crash:
        run_apart(None, data, "train", f"train-{'0' * 20}", {}, lambda *_: None)
    assert str(machine()) not in str(crash.value)
    assert str(member.store) in capsys.readouterr().err
