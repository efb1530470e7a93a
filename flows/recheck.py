"""The nightly question: does the champion still keep its word on the rows of today? It is judged and never moved.

A champion that breaks a promise fails the flow run, so that whoever watches the runs is told; what becomes of it is for
a person to decide. Before there is a champion the run completes and says that there is nothing to check.
"""

from typing import Annotated

from prefect import flow
from prefect.states import Completed, State
from pydantic import Field

from tasks.inputs import RandHie, Source, declared_schema, name_of, request_of
from tasks.partition import SplitShares
from tasks.pipeline import pipeline_run
from tasks.policies import policy_for_tables, require_golden_rows, require_judgeable
from tasks.recheck import nothing_to_check
from tasks.recheck import recheck as recheck_stage
from tasks.references import Rechecked
from tasks.registry import require_model_name
from tasks.settings import load_settings


class BrokenPromise(RuntimeError):
    """The champion fails a check; `outcome` says which."""

    def __init__(self, outcome: Rechecked) -> None:
        super().__init__(f"champion version {outcome['version']} of {outcome['model']}: {outcome['reasons'][0]}")
        self.outcome = outcome


@flow(name="recheck", flow_run_name="recheck {data.kind}", persist_result=True, result_serializer="json")
def recheck(
    data: Source = RandHie(),
    policy: Annotated[str, Field(description="A name in deploy/policies, or a path.")] = "recheck",
    golden: Annotated[str | None, Field(description="File of rows, kept apart, for a policy with golden_set.")] = None,
    split: SplitShares = SplitShares(),
    model: Annotated[str | None, Field(description="Registered model; empty: named after the schema.")] = None,
) -> Rechecked | State[None]:
    """Put the champion through every check that needs no other model, on the gate's persons alone."""
    rules = policy_for_tables(policy)
    require_golden_rows(rules, golden)
    require_judgeable(rules, declared_schema(data))
    model = model or load_settings().model_name("tabular", name_of(data))
    require_model_name(model)
    if ending := nothing_to_check(model):
        return Completed(message=ending)
    request = request_of(data=data, model=model, policy=rules, golden=golden, split=split)
    with pipeline_run("recheck", name=f"recheck {model}", model=model, request=request, resume="never") as run:
        outcome = recheck_stage(run, data, rules, golden, split)
    if outcome["decision"] == "REJECT":
        raise BrokenPromise(outcome)
    return outcome
