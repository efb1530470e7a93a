"""Whatever is wrong with what a run is given, it ends with one sentence and exit code 2, and the champion stays."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml

NOWHERE = "http://127.0.0.1:9"


def replaced(columns: pa.Table, name: str, values) -> pa.Table:
    return columns.set_column(columns.column_names.index(name), name, pa.array(values))


def without_column(columns, schema):
    return columns.drop_columns(["marker"]), schema


def misnamed_column(columns, schema):
    return columns.rename_columns(["markr" if name == "marker" else name for name in columns.column_names]), schema


def text_among_numbers(columns, schema):
    values = [str(value) for value in columns["dose"].to_pylist()]
    values[35] = values[80] = "n/a?"
    return replaced(columns, "dose", values), schema


def one_class(columns, schema):
    return replaced(columns, "outcome", np.ones(len(columns), int)), schema


def twice_the_same_person(columns, schema):
    return pa.concat_tables([columns, columns.slice(7, 3)]), schema


def infinite_value(columns, schema):
    values = columns["marker"].to_numpy().copy()
    values[[10, 20, 30]] = np.inf
    return replaced(columns, "marker", values), schema


def no_rows(columns, schema):
    return columns.slice(0, 0), schema


def copy_of_the_label(columns, schema):
    columns = columns.append_column("discharge_code", pc.multiply(columns["outcome"], 7))
    return columns, {**schema, "features": {**schema["features"], "discharge_code": {}}}


def the_label_as_a_feature(columns, schema):
    return columns, {**schema, "features": {**schema["features"], "outcome": {}}}


def missing_person(columns, schema):
    ids = columns["id"].to_pylist()
    ids[4] = None
    return replaced(columns, "id", ids), schema


def unknown_schema_key(columns, schema):
    return columns, {**schema, "featurs": {}}


def another_signature(columns, schema):
    return columns, {**schema, "features": {name: schema["features"][name] for name in ("dose", "site")}}


def a_group_without_gate_rows(columns, schema):
    """One person of a third sex, who falls to the training part."""
    from components.data.split import split_of

    parts = split_of(columns["id"].to_numpy().astype(str), "troth")
    sex = np.array(columns["sex"].to_pylist(), dtype=object)
    sex[np.flatnonzero(parts == 0)[0]] = "x"
    return replaced(columns, "sex", sex), schema


CASES = [
    (without_column, ["'marker'", "missing", "people.csv"]),
    (misnamed_column, ["'marker'", "did you mean 'markr'"]),
    (text_among_numbers, ["'dose'", "2 of 600", "'n/a?'", "row 37"]),
    (one_class, ["'outcome'", "one class only"]),
    (twice_the_same_person, ["'id'", "rows 9 and 602", "3 such"]),
    (infinite_value, ["'marker'", "3 of 600", "infinite", "row 12"]),
    (no_rows, ["people.csv", "no rows"]),
    (copy_of_the_label, ["'discharge_code'", "gives the label 'outcome' away"]),
    (the_label_as_a_feature, ["people.yaml", "'outcome'", "label and a feature"]),
    (missing_person, ["'id'", "1 of 600", "row 6"]),
    (unknown_schema_key, ["people.yaml", "'featurs'"]),
    (another_signature, ["'marker'", "champion"]),
    (a_group_without_gate_rows, ["'sex=x'", "gate"]),
]


@pytest.fixture
def refused(troth, served, quick):
    """A function that runs `troth run tabular` and returns its one sentence, having seen that nothing changed."""

    def run(*words: str) -> str:
        before = served.standing()
        said = troth("run", "tabular", *quick, *(() if "--policy" in words else ("--policy", "lenient")), *words)
        complaint = said.complaint
        assert served.standing() == before
        assert before.aliases == {"champion": "1"}
        assert served.champion().version == "1"
        return complaint

    return run


@pytest.mark.parametrize(("spoil", "named"), CASES, ids=[spoil.__name__ for spoil, _ in CASES])
def test_a_spoilt_table_or_schema_is_named(refused, files, people, people_schema, spoil, named):
    columns, schema = spoil(people(600), people_schema())

    complaint = refused(*files(columns, schema=schema))

    for words in named:
        assert words in complaint
    assert "p0-" not in complaint


# The others take a champion, or the division of persons, to be seen.
UNSEEN = (another_signature, a_group_without_gate_rows)


@pytest.mark.parametrize(("spoil", "named"), [case for case in CASES if case[0] not in UNSEEN])
def test_the_check_finds_what_a_run_refuses(troth, files, people, people_schema, spoil, named):
    columns, schema = spoil(people(600), people_schema())
    said = troth("data", "check", *files(columns, schema=schema)[1:])

    assert said.code == 2
    assert all(words in said.out + said.err for words in named if words != "3 such")
    assert "Traceback" not in said.out + said.err


def test_groups_that_a_policy_asks_for_and_a_schema_lacks(troth, served, files, people_schema, monkeypatch):
    words = files(schema={name: value for name, value in people_schema().items() if name != "groups"})
    assert "no group column" in troth("data", "check", *words[1:]).out
    monkeypatch.setenv("PREFECT_API_URL", f"{NOWHERE}/api")
    assert "no group column" in troth("run", "tabular", *words).complaint
    assert "no group column" in troth("run", "recheck", *words).complaint


def test_lines_that_end_in_cr_alone(troth, files):
    words = files()
    with open(words[1], "rb") as file:
        text = file.read()
    with open(words[1], "wb") as file:
        file.write(text.replace(b"\n", b"\r"))
    assert "CR alone" in troth("data", "check", *words[1:]).complaint


def test_an_empty_file(refused, files, tmp_path):
    words = files()
    (tmp_path / "people.csv").write_bytes(b"")

    assert "people.csv is empty" in refused(*words)


def test_a_truncated_parquet_file(refused, files, people, tmp_path):
    whole, cut = tmp_path / "whole.parquet", tmp_path / "cut.parquet"
    pq.write_table(people(600), whole)
    cut.write_bytes(whole.read_bytes()[:-200])
    _, _, *schema = files()

    assert "cut.parquet is not a whole Parquet file" in refused("--data", str(cut), *schema)


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"flip_bugdet": {"nfr": 0.1}}, "'flip_bugdet'"),
        ({"flip_budget": {"nfr": 0}}, "'flip_budget.nfr' is 0"),
        ({"flip_budget": {"nfr": 1.5}}, "'flip_budget.nfr' is 1.5"),
        ({"flip_budget": {"nfr": 0.001}, "minimum_rows": 100}, "0.001"),
        ({"groups": {"nfr": {"budget": 0.01}, "minimum_rows": 20}}, "groups.nfr.budget"),
        ({"not_worse": None}, "'not_worse' is empty"),
        ({"frames": {"not_worse": {}}}, "'frames'"),
    ],
)
def test_a_policy_that_cannot_be_meant(refused, files, tmp_path, document, named):
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump({"name": "wrong", **document}))

    complaint = refused(*files(), "--policy", str(path))

    assert "wrong" in complaint
    assert named in complaint


def test_a_policy_that_does_not_exist(refused, files):
    complaint = refused(*files(), "--policy", "lenientt")

    assert "'lenientt'" in complaint
    assert {"default", "lenient", "strict"} <= set(complaint.replace(",", "").split())


def test_a_tracking_server_that_does_not_answer(troth, served, files, quick, monkeypatch):
    before = served.standing()
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", NOWHERE)
        patch.delenv("MLFLOW_REGISTRY_URI")
        for words in (("run", "tabular", *files(), *quick), ("status",), ("predict", "people", "--data", "rows.csv")):
            assert NOWHERE in troth(*words).complaint

    assert served.standing() == before
    assert served.champion().version == "1"


def test_a_prefect_server_that_does_not_answer(troth, served, files, quick, monkeypatch):
    before = served.standing()
    with monkeypatch.context() as patch:
        patch.setenv("PREFECT_API_URL", f"{NOWHERE}/api")
        complaint = troth("run", "tabular", *files(), *quick).complaint

    assert f"{NOWHERE}/api" in complaint
    assert served.standing() == before


def test_a_recheck_of_the_wrong_table(troth, served, files, people, people_schema):
    columns, schema = another_signature(people(600), people_schema())
    complaint = troth("run", "recheck", *files(columns, schema=schema), "--policy", "lenient").complaint

    assert "'marker'" in complaint
    assert served.champion().version == "1"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--source", "rand"], ["'rand'", "rand_hie", "multiple_sclerosis"]),
        (["--mode", "poled"], ["poled", "pooled"]),
        (["--partition", "evn:3"], ["evn:3", "even:3"]),
        (["--partition", "even:x"], ["even:x", "'x'"]),
        (["--partition", "even:1"], ["even:1", "2"]),
        (["--partition", "nowhere.yaml"], ["nowhere.yaml", "does not exist"]),
        (["--partition", "by:hospital"], ["'hospital'"]),
        (["--set", "max_dept=3"], ["'max_dept'"]),
        (["--set", "max_depth"], ["max_depth", "'='"]),
        (["--set", "max_depth=deep"], ["'max_depth'", "'deep'"]),
        (["--set", "eta=7"], ["'eta'", "7"]),
        (["--years", "6"], ["--years 6", "1 to 5"]),
        (["--years", "3-1"], ["--years 3-1"]),
        (["--years", "one"], ["--years one"]),
        (["--years", ""], ["--years"]),
        (["--rows", "500"], ["--rows 500", "multiple_sclerosis"]),
        (["--source", "multiple_sclerosis", "--rows", "0"], ["'rows' is 0"]),
        (["--source", "multiple_sclerosis", "--years", "2"], ["--years 2", "rand_hie"]),
        (["--seed", "-1"], ["--seed"]),
        (["--rows", "many"], ["--rows"]),
        (["--golden", "nowhere.csv"], ["nowhere.csv"]),
        (["--data", "nowhere.csv"], ["--schema"]),
        (["--schema", "nowhere.yaml"], ["--data"]),
        (["--data", "nowhere.csv", "--schema", "nowhere.yaml"], ["nowhere.yaml", "does not exist"]),
        (["--data", "nowhere.csv", "--source", "rand_hie"], ["--data", "--source"]),
        (["--polices", "default"], ["--polices"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_word_that_means_nothing(refused, words, named):
    complaint = refused(*words)

    for word in named:
        assert word in complaint


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--golden", "nowhere.csv"], "nowhere.csv"),
        (["--golden", "people.csv"], "'default' has no golden_set"),
        (["--policy", "strict"], "'strict' asks for a golden set"),
        (["--model", "a/b"], "'a/b'"),
        (["--mode", "secret_shared", "--partition", "single"], "'single'"),
        (["--mode", "secret_shared"], "'single'"),
        (["--mode", "federated", "--partition", "vertical"], "vertical"),
        (["--select", "5"], "federated"),
        (["--cases", "0.1"], "--cases"),
        (["--mode", "federated", "--partition", "even:2", "--candidates", "warm_start"], "warm_start"),
        (["--candidates", "bland"], "'blend'"),
        (["--partition", "by:hospitl"], "'hospitl'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_can_be_seen_is_told_before_a_server_is_asked(troth, served, files, monkeypatch, words, named):
    monkeypatch.setenv("PREFECT_API_URL", f"{NOWHERE}/api")
    if "vertical" in words:
        complaint = troth("run", "tabular", *words).complaint
    else:
        complaint = troth("run", "tabular", *files(), *words).complaint
    assert named in complaint
    assert NOWHERE not in complaint


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--golden", "people.csv"], "'recheck' has no golden_set"),
        (["--policy", "strict"], "'strict' asks for a golden set"),
        (["--model", "a/b"], "'a/b'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_recheck_is_looked_at_before_a_server_is_asked_too(troth, served, files, monkeypatch, words, named):
    monkeypatch.setenv("PREFECT_API_URL", f"{NOWHERE}/api")
    complaint = troth("run", "recheck", *files(), *words).complaint
    assert named in complaint
    assert NOWHERE not in complaint


def test_columns_and_folders_are_looked_at_before_a_server_is_asked(troth, served, files, people, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", f"{NOWHERE}/api")
    words = files(people(50).drop_columns(["outcome"]))
    assert "'outcome'" in troth("run", "tabular", *words).complaint
    apart = ("--parties", "nowhere", "--mode", "secret_shared", *words[2:])
    assert "nowhere does not exist" in troth("run", "tabular", *apart).complaint


def test_a_file_that_is_no_table(refused, files, tmp_path):
    *_, schema = files()
    notes = tmp_path / "notes.txt"
    notes.write_text("a,b\n1,2\n")

    assert "notes.txt" in refused("--data", str(notes), "--schema", schema)
    assert "folder" in refused("--data", str(tmp_path), "--schema", schema)


def test_settings_that_make_no_sense(troth, served, monkeypatch, tmp_path):
    wrong = tmp_path / "mlflow.yaml"
    wrong.write_text("trackng: {}\n")
    monkeypatch.setenv("TROTH_CONFIG", str(wrong))

    complaint = troth("status").complaint

    assert "mlflow.yaml" in complaint
    assert "'trackng'" in complaint


def test_as_a_process_of_its_own(process, served, prefect_server, files, people, people_schema):
    columns, schema = text_among_numbers(people(600), people_schema())
    before = served.standing()
    words = ("run", "tabular", *files(columns, schema=schema), "--policy", "lenient")
    said = process(*words, PREFECT_API_URL=prefect_server)

    assert "'n/a?'" in said.complaint
    assert served.standing() == before


def test_nothing_is_left_where_nothing_was(troth, home, files, people, people_schema, quick, client):
    columns, schema = one_class(people(600), people_schema())
    assert "'outcome'" in troth("run", "tabular", *files(columns, schema=schema), *quick).complaint

    assert not client.search_registered_models()
    assert not list((home.root / "ledger").glob("*.jsonl"))


def test_a_champion_whose_files_are_gone_is_named(troth, served, files, quick):
    before = served.standing()
    model = next((served.home / "artifacts").rglob("MLmodel")).parent
    model.rename(model.with_name("elsewhere"))
    try:
        complaint = troth("run", "tabular", *files(seed=1), "--policy", "lenient", *quick).complaint
    finally:
        model.with_name("elsewhere").rename(model)

    assert "version 1 of model 'people'" in complaint
    assert served.standing() == before
