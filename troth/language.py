"""`troth run language` and `troth budget`: private training of language models from a shell."""

from pathlib import Path
from typing import Annotated

import typer

from troth.run import PolicyName
from troth.run import app as run_app


@run_app.command()
def language(
    source: Annotated[
        str | None, typer.Option("--source", help="home_commands (the default), snips:FOLDER or clinc:FOLDER.")
    ] = None,
    data: Annotated[Path | None, typer.Option("--data", help="Your own texts, JSONL or CSV.")] = None,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", help="JSON of all intents and slots of your texts; public then."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", help="What the data set is called, by which its budget is kept; empty: after the file."),
    ] = None,
    utterances: Annotated[int | None, typer.Option(help="Commands to draw for home_commands.")] = None,
    languages: Annotated[str | None, typer.Option(help="Languages, such as en,de,fr.")] = None,
    network: Annotated[
        str, typer.Option(help="frozen (heads over a published encoder), adapted, bilstm or transformer.")
    ] = "frozen",
    mode: Annotated[str, typer.Option(help="private, or plain, which promises nothing.")] = "private",
    epsilon: Annotated[float, typer.Option(help="What this run may spend.")] = 8.0,
    delta: Annotated[float, typer.Option(help="Below one over the number of units.")] = 1e-5,
    unit: Annotated[str, typer.Option(help="Whom the promise is given to: utterance or user.")] = "utterance",
    budget: Annotated[
        float, typer.Option(help="What all runs on this data set may spend together; the first run sets it for good.")
    ] = 40.0,
    privatise: Annotated[
        str | None,
        typer.Option(help="Make training texts private one by one first: words:8 (a word) or rewriting:200."),
    ] = None,
    policy: PolicyName = "language",
    seed: Annotated[
        int, typer.Option(min=0, max=2**32 - 1, help="Seed of weights, canaries and pools; never of noise or masks.")
    ] = 0,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="A parameter by its section, such as --set learning.epochs=20, network.hidden=128, "
            "privacy.clipping=flat, audits.references=4 or candidates.distilled=[{}]; repeatable.",
        ),
    ] = None,
    ask: Annotated[bool, typer.Option(help="On HOLD wait for a person in the Prefect UI.")] = False,
) -> None:
    """Train a language model privately, attack it, judge it, and register and promote it.

    A run that failed half-way is continued by the same command, and pays once.

    **Examples**

    `troth run language` — commands to a home in eight languages, with everything at its default

    `troth run language --epsilon 3 --network bilstm --set learning.epochs=20`

    `troth run language --data requests.jsonl --labels labels.json --unit user --budget 20`

    `troth run language --source snips:corpora/snips --set audits.references=4`
    """
    from flows.language import language as flow
    from tasks.language.policy import require_judgeable_texts
    from tasks.policies import load_policy
    from troth.outcome import show
    from troth.session import require_a_ui, session
    from troth.text_arguments import parameters_of, privatisation_of, text_source_of

    parameters = parameters_of(
        set_ or [], network=network, mode=mode, epsilon=epsilon, delta=delta, unit=unit, budget=budget
    )
    require_judgeable_texts(load_policy(policy), parameters["mode"], parameters["privacy"].epsilon)
    chosen = text_source_of(source, data, labels, utterances, languages, name)
    if ask:
        require_a_ui()
    with session():
        show(
            flow(
                data=chosen,
                privatisation=privatisation_of(privatise) if privatise else None,
                policy=policy,
                seed=seed,
                on_hold="ask" if ask else "leave",
                **parameters,
            )
        )


def budget() -> None:
    """Show what trainings have spent of each data set's privacy budget and left of it, and how many were plain.

    **Example**

    `troth budget`
    """
    from rich.markup import escape
    from rich.table import Table

    from components.errors import InvalidInput
    from tasks.language.budget import budgets
    from troth.session import proxy
    from troth.terminal import console

    found = budgets(proxy())
    if not found:
        console.print("no data set has a budget yet; 'troth run language' begins one", markup=False)
        return
    columns = ("data set", "unit", "delta", "spent", "of epsilon", "left", "private", "plain")
    table, damaged = Table(*columns, box=None, padding=(0, 2, 0, 0)), []
    for name, ledger in found.items():
        try:
            private = len({entry.run for entry in ledger.entries() if entry.budget})
            of, spent, plain = ledger.budget, ledger.spent, ledger.plain
        except InvalidInput as error:
            damaged.append(error)
            continue
        left = f"{max(0.0, of.epsilon - spent):.3f}" if of else ""
        said = (of.unit, f"{of.delta:g}", f"{spent:.3f}", f"{of.epsilon:g}") if of else ("", "", "", "none yet")
        table.add_row(escape(name), *said, left, str(private), str(plain))
    if table.rows:
        console.print(table)
    if damaged:
        raise damaged[0]
