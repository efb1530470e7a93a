"""What a command says when it is done: what was decided, why, and where to look."""

import os
import shlex
from collections.abc import Sequence
from urllib.parse import urlsplit

import typer
from rich.markup import escape
from rich.table import Table

from troth.terminal import console

STYLE = {"PROMOTE": "bold green", "HOLD": "bold yellow", "REJECT": "bold red"}


def show(outcome: dict) -> None:
    """The end of one `tabular` run."""
    decision = str(outcome["decision"])
    console.print()
    console.print(f"[{STYLE[decision]}]{decision}[/]  {_became(outcome)}")
    console.print(_because(outcome), markup=False, soft_wrap=True)
    if outcome["why"]:
        console.print(outcome["why"], markup=False, soft_wrap=True)
    show_next(outcome["model"])
    if outcome["action"] == "hold":
        model = shlex.quote(outcome["model"])
        console.print(
            f'decide     troth promote {model} --reason "…", after a look at the report', markup=False, soft_wrap=True
        )


def show_life(outcomes: Sequence[dict]) -> None:
    """The end of `troth run life`: a year, what it changed, and why it was decided so."""
    console.print()
    for outcome in outcomes:
        decision, figures = str(outcome["decision"]), outcome["figures"]
        before, after, flips = (_percent(figures.get(name)) for name in ("error_old", "error_new", "nfr"))
        console.print(
            f"v{outcome['version']:<3} [{STYLE[decision]}]{decision:8}[/] error {before:>8} → {after:>8}   "
            f"negative flips {flips:>7}   {_became(outcome)}",
            soft_wrap=True,
        )
        console.print(f"     {_because(outcome)}", style="dim", markup=False, soft_wrap=True)
    show_next(outcomes[-1]["model"])


def show_recheck(outcome: dict) -> None:
    """The end of a re-check; exit code 3 where the champion breaks a promise."""
    decision = str(outcome["decision"])
    console.print()
    words = {"PROMOTE": "KEEPS ITS WORD", "HOLD": "UNCERTAIN", "REJECT": "BROKEN PROMISE"}
    console.print(
        f"[{STYLE[decision]}]{words[decision]}[/]  champion v{outcome['version']} of {escape(outcome['model'])} on "
        f"{outcome['rows']:,} rows: {escape('; '.join(outcome['reasons']))}",
        soft_wrap=True,
    )
    if decision == "REJECT":
        model = shlex.quote(outcome["model"])
        console.print(
            "It stays until somebody decides: train its successor (troth run tabular), or go back to the one before, "
            f"if there was one (troth rollback {model} --reason …)",
            markup=False,
            soft_wrap=True,
        )
        raise typer.Exit(3)


def show_change(model: str, outcome) -> None:
    """The end of a promotion by hand or a rollback."""
    if not outcome.changed:
        console.print(f"nothing to do: version {outcome.champion} is champion of {model} already", markup=False)
        return
    before = f" (was version {outcome.replaced})" if outcome.replaced else ""
    console.print(
        f"version {outcome.champion} is champion of {model} now{before}; ledger entry {outcome.sequence}", markup=False
    )


def show_status(models: Sequence, runs: Sequence) -> None:
    """`troth status`: champions, ledgers, newest runs."""
    if not models and not runs:
        console.print("nothing has run yet; try 'troth run life' or 'troth run tabular'", markup=False)
        return
    table = Table("model", "champion", "challenger", "previous", "ledger", box=None, padding=(0, 2, 0, 0))
    for one in models:
        state = f"[red]{escape(one.trouble)}[/]" if one.trouble else f"{one.entries} entries, sound"
        table.add_row(escape(one.name), _version(one.champion), _version(one.challenger), _version(one.previous), state)
    console.print(table)
    console.print()
    columns = ("run", "began (UTC)", "name", "ended", "error", "NFR")
    table = Table(*columns, box=None, padding=(0, 2, 0, 0), collapse_padding=True)
    for column in table.columns[:2] + table.columns[3:]:
        column.no_wrap = True
    for run in runs:
        table.add_row(
            run.run_id[:8],
            f"{run.started:%Y-%m-%d %H:%M}",
            escape(run.name),
            _ended(run),
            _percent(run.error),
            _percent(run.nfr),
        )
    console.print(table)
    if refused := [run for run in runs if run.refused]:
        console.print("\nwhy runs were refused")
    for run in refused:
        console.print(f"{run.run_id[:8]}  {run.refused}", style="dim", markup=False, soft_wrap=True)


def show_next(model: str) -> None:
    """Where to look."""
    from tasks.settings import load_settings

    server = load_settings().server
    prefect, mlflow = (f"http://{server.host}:{port}" for port in (server.prefect_port, server.mlflow_port))
    look = f"troth up   (then Prefect is at {prefect}, MLflow at {mlflow})"
    used = urlsplit(os.environ.get("PREFECT_API_URL", ""))
    if used.hostname and used.port != server.prefect_port:
        look = f"Prefect at {used.scheme}://{used.netloc.rpartition('@')[2]};  troth up   (then MLflow is at {mlflow})"
    console.print()
    console.print("report     troth report", markup=False)
    console.print(f"look       {look}", markup=False, soft_wrap=True)
    console.print(
        f"registry   troth status;  troth ledger show {shlex.quote(model)};  troth ledger verify",
        markup=False,
        soft_wrap=True,
    )


def _ended(run) -> str:
    """How a run ended; the verdict on a candidate that was not promoted after all is no word about the registry."""
    verdict = f"[{STYLE[run.verdict]}]{run.verdict}[/]" if run.verdict in STYLE else run.status.lower()
    if run.is_stale:
        return f"{run.verdict} {_version(run.version)}, but stale"
    return f"{verdict} {_version(run.version)}" if run.version else verdict


def _because(outcome: dict) -> str:
    """The reason that decided, and how many more there are."""
    others = f" (and {outcome['others']} more)" if outcome["others"] else ""
    return outcome["because"] + others


def _became(outcome: dict) -> str:
    version, champion = outcome["version"], outcome["champion"]
    match outcome["action"]:
        case "promoted":
            word = "" if outcome["decision"] == "PROMOTE" else " by a person's word"
            return (
                f"champion{word}, after v{outcome['replaced']}" if outcome["replaced"] else f"the first champion{word}"
            )
        case "hold":
            return f"challenger; v{champion} stays" if champion else "challenger; there is no champion yet"
        case "reject":
            return f"refused; v{champion} stays" if champion else "refused; there is no champion yet"
        case _:
            return f"v{version} not promoted: v{champion} became champion meanwhile"


def _version(version: str | None) -> str:
    return f"v{version}" if version else "–"


def _percent(share: float | None) -> str:
    from components.gates.reasons import percent

    return "–" if share is None else percent(share)
