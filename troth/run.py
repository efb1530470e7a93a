"""`troth run`: the pipelines from a shell."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Run a pipeline: `tabular`, `language`, `recheck`, or `life` for a first look.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

SourceName = Annotated[
    str | None,
    typer.Option(
        "--source", help="A source of Troth's: rand_hie (without its site: rand_hie_by_site), multiple_sclerosis."
    ),
]
DataFile = Annotated[Path | None, typer.Option("--data", help="Your own table, CSV or Parquet.")]
SchemaFile = Annotated[
    Path | None, typer.Option("--schema", help="The schema of your table (see `troth data schema`).")
]
PartiesFolder = Annotated[
    Path | None,
    typer.Option("--parties", help="This machine's folder of parties.yaml: each owner's rows are on its own machine."),
]
Years = Annotated[str | None, typer.Option(help="Years of rand_hie to use, such as 1-3 or 2.")]
Rows = Annotated[int | None, typer.Option(help="Rows to simulate for multiple_sclerosis.")]
Cases = Annotated[
    str | None,
    typer.Option(help="Share of cases among them, 0.3 unless told; `population` for as many as there are in it."),
]
PolicyName = Annotated[str, typer.Option(help="A policy in deploy/policies, or the path of a YAML file.")]
GoldenFile = Annotated[
    Path | None,
    typer.Option(
        help="Rows kept apart, in the table's format, for a policy with golden_set: the champion's right answers on "
        "them may not be lost, and a first champion must get all of them right."
    ),
]
ModelName = Annotated[
    str | None, typer.Option("--model", help="The registered model; named after the schema unless told.")
]


@app.command()
def tabular(
    source: SourceName = None,
    data: DataFile = None,
    schema: SchemaFile = None,
    parties: PartiesFolder = None,
    years: Years = None,
    rows: Rows = None,
    cases: Cases = None,
    mode: Annotated[str, typer.Option(help="How to train: pooled, federated or secret_shared.")] = "pooled",
    partition: Annotated[
        str | None,
        typer.Option(
            help="Who holds what: single, even:3, by:site, label_skew:3:0.5, quantity_skew:3:1, crowd:100000, "
            "vertical, or YAML."
        ),
    ] = None,
    select: Annotated[
        str | None,
        typer.Option(
            help="Owners a round, in mode federated: 50, 50:activity (by rows), 50:mixture:0.3; all unless told."
        ),
    ] = None,
    noise: Annotated[
        str | None,
        typer.Option(
            help="Noise on sums, in mode federated: epsilon:delta such as 4:1e-5, or 4:1e-5:5 if a person has 5 rows."
        ),
    ] = None,
    policy: PolicyName = "default",
    golden: GoldenFile = None,
    model: ModelName = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random in the run.")] = 0,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="A training parameter, such as --set max_depth=3; repeatable.")
    ] = None,
    candidates: Annotated[
        str | None,
        typer.Option(help="What to try besides a plain retrain: blend,warm_start,distill or none; all unless told."),
    ] = None,
    ask: Annotated[bool, typer.Option(help="On HOLD wait for a person in the Prefect UI.")] = False,
    hold_hours: Annotated[float, typer.Option(min=0.01, help="With --ask: how long to wait.")] = 24.0,
) -> None:
    """Partition, train, evaluate, gate, register and promote a model for a table.

    A run that failed half-way is continued by the same command.

    **Examples**

    `troth run tabular` — the RAND health records with everything at its default

    `troth run tabular --data visits.csv --schema visits.yaml --policy strict --golden golden.csv`

    `troth run tabular --source multiple_sclerosis --rows 20000 --set max_depth=4 --set rounds=300`

    `troth run tabular --mode federated --partition by:site`

    `troth run tabular --mode secret_shared --partition vertical --model rand_hie_on_shares`

    `troth run tabular --source multiple_sclerosis --rows 500000 --mode federated --partition crowd:100000 --select 50`

    `troth run tabular --mode secret_shared --parties parties --schema people.yaml`

    A champion that owners hold no shares of cannot be followed in mode secret_shared: give its models a name of their
    own (`--model`).
    """
    from components.boosting.candidates import CandidatePlan
    from components.boosting.modes import require_mode
    from flows.tabular import tabular as flow
    from tasks.apart import require_fits
    from tasks.inputs import declared_schema, require_files
    from tasks.policies import policy_for_tables, require_golden_rows, require_judgeable
    from tasks.registry import require_model_name
    from troth.arguments import candidates_of, noise_of, partition_of, selection_of, source_of, training_of
    from troth.outcome import show
    from troth.session import require_a_ui, session

    require_mode(mode)
    rules = policy_for_tables(policy)
    if model is not None:
        require_model_name(model)
    if ask:
        require_a_ui()
    chosen = source_of(source, data, schema, years, rows, parties, cases)
    parameters = {
        "data": chosen,
        "partition_plan": partition_of(partition, chosen) if partition else None,
        "mode": mode,
        "selection": selection_of(select, seed) if select else None,
        "noise": noise_of(noise) if noise else None,
        "training": training_of(set_ or [], seed),
        "candidates": candidates_of(candidates) if candidates else CandidatePlan(),
        "policy": policy,
        "golden": str(golden) if golden else None,
        "model": model,
        "seed": seed,
        "on_hold": "ask" if ask else "leave",
        "hold_hours": hold_hours,
    }
    # What the flow would refuse too, seconds before there is a server to run it on.
    require_fits(chosen, mode, *(parameters[name] for name in ("partition_plan", "selection", "noise", "candidates")))
    require_files(chosen, parameters["partition_plan"], golden)
    require_golden_rows(rules, golden)
    require_judgeable(rules, declared_schema(chosen))
    with session():
        show(flow(**{name: value for name, value in parameters.items() if value is not None}))


@app.command()
def recheck(
    source: SourceName = None,
    data: DataFile = None,
    schema: SchemaFile = None,
    years: Years = None,
    rows: Rows = None,
    cases: Cases = None,
    policy: PolicyName = "recheck",
    golden: GoldenFile = None,
    model: ModelName = None,
) -> None:
    """Put the champion through the gate again on the rows of today; it is never moved.

    Exit code 3 when the champion breaks a promise; 0 when there is none yet.

    **Examples**

    `troth run recheck --years 4-5`

    `troth run recheck --data today.parquet --schema visits.yaml`

    `troth run recheck --model rand_hie_life` — the champion that `troth run life` made
    """
    from flows.recheck import BrokenPromise
    from flows.recheck import recheck as flow
    from tasks.inputs import declared_schema, require_files
    from tasks.policies import policy_for_tables, require_golden_rows, require_judgeable
    from tasks.registry import require_model_name
    from troth.arguments import source_of
    from troth.outcome import show_recheck
    from troth.session import session
    from troth.terminal import console

    chosen = source_of(source, data, schema, years, rows, cases=cases)
    rules = policy_for_tables(policy)
    if model is not None:
        require_model_name(model)
    require_files(chosen, golden=golden)
    require_golden_rows(rules, golden)
    require_judgeable(rules, declared_schema(chosen))
    asked = {"data": chosen, "policy": policy, "golden": str(golden) if golden else None, "model": model}
    with session():
        state = flow(**asked, return_state=True)
        try:
            outcome = state.result()
        except BrokenPromise as broken:
            outcome = broken.outcome
    if outcome:
        show_recheck(outcome)
    else:
        console.print(state.message, markup=False, soft_wrap=True)


@app.command()
def life() -> None:
    """The life of a model on successive years of real health records: a first champion, an update, a refusal.

    **Example**

    `troth run life`
    """
    from flows.life import life as flow
    from troth.outcome import show_life
    from troth.session import session

    with session():
        show_life(flow())
