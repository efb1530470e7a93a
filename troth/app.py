"""`troth`, the console script: commands, their examples, and what they say when something is wrong.

Only typer is imported here; every command imports what it needs when it runs, so that `troth --help` answers at once.
A mistake of the user ends in one sentence and exit code 2; anything unexpected leaves a traceback in a file, says
where, and exits with 1.
"""

import sys
from typing import Annotated

import typer

from troth import data, keys, language, ledger, model, page, parties, published, run, serve, server

INTERRUPTED = 130
"""The exit code of what Ctrl-C ended, as shells have it."""

app = typer.Typer(
    name="troth",
    help="Train models on data nobody may pool, and let one into production only when it keeps its word.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(run.app, name="run")
app.add_typer(data.app, name="data")
app.add_typer(ledger.app, name="ledger")
app.add_typer(parties.app, name="parties")
app.add_typer(keys.app, name="keys")
app.command()(model.status)
app.command()(model.report)
app.command()(model.promote)
app.command()(model.rollback)
app.command()(model.predict)
app.command()(published.publish)
app.command()(serve.serve)
app.command()(page.page)
app.command()(language.budget)
app.command()(server.up)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.", is_eager=True)] = False,
) -> None:
    if version:
        from importlib.metadata import version as of

        typer.echo(f"troth {of('troth')}")
        raise typer.Exit


def main() -> None:
    """Run the command line; the only place that turns an exception into an exit code."""
    try:
        code = app(standalone_mode=False)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception as error:
        from troth.failures import explain

        sentence, code = explain(error, goes_on=sys.argv[1:2] == ["run"])
        if sentence:
            typer.echo(f"error: {sentence}", err=True)
    if code == INTERRUPTED:
        goes_on = "; a run that was begun is continued by the same command" if sys.argv[1:2] == ["run"] else ""
        typer.echo(f"interrupted{goes_on}", err=True)
    sys.exit(code)
