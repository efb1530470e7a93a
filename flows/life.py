"""The life of a model on successive years of real health records, for a first look.

Year 1 has no history of its own and brings the first champion. A year later the same retrain knows what people did the
year before and is better on average, and it is for the gate to say whether it flips too much; then the candidates that
keep closer to the champion have their turn; then a third year. Nothing is staged: the runs are ordinary `tabular` runs
that differ in years, candidates and policy alone, and what becomes of each is for the evidence to say. They have a
registered model of their own, and a year that was lived through is not lived again.
"""

from pathlib import Path

from prefect import flow

from components.boosting import CandidatePlan
from flows.tabular import tabular
from tasks.inputs import RandHie
from tasks.references import Promoted

MODEL = "rand_hie_life"
GOLDEN = Path(__file__).resolve().parent.parent / "deploy" / "golden" / "rand_hie.csv"
RETRAIN_ONLY = CandidatePlan(kinds=())


@flow(name="life", flow_run_name="life of a model", persist_result=True, result_serializer="json")
def life() -> list[Promoted]:
    """A first champion, an update refused, an update that keeps closer, and the year after."""
    update = {"policy": "rand_hie", "golden": str(GOLDEN)}
    runs = [
        {"data": RandHie(years=(1,)), "candidates": RETRAIN_ONLY},
        {"data": RandHie(years=(1, 2)), "candidates": RETRAIN_ONLY, **update},
        {"data": RandHie(years=(1, 2)), **update},
        {"data": RandHie(years=(1, 2, 3)), **update},
    ]
    return [tabular(model=MODEL, finished="skip", **run) for run in runs]
