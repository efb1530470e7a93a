"""`troth data`: look at a table before anything is trained on it."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from components.data.finding import Finding
    from components.data.table import Table

app = typer.Typer(
    help="Look at a table before training: check it, draft its schema, export an example.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="The table, CSV or Parquet.")],
    schema: Annotated[Path | None, typer.Option(help="Its schema, YAML; `troth data schema` drafts one.")] = None,
    policy: Annotated[str, typer.Option(help="The policy that a model of it is to meet.")] = "default",
) -> None:
    """Say everything that is wrong with a table, and what would be right. Exit code 2 if anything is.

    **Examples**

    `troth data check visits.csv --schema visits.yaml`

    `troth data check visits.csv --schema visits.yaml --policy strict`
    """
    from components.data.reading import inspect_table, read_table
    from components.data.schema import read_schema
    from components.errors import InvalidInput
    from troth.terminal import console

    if schema is None:
        raise InvalidInput(
            f"a table is checked against its schema: give --schema FILE.yaml; 'troth data schema {file}' drafts one"
        )
    meaning = read_schema(schema)
    findings = inspect_table(file, meaning)
    if not any(finding.severity == "error" for finding in findings):
        findings += _prospects(read_table(file, meaning), policy)
    errors = [finding for finding in findings if finding.severity == "error"]
    for finding in sorted(findings, key=lambda one: one.severity):
        console.print(
            f"{finding.severity}: {finding.sentence}",
            markup=False,
            soft_wrap=True,
            style="red" if finding.severity == "error" else "yellow",
        )
    if errors:
        raise typer.Exit(2)
    chosen = "" if policy == "default" else f" --policy {policy}"
    console.print(
        f"{file}: nothing stands in the way of 'troth run tabular --data {file} --schema {schema}{chosen}'",
        markup=False,
        soft_wrap=True,
    )


@app.command()
def schema(
    file: Annotated[Path, typer.Argument(help="The table, CSV or Parquet.")],
    out: Annotated[Path | None, typer.Option(help="Where to write it; beside the table unless told.")] = None,
    label: Annotated[str | None, typer.Option(help="The label column, if you want it not guessed.")] = None,
    person: Annotated[str | None, typer.Option(help="The column that identifies a person.")] = None,
    time: Annotated[str | None, typer.Option(help="The time column.")] = None,
) -> None:
    """Draft a schema for a table: guesses from names, types and values, for you to correct.

    **Example**

    `troth data schema visits.csv --label readmitted --person patient`
    """
    from components.data.draft import draft_schema, write_draft
    from components.data.reading import read_columns
    from components.errors import InvalidInput
    from troth.destination import destination
    from troth.terminal import console

    out = destination(out or file.with_suffix(".yaml"))
    if out.exists():
        raise InvalidInput(f"{out} exists already; move it away or write elsewhere with --out")
    draft = draft_schema(read_columns(file), file.stem, label=label, person=person, time=time)
    write_draft(draft, out)
    for note in draft.notes:
        console.print(f"· {note}", markup=False, soft_wrap=True)
    console.print(
        f"wrote {out}; correct it, then: troth data check {file} --schema {out}", markup=False, soft_wrap=True
    )


@app.command()
def export(
    source: Annotated[str, typer.Argument(help="rand_hie or multiple_sclerosis.")],
    folder: Annotated[Path, typer.Option(help="Where the two files go.")] = Path("."),
    rows: Annotated[int | None, typer.Option(help="Rows to simulate for multiple_sclerosis.")] = None,
) -> None:
    """Write a source that comes with Troth as a CSV and its schema, as an example of how your own should look.

    **Example**

    `troth data export rand_hie --folder examples`
    """
    import pyarrow.csv

    from components.data.schema import write_schema
    from components.errors import InvalidInput
    from tasks.inputs import load
    from troth.arguments import source_of
    from troth.destination import folder_at
    from troth.terminal import console

    if source not in ("rand_hie", "multiple_sclerosis"):
        raise InvalidInput(f"source '{source}' does not exist; export rand_hie or multiple_sclerosis")
    if rows is not None and source != "multiple_sclerosis":
        raise InvalidInput(f"--rows {rows} goes with multiple_sclerosis, which is simulated; leave it out")
    folder_at(folder)
    table = load(source_of(source, None, None, None, rows))
    pyarrow.csv.write_csv(table.columns, folder / f"{source}.csv")
    write_schema(table.schema, folder / f"{source}.yaml")
    console.print(f"wrote {folder / source}.csv ({len(table):,} rows) and {folder / source}.yaml", markup=False)


def _prospects(table: "Table", name: str) -> Iterator["Finding"]:
    """What a run would make of a sound table: refuse its groups or the split, or find too few rows to judge by."""
    from components.data.finding import Finding
    from components.data.independence import one_row_per_person
    from components.data.split import SALT, split_table
    from components.errors import InvalidInput
    from tasks.policies import policy_for_tables, require_judgeable

    label, policy = table.schema.label.column, policy_for_tables(name)
    try:
        require_judgeable(policy, table.schema)
        gate = table.take(split_table(table, SALT).gate)
    except InvalidInput as refusal:
        yield Finding(label, None, str(refusal))
        return
    rows, wanted = len(one_row_per_person(gate)), policy.minimum_rows
    if rows < wanted:
        sentence = (
            f"the gate would judge by {rows} persons, and policy '{policy.name}' asks for {wanted}: it can hold or "
            f"reject a model of this table and never promote it; bring {wanted / rows:.1f} times as many persons, or "
            "choose a policy that asks for fewer (--policy)"
        )
        yield Finding(label, None, sentence, "warning")
