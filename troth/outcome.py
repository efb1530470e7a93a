"""What a command says when it is done: what was decided, why, and where to look."""

from collections.abc import Sequence

import typer
from rich.table import Table

from troth.terminal import console

STYLE = {"PROMOTE": "bold green", "HOLD": "bold yellow", "REJECT": "bold red"}


def show(outcome: dict) -> None:
    """The end of one `tabular` run."""
    decision = str(outcome["decision"])
    console.print()
    console.print(f"[{STYLE[decision]}]{decision}[/]  {_became(outcome)}")
    if outcome["why"]:
        console.print(outcome["why"], markup=False)
    show_next()


def show_life(outcomes: Sequence[dict]) -> None:
    """The end of `troth run life`: one line a year."""
    table = Table(
        "version", "error before", "after", "flips", "verdict", "became", "because", box=None, padding=(0, 2, 0, 0)
    )
    for outcome in outcomes:
        decision, figures = str(outcome["decision"]), outcome["figures"]
        table.add_row(
            f"v{outcome['version']}",
            _percent(figures.get("error_old")),
            _percent(figures["error_new"]),
            _percent(figures.get("nfr")),
            f"[{STYLE[decision]}]{decision}[/]",
            _became(outcome),
            outcome["because"],
        )
    console.print()
    console.print(table)
    show_next()


def show_recheck(outcome: dict) -> None:
    """The end of a re-check; exit code 3 where the champion breaks a promise."""
    decision = str(outcome["decision"])
    console.print()
    console.print(
        f"[{STYLE[decision]}]{decision}[/]  champion v{outcome['version']} of {outcome['model']} on "
        f"{outcome['rows']:,} fresh rows: {outcome['reasons'][0]}"
    )
    if decision == "REJECT":
        console.print(f"It stays until somebody decides: troth rollback {outcome['model']} --reason …", markup=False)
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
        state = f"[red]{one.trouble}[/]" if one.trouble else f"{one.entries} entries, sound"
        table.add_row(one.name, _version(one.champion), _version(one.challenger), _version(one.previous), state)
    console.print(table)
    console.print()
    table = Table(
        "run", "started (UTC)", "name", "status", "verdict", "version", "error", "NFR", box=None, padding=(0, 2, 0, 0)
    )
    for run in runs:
        verdict = f"[{STYLE[run.verdict]}]{run.verdict}[/]" if run.verdict in STYLE else ""
        table.add_row(
            run.run_id[:8],
            f"{run.started:%Y-%m-%d %H:%M}",
            run.name,
            run.status.lower(),
            verdict,
            _version(run.version or None),
            _percent(run.error),
            _percent(run.nfr),
        )
    console.print(table)


def show_next() -> None:
    """Where to look."""
    console.print()
    console.print("report     troth report")
    console.print("look       troth up   [dim](Prefect http://127.0.0.1:4200, MLflow http://127.0.0.1:5000)[/]")
    console.print("registry   troth status;  troth ledger show MODEL;  troth ledger verify")


def _became(outcome: dict) -> str:
    version, champion = outcome["version"], outcome["champion"]
    match outcome["action"]:
        case "promoted":
            return f"champion, after v{outcome['replaced']}" if outcome["replaced"] else "the first champion"
        case "hold":
            return f"challenger; v{champion} stays" if champion else "challenger; there is no champion yet"
        case "reject":
            return f"refused; v{champion} stays" if champion else "refused; there is no champion yet"
        case _:
            return f"v{version} not promoted: v{champion} became champion meanwhile"


def _version(version: str | None) -> str:
    return f"v{version}" if version else "–"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.2f} %"
