"""`troth ledger`: read and verify the record of who became champion, on what evidence."""

from typing import Annotated

import typer

app = typer.Typer(
    help="The promotion ledger: every decision, refusal and override, signed and chained.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

Model = Annotated[str | None, typer.Argument(help="A registered model; all of them when left out.")]


@app.command()
def verify(model: Model = None) -> None:
    """Check every entry's hash, signature and place, and the head kept in the registry. Exit code 2 on any finding.

    **Example**

    `troth ledger verify rand_hie`
    """
    from pathlib import Path
    from urllib.parse import unquote

    from troth.session import stores

    settings, client = stores()
    from tasks.promotion_ledger import examine
    from troth.terminal import console

    names = (
        [model] if model else sorted(unquote(path.stem) for path in Path(settings.registry.ledger.path).glob("*.jsonl"))
    )
    if not names:
        console.print("no model has a ledger yet; 'troth run tabular' starts one")
    findings = 0
    for name in names:
        seen = examine(client, settings, name)
        findings += len(seen.findings)
        for finding in seen.findings:
            console.print(
                f"{name}: entry {finding.sequence}: {finding.detail}", style="red", markup=False, soft_wrap=True
            )
        if not seen.findings:
            console.print(f"{name}: {len(seen.entries)} entries, all in place, signatures valid", markup=False)
    if findings:
        raise typer.Exit(2)


@app.command()
def show(
    model: Annotated[str, typer.Argument(help="A registered model.")],
    last: Annotated[int, typer.Option(min=1, help="How many entries, newest last.")] = 20,
) -> None:
    """Show the ledger's newest entries.

    **Example**

    `troth ledger show rand_hie --last 5`
    """
    from pathlib import Path

    from components.errors import InvalidInput
    from components.ledger import Ledger
    from tasks.settings import load_settings
    from troth.terminal import console

    entries = Ledger(Path(load_settings().registry.ledger.path), model).entries()
    if not entries:
        raise InvalidInput(f"model '{model}' has no entry in the promotion ledger; 'troth status' lists the models")
    for entry in entries[-last:]:
        versions = f"v{entry.version}" + (f" after v{entry.replaces}" if entry.replaces else "")
        console.print(
            f"{entry.sequence:>3}  {entry.time[:10]} {entry.time[11:19]} UTC  {entry.action:11}  {versions}  "
            f"{entry.verdict}  {entry.who}",
            markup=False,
            soft_wrap=True,
        )
        if why := entry.why or (entry.reasons[0] if entry.reasons else ""):
            console.print(f"     {why}", style="dim", markup=False, soft_wrap=True)
