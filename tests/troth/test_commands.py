"""The commands around a run: tables looked at beforehand, and what a person may say about a model afterwards."""

import io
import os
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.csv
import pytest
import yaml


def aliases(client) -> dict[str, str]:
    return {alias: str(version) for alias, version in client.get_registered_model("people").aliases.items()}


def test_a_hand_moved_alias_is_refused(troth, lived, files, policy, quick, people):
    client = lived.client()
    pyarrow.csv.write_csv(people(20, seed=9), "rows.csv")
    client.set_registered_model_alias("people", "champion", "2")
    try:
        for words in (
            ("predict", "people", "--data", "rows.csv"),
            ("run", "tabular", *files(seed=3), "--policy", policy(), *quick),
            ("run", "recheck", *files(seed=3), "--policy", policy()),
        ):
            complaint = troth(*words).complaint
            assert "'champion'" in complaint
            assert "moved" in complaint
        assert "moved it" in " ".join(troth("status").out.split())
        assert len(client.search_model_versions("name = 'people'")) == 2
    finally:
        client.set_registered_model_alias("people", "champion", "1")

    assert troth("predict", "people", "--data", "rows.csv").code == 0


def test_a_ledger_with_a_changed_word_is_named(troth, lived, people):
    path = lived.home / "ledger" / "people.jsonl"
    sound = path.read_bytes()
    path.write_bytes(sound.replace(b'"people"', b'"peopel"', 1))
    pyarrow.csv.write_csv(people(20, seed=9), "rows.csv")

    verified = troth("ledger", "verify")
    assert verified.code == 2
    assert "entry 1" in verified.out
    assert "entry 1" in troth("predict", "people", "--data", "rows.csv").complaint
    assert "entry 1" in troth("promote", "people", "--reason", "why not").complaint
    assert troth("status").code == 0
    path.write_bytes(sound)


def test_a_person_overrules_the_gate_and_takes_it_back(troth, lived):
    client = lived.client()
    assert "reason" in troth("promote", "people").complaint
    assert "no version 7" in troth("promote", "people", 7, "--reason", "why not").complaint
    assert "'nobody'" in troth("promote", "nobody", "--reason", "why not").complaint
    assert "reason" in troth("rollback", "people").complaint
    assert "to roll back to" in troth("rollback", "people", "--reason", "alerts doubled").complaint
    assert "'nobody'" in troth("rollback", "nobody", "--reason", "alerts doubled").complaint
    assert aliases(client) == {"champion": "1", "challenger": "2"}

    promoted = troth("promote", "people", "--reason", "reviewed with the clinic")
    assert promoted.code == 0
    assert "version 2 is champion of people now" in promoted.out
    assert aliases(client) == {"champion": "2", "previous": "1"}
    assert "no challenger" in troth("promote", "people", "--reason", "again").complaint
    assert "nothing to do" in troth("promote", "people", "v2", "--reason", "again").out

    assert troth("rollback", "people", "--reason", "alerts doubled").code == 0
    assert aliases(client)["champion"] == "1"
    client.set_registered_model_alias("people", "champion", "2")
    assert troth("promote", "people", 1, "--reason", "put back what the ledger says").code == 0
    assert aliases(client)["champion"] == "1"

    shown = troth("ledger", "show", "people", "--last", 5).out
    assert "rolled_back" in shown
    verified = troth("ledger", "verify", "people")
    assert verified.code == 0
    assert "all in place" in verified.out
    assert "'nobody'" in troth("ledger", "show", "nobody").complaint
    assert "'nobody'" in troth("ledger", "verify", "nobody").complaint


def test_predict(troth, served, people):
    rows = people(30, seed=9)
    pyarrow.csv.write_csv(rows, "rows.csv")
    pyarrow.csv.write_csv(rows.drop_columns(["marker", "outcome"]), "narrow.csv")
    pyarrow.csv.write_csv(rows.set_column(1, "dose", [["high"] * 30]), "words.csv")

    printed = pd.read_csv(io.StringIO(troth("predict", "people", "--data", "rows.csv").out))
    assert list(printed.columns) == ["id", "score"]
    expected = served.champion().predict(rows.to_pandas())
    np.testing.assert_allclose(printed["score"], expected, rtol=1e-6)
    assert troth("predict", "models:/people/1", "--data", "rows.csv", "--out", "new/scores.csv").code == 0
    np.testing.assert_allclose(pd.read_csv("new/scores.csv")["score"], expected, rtol=1e-6)

    pyarrow.csv.write_csv(rows.slice(0, 0), "empty.csv")
    pyarrow.csv.write_csv(rows.set_column(3, "site", [["north"] * 28 + ["moon"] * 2]), "moon.csv")
    said = troth("predict", "people", "--data", "moon.csv")
    assert said.code == 0
    assert "'site': 2 of 30 rows" in said.err
    assert "'moon'" in said.err

    for words, named in (
        (("people", "--data", "narrow.csv"), "'marker'"),
        (("people", "--data", "empty.csv"), "no rows"),
        (("peple", "--data", "rows.csv"), "did you mean 'people'"),
        (("people", "--data", "words.csv"), "'dose'"),
        (("people", "--data", "nowhere.csv"), "nowhere.csv"),
        (("people", "--data", "rows.csv", "--out", "new"), "new is a folder"),
        (("nobody", "--data", "rows.csv"), "'nobody'"),
        (("models:/people/9", "--data", "rows.csv"), "version 9"),
        (("models:/people@best", "--data", "rows.csv"), "'best'"),
        (("models:people", "--data", "rows.csv"), "models:people"),
    ):
        assert named in troth("predict", *words).complaint


@pytest.mark.slow
def test_predict_reads_codes_as_training_did(troth, home, people, people_schema, files, policy, quick):
    """A category written 007 is no number, in a file to score as little as in one to train on."""
    schema = people_schema()
    schema["features"]["site"] = {"kind": "categorical", "categories": ["007", "7"]}

    def coded(columns):
        codes = {"north": "007", "south": "7"}
        return columns.set_column(3, "site", [[codes[site] for site in columns["site"].to_pylist()]])

    assert troth("run", "tabular", *files(coded(people()), schema=schema), "--policy", policy(), *quick).code == 0
    rows = coded(people(50, seed=9))
    pyarrow.csv.write_csv(rows, "rows.csv")
    said = troth("predict", "people", "--data", "rows.csv")

    from tasks.loader import load

    expected = load("models:/people@champion", home).predict(rows.to_pandas())
    np.testing.assert_allclose(pd.read_csv(io.StringIO(said.out))["score"], expected, rtol=1e-6)


def test_report(troth, served):
    said = troth("report", "--out", "pages/last.html")
    assert said.code == 0
    assert "<html" in Path("pages/last.html").read_text()

    assert "ffffff" in troth("report", "ffffff").complaint
    assert "pages is a folder" in troth("report", "--out", "pages").complaint


def test_before_anything_ran(troth, home):
    assert "nothing has run yet" in troth("status").out
    assert "no finished run" in troth("report").complaint
    assert "no model has a ledger" in troth("ledger", "verify").out
    assert "'people'" in troth("promote", "people", "--reason", "why not").complaint


def test_a_home_that_does_not_exist_yet(troth, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)
    monkeypatch.setenv("TROTH_HOME", str(tmp_path / "far" / "away"))
    # The command sets these for the libraries; the test puts back what was there.
    monkeypatch.setattr("tasks.environment.os.environ", dict(os.environ))
    said = troth("status")

    assert said.code == 0
    assert said.err == ""


def test_status_names_the_champion_and_the_runs(troth, served):
    said = troth("status", "--runs", 100).out

    assert "people" in said
    assert "v1" in said
    assert "sound" in said
    assert "PROMOTE" in said


def test_from_a_table_to_a_champion_by_the_draft(troth, home, people, quick):
    pyarrow.csv.write_csv(people(2000), "visits.csv")

    drafted = troth("data", "schema", "visits.csv")
    assert drafted.code == 0
    assert yaml.safe_load(Path("visits.yaml").read_text())["label"]["column"] == "outcome"
    assert "visits.yaml exists" in troth("data", "schema", "visits.csv").complaint
    checked = troth("data", "check", "visits.csv", "--schema", "visits.yaml")
    assert checked.code == 0, checked.out
    ran = troth("run", "tabular", "--data", "visits.csv", "--schema", "visits.yaml", "--policy", "lenient", *quick)
    assert ran.code == 0, ran.err


def test_a_table_too_small_to_promote_a_model_from_is_told(troth, files):
    small = troth("data", "check", *files()[1:])
    assert small.code == 0, small.out
    assert "asks for 500" in small.out
    assert "warning" not in troth("data", "check", *files(count=2000)[1:]).out


def test_what_a_run_would_refuse_is_refused_by_the_check(troth, files, people):
    """One of 1200 people is of a third sex, and falls into the gate part or not: nobody could say anything of them."""
    columns = people(1200)
    sexes = columns["sex"].to_pylist()
    for row in range(1200):
        said = troth(
            "data", "check", *files(columns.set_column(4, "sex", [[*sexes[:row], "x", *sexes[row + 1 :]]]))[1:]
        )
        if said.code:
            break
    assert "'sex=x'" in said.out


def test_models_under_other_names_are_trained_held_and_rechecked(troth, home, client, files, policy, quick):
    """A HOLD ends with the words that would promote it: they name the model, and run as they stand."""
    named = ("--model", "of the north")
    held = troth("run", "tabular", *files(), "--policy", policy(minimum_rows=100_000), *quick, *named)
    assert (held.code, "HOLD" in held.out) == (0, True), held.err
    assert "troth ledger show 'of the north'" in held.out
    (line,) = [line for line in held.out.splitlines() if "troth promote" in line]
    words = shlex.split(line[line.index("troth promote") :].partition(",")[0])[1:]
    assert troth(*words).code == 0
    assert [one.name for one in client.search_registered_models()] == ["of the north"]

    fresh = (*files(seed=7), "--policy", policy())
    assert "'people' has no champion" in troth("run", "recheck", *fresh).out
    kept = troth("run", "recheck", *fresh, *named)
    assert (kept.code, "champion v1 of of the north" in kept.out) == (0, True), kept.err


def test_recheck_before_there_is_a_champion(troth, home, files, policy):
    said = troth("run", "recheck", *files(), "--policy", policy())
    assert (said.code, said.err) == (0, "")
    assert "'people' has no champion" in said.out
    assert troth("status").out.endswith("nothing has run yet; try 'troth run life' or 'troth run tabular'\n")


def test_a_plan_that_makes_no_sense(troth, home):
    for plan, named in {"even:0": "at least 2", "even:x": "a whole number", "label_skew:3:0": "above 0"}.items():
        complaint = troth("run", "tabular", "--partition", plan).complaint
        assert f"--partition {plan}" in complaint
        assert named in complaint


def test_a_draft_of_what_cannot_be_drafted(troth, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "empty.csv": "",
        "header.csv": "id,dose,outcome\n",
        "one.csv": "id\n1\n2\n",
        "ragged.csv": "id,a\n1,2\n3,4,5\n",
    }.items():
        (tmp_path / name).write_text(text)
        assert troth("data", "schema", name).complaint
    (tmp_path / "fine.csv").write_text("id,dose,outcome\n1,2,0\n2,3,1\n")
    misspelt = troth("data", "schema", "fine.csv", "--label", "outcom").complaint
    assert "--label" in misspelt
    assert "did you mean 'outcome'" in misspelt
    assert "a folder" in troth("data", "schema", "fine.csv", "--out", ".").complaint
    assert not list(tmp_path.glob("*.yaml"))


@pytest.mark.parametrize("source", ["rand_hie", "multiple_sclerosis"])
def test_an_exported_source_passes_its_check(troth, tmp_path, source):
    rows = ("--rows", 2000) if source == "multiple_sclerosis" else ()
    assert troth("data", "export", source, "--folder", tmp_path / "out", *rows).code == 0
    table, schema = tmp_path / "out" / f"{source}.csv", tmp_path / "out" / f"{source}.yaml"
    checked = troth("data", "check", table, "--schema", schema)

    assert checked.code == 0, checked.out
    assert "error" not in checked.out


def test_an_export_that_makes_no_sense(troth, tmp_path):
    (tmp_path / "file").write_text("")

    assert "'rand'" in troth("data", "export", "rand", "--folder", tmp_path).complaint
    assert "--rows" in troth("data", "export", "rand_hie", "--rows", 5, "--folder", tmp_path).complaint
    assert "no folder" in troth("data", "export", "rand_hie", "--folder", tmp_path / "file").complaint
