"""The main pipeline, for a table with persons: partition → train → evaluate → gate → register → promote → publish."""

from typing import Annotated, Literal

from prefect import flow
from pydantic import Field

from components.boosting import BoostingParameters, CandidatePlan
from components.boosting.federated import SumNoise
from components.federated.selection import Selection
from components.partition import PartitionPlan
from tasks.apart import require_fits
from tasks.approval import ask_a_person
from tasks.evaluate import evaluate
from tasks.federation import without_owners_column
from tasks.gate import gate
from tasks.inputs import RandHie, Source, declared_schema, name_of, request_of
from tasks.partition import SplitShares, partition
from tasks.pipeline import pipeline_run
from tasks.policies import policy_for_tables, require_golden_rows, require_judgeable
from tasks.promote import override, promote
from tasks.publish import publish, require_users
from tasks.references import Promoted
from tasks.register import register
from tasks.registry import require_model_name
from tasks.report import finished_outcome, report
from tasks.settings import load_settings
from tasks.train import train

Mode = Literal["pooled", "federated", "secret_shared"]


@flow(name="tabular", flow_run_name="tabular {data.kind} {mode}", persist_result=True, result_serializer="json")
def tabular(
    data: Source = RandHie(),
    mode: Annotated[
        Mode,
        Field(
            description="Who sees what: pooled trains where all rows lie, federated on sums under masks, "
            "secret_shared on shares."
        ),
    ] = "pooled",
    partition_plan: Annotated[
        PartitionPlan | None, Field(description="Who holds what; empty: the source's own.")
    ] = None,
    training: BoostingParameters = BoostingParameters(),
    selection: Annotated[
        Selection | None, Field(description="Owners a round, in mode federated; empty: all of them.")
    ] = None,
    noise: Annotated[
        SumNoise | None, Field(description="What noise on sums promises each person, in mode federated; empty: none.")
    ] = None,
    candidates: CandidatePlan = CandidatePlan(),
    policy: Annotated[str, Field(description="A name in deploy/policies, or a path.")] = "default",
    golden: Annotated[str | None, Field(description="File of rows, kept apart, for a policy with golden_set.")] = None,
    split: SplitShares = SplitShares(),
    seed: Annotated[int, Field(ge=0, description="Seed of the deal to owners.")] = 0,
    model: Annotated[str | None, Field(description="Registered model; empty: named after the schema.")] = None,
    finished: Annotated[
        Literal["again", "skip"],
        Field(description="What was asked and finished before: do it again, or answer from it."),
    ] = "again",
    on_hold: Annotated[
        Literal["leave", "ask"], Field(description="On HOLD: leave it, or ask a person here.")
    ] = "leave",
    hold_hours: Annotated[float, Field(gt=0, description="How long to wait for that person.")] = 24.0,
) -> Promoted:
    """Train a candidate, hold it against the champion, and let it into production if it keeps every promise."""
    rules = policy_for_tables(policy)
    require_golden_rows(rules, golden)
    require_users(rules)
    require_judgeable(rules, declared_schema(data))
    require_fits(data, mode, partition_plan, selection, noise, candidates)
    data = without_owners_column(data, mode, partition_plan)
    model = model or load_settings().model_name("tabular", name_of(data))
    require_model_name(model)
    request = request_of(
        data=data,
        model=model,
        mode=mode,
        partition=partition_plan,
        training=training,
        selection=selection,
        noise=noise,
        candidates=candidates,
        policy=rules,
        golden=golden,
        split=split,
        seed=seed,
    )
    if finished == "skip" and (before := finished_outcome("tabular", request)):
        return before
    with pipeline_run("tabular", name=f"tabular {model} {mode}", model=model, request=request) as run:
        dealt = partition(run, data, partition_plan, split, golden, seed)
        trained = train(run, dealt, mode, training, candidates, selection, noise)
        evaluated = evaluate(run, dealt, trained, rules.choice, golden)
        judged = gate(run, evaluated, rules)
        registered = register(run, dealt, trained, evaluated, judged)
        outcome = promote(run, registered, judged)
        if outcome["action"] == "hold" and on_hold == "ask":
            answer = ask_a_person(run, registered, judged, hours=hold_hours)
            outcome = override(run, registered, judged, answer) if answer else outcome
        publish(run, registered, outcome, rules)
        report(run, dealt, trained, evaluated, judged, registered, outcome)
    return outcome
