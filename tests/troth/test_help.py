"""Help that answers at once: every command has an example, and none of it waits for the heavy libraries."""

import json

import pytest
import typer

from troth.app import app

HEAVY = ("prefect", "mlflow", "xgboost", "pandas", "matplotlib", "pyarrow", "numpy")
ALL_HELP = f"""
import contextlib, io, json, sys
from troth.app import main

def ask(words):
    sys.argv = ["troth", *words]
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        try:
            main()
        except SystemExit as end:
            code = end.code
    return [code, out.getvalue()]

said = {{" ".join(words): ask(words) for words in json.loads(sys.stdin.read())}}
print(json.dumps({{"said": said, "heavy": [name for name in {HEAVY} if name in sys.modules]}}))
"""


def commands(group=None, words=()) -> list[tuple[str, ...]]:
    """Every command and group there is, as it is typed."""
    group = group or typer.main.get_command(app)
    found = [words]
    for name, command in group.commands.items():
        below = (*words, name)
        found += commands(command, below) if hasattr(command, "commands") else [below]
    return found


@pytest.fixture(scope="module")
def helped():
    import subprocess
    import sys

    asked = json.dumps([[*words, "--help"] for words in commands()])
    done = subprocess.run([sys.executable, "-c", ALL_HELP], input=asked, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_help(helped, words):
    code, text = helped["said"][" ".join([*words, "--help"])]

    assert code == 0
    assert "Usage:" in text
    is_group = words in {(), ("run",), ("data",), ("ledger",), ("parties",), ("keys",)}
    assert is_group or " ".join(["troth", *words]) in text.split("Example", 1)[1]


def test_help_imports_nothing_heavy(helped):
    assert helped["heavy"] == []


def test_help_as_a_process_of_its_own(process):
    said = process("--help")

    assert said.code == 0
    assert {"run", "status", "report", "promote", "rollback", "up", "data"} <= set(said.out.replace("│", " ").split())


def test_a_command_that_does_not_exist_is_one_sentence(troth):
    assert "'runn'" in troth("runn").complaint
    assert "troth data --help" in troth("data", "chek").complaint
    assert "promote" in troth("promote").complaint


def test_the_version(troth):
    assert troth("--version").out.startswith("troth ")
