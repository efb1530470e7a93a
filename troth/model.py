"""`troth status`, `report`, `promote`, `rollback`, `predict`: what is in the registry, and a person's word about it."""

from pathlib import Path
from typing import Annotated

import typer

Name = Annotated[str, typer.Argument(help="A registered model, such as rand_hie.")]
Reason = Annotated[str, typer.Option(help="Why; it becomes part of the ledger.")]


def status(runs: Annotated[int, typer.Option(min=1, help="How many of the newest runs to show.")] = 8) -> None:
    """Show the registry's champions, the state of their ledgers, and the newest runs.

    **Example**

    `troth status --runs 20`
    """
    from troth.session import stores

    settings, client = stores()
    from tasks import overview
    from tasks.tracking import client_of
    from troth.outcome import show_status
    from troth.published import show_encrypted
    from troth.terminal import console

    console.print(f"home {settings.root}", style="dim", markup=False, soft_wrap=True)
    show_status(overview.models(client, settings), overview.runs(client, settings, most=runs))
    show_encrypted(overview.encrypted(client_of(settings.published), settings))


def report(
    run: Annotated[str, typer.Argument(help="A run's id (or its beginning), or 'last'.")] = "last",
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("report.html"),
) -> None:
    """Write the report of a run as one self-contained HTML page.

    **Examples**

    `troth report` — the newest run, into report.html

    `troth report 2f54709c --out update.html`
    """
    from troth.destination import destination
    from troth.session import stores

    destination(out)
    settings, client = stores()
    from components.reporting import render_report
    from tasks.report import compose, find_run, references_of
    from troth.terminal import console

    found = find_run(client, settings, run)
    page = render_report(compose(client, settings, references_of(client, found)))
    out.write_text(page)
    console.print(f"wrote {out} ({len(page) // 1024:,} KiB), the report of run {found[:8]}", markup=False)


def promote(
    model: Name,
    version: Annotated[str | None, typer.Argument(help="A version; the challenger when left out.")] = None,
    reason: Reason = "",
) -> None:
    """Make a version champion against the gate's verdict, on your word, and publish it for whom it is meant.

    **Example**

    `troth promote rand_hie --reason "reviewed 40 flips with the clinic, all acceptable"`
    """
    from troth.session import stores

    settings, client = stores()
    from components.errors import InvalidInput
    from tasks.promotion import promote_by_hand
    from troth.outcome import show_change
    from troth.published import republish

    if version is None:
        version = _at(client, settings, model, settings.registry.aliases.challenger)
        if version is None:
            raise InvalidInput(
                f"model '{model}' has no challenger; name the version: troth promote {model} VERSION --reason …"
            )
    outcome = promote_by_hand(client, settings, name=model, version=version.removeprefix("v"), why=reason)
    show_change(model, outcome)
    republish(client, settings, model, outcome.champion)


def rollback(model: Name, reason: Reason = "") -> None:
    """Give the champion's place back to the version it replaced; who asks encrypted models asks that one again.

    **Example**

    `troth rollback rand_hie --reason "alerts doubled in ward 3 since the update"`
    """
    from troth.session import stores

    settings, client = stores()
    from tasks.promotion import rollback as roll_back
    from tasks.promotion_ledger import examine
    from troth.outcome import show_change
    from troth.published import republish

    # Named, so that a command given twice does not go two versions back.
    leaving = examine(client, settings, model).standing.champion
    outcome = roll_back(client, settings, name=model, why=reason, leaving=leaving)
    show_change(model, outcome)
    republish(client, settings, model, outcome.champion)


def predict(
    model: Annotated[str, typer.Argument(help="A model's address, or its name for its champion.")],
    data: Annotated[
        Path, typer.Option(help="Rows in the schema's columns, CSV or Parquet; texts, JSONL or CSV with `utterance`.")
    ],
    out: Annotated[Path | None, typer.Option(help="CSV to write; the terminal when left out.")] = None,
    encrypted: Annotated[bool, typer.Option("--encrypted", help="Ask a server that sees neither.")] = False,
    keys: Annotated[Path | None, typer.Option(help="With --encrypted: the folder of your keys and grant.")] = None,
    server: Annotated[str | None, typer.Option(help="With --encrypted: where models are served.")] = None,
    authority: Annotated[Path | None, typer.Option(help="PEM file that vouches for the server.")] = None,
) -> None:
    """Score rows, or answer texts, with a model from the registry; a champion nothing vouches for is refused.

    With --encrypted neither registry nor model is needed here: rows are encrypted, a server answers, answers are read.

    **Examples**

    `troth predict rand_hie --data visits.csv --out scores.csv`

    `troth predict models:/rand_hie/3 --data visits.parquet`

    `troth predict home_commands --data requests.jsonl` — intent, score and slots of each text

    `troth predict rand_hie --encrypted --keys ada --server https://models.example.org --data visits.csv`
    """
    from troth.destination import destination

    if out is not None:
        destination(out)
    if encrypted:
        from troth.encrypted import scores_of

        _write(*scores_of(model, data, keys=keys, server=server, authority=authority), out)
    else:
        _plain(model, data, keys, server, out)


def _plain(model: str, data: Path, keys: Path | None, server: str | None, out: Path | None) -> None:
    from components.errors import InvalidInput
    from troth.session import stores

    for option, given in (("--keys", keys), ("--server", server)):
        if given is not None:
            raise InvalidInput(f"{option} {given} goes with --encrypted; add it, or leave {option} out")
    settings, _ = stores()
    from tasks.loader import LoadedModel, load

    address = model if model.startswith("models:/") else f"models:/{model}@{settings.registry.aliases.champion}"
    loaded = load(address, settings)
    if isinstance(loaded, LoadedModel):
        from components.data.frame import features_of, unfamiliar
        from components.data.reading import read_rows
        from troth.terminal import errors

        rows = read_rows(data, loaded.schema).to_pandas()
        for sentence in unfamiliar(features_of(rows, loaded.schema, model=loaded.name)):
            errors.print(f"warning: {sentence}", style="yellow", markup=False, soft_wrap=True)
        _write(loaded.schema, rows, loaded.predict(rows), out)
    else:
        from components.data.texts.own import read_utterances

        _write_answers(loaded.answer(read_utterances(data)), out)


def _write_answers(answers, out: Path | None) -> None:
    import json
    import sys

    answers["slots"] = [json.dumps(slots, ensure_ascii=False) for slots in answers["slots"]]
    answers.index = range(1, len(answers) + 1)
    answers[["intent", "score", "slots"]].to_csv(out or sys.stdout, index_label="row")


def _write(schema, rows, scores, out: Path | None) -> None:
    import sys

    import pandas as pd

    names = ["score"] if scores.ndim == 1 else [f"score_{name}" for name in schema.classes]
    table = pd.DataFrame(scores.reshape(len(rows), -1), columns=names)
    # What identifies a row, so that scores find their way back.
    for place, key in enumerate(key for key in schema.keys if key in rows):
        table.insert(place, key, rows[key])
    table.to_csv(out or sys.stdout, index=False)


def _at(client, settings, model: str, alias: str) -> str | None:
    from tasks.promotion_ledger import registered_model

    found = registered_model(client, model).aliases.get(alias)
    return None if found is None else str(found)
